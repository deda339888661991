package views

import (
	"fmt"
	"strconv"

	"github.com/allcores/allcores/internal/jobs"
)

// A QueuesPage is the list of queues at /queues, rendered by [Queues].
type QueuesPage struct {
	Page
	Queues []jobs.Queue // by name
	Nodes  []jobs.Node  // for the slots that they give
}

// Fragments are the parts of the page that change.
func (p QueuesPage) Fragments() []Fragment {
	return []Fragment{{ID: "queues", Component: queueTable(p)}}
}

// A NodesPage is the list of nodes at /nodes, rendered by [Nodes].
type NodesPage struct {
	Page
	Nodes []jobs.Node
	Names map[string]string // names of the jobs that its cores run, by id; may lack some
}

// Fragments are the parts of the page that change.
func (p NodesPage) Fragments() []Fragment {
	return []Fragment{{ID: "nodes", Component: nodeList(p)}}
}

func queueState(q jobs.Queue) string {
	switch {
	case q.Paused:
		return "paused"
	case q.RunningTurns > 0:
		return "running"
	}
	return "idle"
}

// slots is how many processes of q the living nodes may run at once.
func slots(q jobs.Queue, nodes []jobs.Node) int64 {
	n := 0
	for _, node := range nodes {
		if node.Alive && len(node.Cores) > 0 {
			n += q.Slots(len(node.Cores))
		}
	}
	return int64(n)
}

func trimFloat(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func (p NodesPage) jobName(id string) string {
	if name := p.Names[id]; name != "" {
		return name
	}
	return clip(id, 9)
}

func taskRange(t jobs.CoreTurn) string {
	if t.Count == 1 {
		return "task " + thousands(t.First)
	}
	return fmt.Sprintf("tasks %s to %s", thousands(t.First), thousands(t.First+int64(t.Count)-1))
}
