package views

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

// nodeLabel returns a node's host, with its process if the host has several
// nodes.
func nodeLabel(n jobs.Node, all []jobs.Node) string {
	for _, other := range all {
		if other.ID != n.ID && other.Host == n.Host && other.Alive {
			return n.Host + " #" + itoa(n.PID)
		}
	}
	return n.Host
}

// A NodesPage holds the list of nodes at /nodes. [Nodes] renders it.
type NodesPage struct {
	Page
	Nodes    []jobs.Node
	History  map[string]insight.NodeHistory // by the node's id
	Names    map[string]string              // of the running jobs that the user may see, by id
	Timeline TimelineView                   // of all jobs that the user may see
	Inks     map[string]string              // colour classes of the running jobs, by id, see [JobInk]
}

// unpinnedRows is the expected number of rows for unpinned slots beside the
// rows of cores.
const unpinnedRows = 8

// timeline returns the timeline of all jobs. It has a row for each core of the
// live nodes and unpinnedRows more.
func (p NodesPage) timeline() TimelineView {
	v := p.Timeline
	v.Lanes = unpinnedRows
	for _, n := range p.Nodes {
		if n.Alive {
			v.Lanes += len(n.Cores)
		}
	}
	return v
}

// Fragments returns the changing parts of the page.
func (p NodesPage) Fragments() []Fragment {
	f := Fragment{ID: "nodes", Component: nodeList(p), Parts: []Fragment{}}
	for _, n := range p.Nodes {
		f.Shape += n.ID + n.State + " "
		f.Parts = append(f.Parts,
			Fragment{ID: "node-" + n.ID + "-now", Component: nodeNow(p, n)},
			Fragment{ID: "node-" + n.ID + "-cores", Component: nodeCores(p, n)},
			Fragment{ID: "node-" + n.ID + "-hour", Component: nodeHour(p, n)},
		)
	}
	return []Fragment{{ID: "timeline", Component: Timeline(p.timeline())}, {ID: "in-hand", Component: inHand(p)}, f}
}

// A runningJob is a job with turns on nodes.
type runningJob struct {
	id    string
	turns int64
	tasks string // the tasks that it runs, shortened
}

// runningJobs returns the jobs with turns, oldest first.
func (p NodesPage) runningJobs() []runningJob {
	var turns []jobs.CoreTurn
	for _, n := range p.Nodes {
		turns = slices.AppendSeq(turns, n.RunningTurns())
	}
	return byJob(turns)
}

// byJob groups turns by job.
func byJob(turns []jobs.CoreTurn) []runningJob {
	at := make(map[string]int)
	var list []runningJob
	for _, turn := range turns {
		i, known := at[turn.Job]
		if !known {
			i = len(list)
			at[turn.Job] = i
			list = append(list, runningJob{id: turn.Job})
		}
		j := &list[i]
		j.turns++
		if j.turns <= tasksShown {
			j.tasks += taskRange(turn) + ", "
		}
	}
	for i := range list {
		j := &list[i]
		j.tasks = strings.TrimSuffix(j.tasks, ", ")
		if j.turns > tasksShown {
			j.tasks += ", …"
		}
	}
	slices.SortFunc(list, func(a, b runningJob) int { return strings.Compare(a.id, b.id) })
	return list
}

// unpinned returns the jobs whose turns are not pinned to a core of the node.
func unpinned(n jobs.Node) []runningJob { return byJob(n.Unpinned) }

// jobRing has the letters of the ring of job colours.
const jobRing = "abcdefghijkl"

// JobInk returns the class of a job's colour: the colour that its id selects,
// or the next free one in the ring. timeline/colours.js has the first rule too.
func JobInk(id string, taken map[string]bool) string {
	n, err := strconv.ParseUint(id[max(len(id)-6, 0):], 16, 32)
	if err != nil {
		n = 0
	}
	wish := int(n % uint64(len(jobRing)))
	for i := range jobRing {
		at := (wish + i) % len(jobRing)
		if class := "job-" + jobRing[at:at+1]; !taken[class] {
			return class
		}
	}
	return "job-" + jobRing[wish:wish+1]
}

// roomy reports whether the nodes are few enough for each to show its charts.
func (p NodesPage) roomy() bool {
	alive := 0
	for _, n := range p.Nodes {
		if n.Alive {
			alive++
		}
	}
	return alive <= 3
}

// nodeState returns the glyph's class and the word of a node's state.
func nodeState(n jobs.Node) (class, word string) {
	switch {
	case n.State == "stopped":
		return "cancelled", n.State
	case !n.Alive:
		return "failed", n.State
	case n.Draining:
		return "paused", "draining"
	}
	return "succeeded", n.State
}

// busyOf returns the busy share of a node's cores.
func busyOf(n jobs.Node) string {
	sum := 0.0
	for _, core := range n.Cores {
		sum += core.BusyPercent
	}
	return itoa(int(sum/float64(max(len(n.Cores), 1))+.5)) + " %"
}

func turnsInHand(n jobs.Node) (turns int64) {
	for range n.RunningTurns() {
		turns++
	}
	return turns
}

// sortedSlots returns the queues that a node serves, by name.
func sortedSlots(n jobs.Node) []nodeUse {
	var uses []nodeUse
	for name, use := range n.Slots {
		if n.Serves == nil || slices.Contains(n.Serves, name) {
			uses = append(uses, nodeUse{name, use})
		}
	}
	slices.SortFunc(uses, func(a, b nodeUse) int { return strings.Compare(a.node, b.node) })
	return uses
}

// coreSize returns the class of a core view: more cores get less room each.
func coreSize(cores int) string {
	switch {
	case cores <= 8:
		return "few"
	case cores <= 32:
		return "some"
	}
	return "many"
}

func coreTitle(c jobs.Core) string {
	return fmt.Sprintf("core %d: %.0f %% busy: %.0f user, %.0f system, %.0f other", c.Core, c.BusyPercent, c.User, c.System, c.Other)
}

// tasksShown is the largest number of a job's unpinned turns whose tasks the
// page lists.
const tasksShown = 4

func taskRange(t jobs.CoreTurn) string {
	switch t.Count {
	case 0:
		return "between chunks"
	case 1:
		return "task " + thousands(t.First)
	}
	return fmt.Sprintf("tasks %s to %s", thousands(t.First), thousands(t.First+int64(t.Count)-1))
}

// briefRange formats taskRange for narrow cells.
func briefRange(t jobs.CoreTurn) string {
	switch t.Count {
	case 0:
		return ""
	case 1:
		return thousands(t.First)
	}
	return thousands(t.First) + "–" + thousands(t.First+int64(t.Count)-1)
}
