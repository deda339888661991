// Package insight explains jobs, queues and nodes to people.
//
// It answers three questions from facts that the store read or a node counted:
// why a job waits ([WaitFacts]), how well a job was spread and what bounds its
// speed-up ([ReportFacts], fed by [LaneTimes] and [Durations]), and what queues
// and nodes did within the last hour ([QueueSeries], [NodeSeries]).
//
// Everything here is computed in memory: no database, no clock of its own.
package insight
