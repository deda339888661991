// Package insight explains jobs, queues and nodes to people.
//
// It answers three questions from facts that the store reads or a node counts:
// why a job waits ([WaitFacts]), how well a job was spread and what bounded its
// speed-up ([ReportFacts], fed by [LaneTimes] and [Durations]), and what queues
// and nodes did within the last hour ([QueueSeries], [NodeSeries]).
//
// It computes in memory and reads neither a database nor a clock.
package insight
