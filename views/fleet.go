package views

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

// A QueuesPage is the list of queues at /queues, rendered by [Queues].
type QueuesPage struct {
	Page
	Queues  []jobs.Queue                    // by name
	Nodes   []jobs.Node                     // for the slots that they give
	History map[string]insight.QueueHistory // by queue

	Refused *QueueForm // with its errors; nil where nothing was refused
	Kept    string     // a queue that was to be deleted, but has work
}

// Fragments are the parts of the page that change.
func (p QueuesPage) Fragments() []Fragment {
	f := Fragment{ID: "queues", Component: queueList(p)}
	for _, q := range p.Queues {
		f.Shape += q.Name + " "
		f.Parts = append(f.Parts,
			Fragment{ID: "now-of-" + q.Name, Component: queueNow(p, q)},
			Fragment{ID: "limits-of-" + q.Name, Component: queueLimits(p, q)},
			Fragment{ID: "hour-of-" + q.Name, Component: queueHour(p, q)},
		)
	}
	if f.Parts == nil {
		f.Parts = []Fragment{}
	}
	return []Fragment{f}
}

// Names of the fields of a form for a queue, besides [FieldName].
const (
	FieldPerCore      = "per_core"
	FieldMaxProcesses = "max_processes"
	FieldPinned       = "pinned"
)

// A QueueForm is what someone typed about a queue.
type QueueForm struct {
	Queue                       string // that it changes; empty for a new one
	Name, PerCore, MaxProcesses string
	Pinned                      bool

	errors map[string][]string // by field
}

// ParseQueueForm reads a form that changes a queue, or adds one where queue is
// empty.
func ParseQueueForm(v url.Values, queue string) QueueForm {
	f := QueueForm{
		Queue: queue, Name: queue, Pinned: v.Get(FieldPinned) != "",
		PerCore: strings.TrimSpace(v.Get(FieldPerCore)), MaxProcesses: strings.TrimSpace(v.Get(FieldMaxProcesses)),
	}
	if queue == "" {
		f.Name = strings.TrimSpace(v.Get(FieldName))
	}
	return f
}

// queueForm is a form with what holds for a queue.
func queueForm(q jobs.Queue) QueueForm {
	f := QueueForm{Queue: q.Name, Name: q.Name, PerCore: trimFloat(q.PerCore), Pinned: q.Pinned}
	if q.MaxProcesses != nil {
		f.MaxProcesses = itoa(*q.MaxProcesses)
	}
	return f
}

var decimal = regexp.MustCompile(`^[0-9]{0,9}\.?[0-9]{0,9}$`)

// Limits are the form's, and what is wrong with them, by the names of the fields.
func (f *QueueForm) Limits() (jobs.QueueLimits, jobs.Invalid) {
	l := jobs.QueueLimits{Pinned: f.Pinned, PerCore: 1}
	var found jobs.Invalid
	perCore, err := strconv.ParseFloat(f.PerCore, 64)
	if err != nil || !decimal.MatchString(f.PerCore) {
		found = append(found, jobs.Violation{Location: FieldPerCore, Message: "must be a number such as 4 or 0.5", Value: f.PerCore})
	} else {
		l.PerCore = perCore
	}
	if f.MaxProcesses != "" {
		n, err := strconv.Atoi(f.MaxProcesses)
		if err != nil {
			found = append(found, jobs.Violation{Location: FieldMaxProcesses, Message: "must be a whole number, or empty for no limit", Value: f.MaxProcesses})
		} else {
			l.MaxProcesses = &n
		}
	}
	for _, v := range l.Validate() {
		if v.Location == FieldMaxProcesses {
			v.Message = fmt.Sprintf("must be from 1 to %s, or empty for no limit", thousands(jobs.MaxMaxProcesses))
		}
		found = append(found, v)
	}
	return l, found
}

// Reject puts violations at their fields.
func (f *QueueForm) Reject(found jobs.Invalid) {
	f.errors = make(map[string][]string)
	for _, v := range found {
		f.errors[v.Location] = append(f.errors[v.Location], v.Message)
	}
}

// id is the id of a field.
func (f *QueueForm) id(field string) string {
	if f.Queue == "" {
		return "new-queue-" + field
	}
	return field + "-of-" + f.Queue
}

// attributes tie a field to its errors; the first wrong one gets the focus.
func (f *QueueForm) attributes(field string) templ.Attributes {
	a := templ.Attributes{}
	if len(f.errors[field]) > 0 {
		a["aria-invalid"], a["aria-describedby"] = "true", "error-"+f.id(field)
		first := slices.IndexFunc([]string{FieldName, FieldPerCore, FieldMaxProcesses}, func(name string) bool { return len(f.errors[name]) > 0 })
		a["autofocus"] = []string{FieldName, FieldPerCore, FieldMaxProcesses}[first] == field
	}
	return a
}

// adding is the form for a new queue.
func (p QueuesPage) adding() *QueueForm {
	if p.Refused != nil && p.Refused.Queue == "" {
		return p.Refused
	}
	return &QueueForm{PerCore: "1"}
}

// changing is the form for a queue.
func (p QueuesPage) changing(q jobs.Queue) *QueueForm {
	if p.Refused != nil && p.Refused.Queue == q.Name {
		return p.Refused
	}
	f := queueForm(q)
	return &f
}

func queueState(q jobs.Queue) string {
	switch {
	case q.Paused:
		return "paused"
	case q.RunningTurns > 0:
		return "running"
	case q.WaitingTurns > 0:
		return "waiting"
	}
	return "idle"
}

// A nodeUse is what a node gives to a queue.
type nodeUse struct {
	node string
	jobs.SlotUse
}

// uses are what the living nodes give to a queue. A queue that they do not know
// yet has none.
func (p QueuesPage) uses(q jobs.Queue) []nodeUse {
	var uses []nodeUse
	for _, n := range p.Nodes {
		if use, serves := n.Slots[q.Name]; n.Alive && serves && (n.Serves == nil || slices.Contains(n.Serves, q.Name)) {
			uses = append(uses, nodeUse{nodeLabel(n, p.Nodes), use})
		}
	}
	return uses
}

// A queueFigures is what a queue does now, over all nodes.
type queueFigures struct {
	waiting, running int64 // turns; those that wait for a slot at a node wait
	used, slots      int
}

func (p QueuesPage) figures(q jobs.Queue) queueFigures {
	f := queueFigures{waiting: q.WaitingTurns, running: q.RunningTurns}
	for _, use := range p.uses(q) {
		f.used += use.Used
		f.slots += use.Total
		moved := min(int64(use.Waiting), f.running)
		f.waiting += moved
		f.running -= moved
	}
	return f
}

// slotWaits tells how many turns wait for a slot at a node, where some do.
func slotWaits(use jobs.SlotUse) string {
	if use.Waiting == 0 {
		return ""
	}
	return ", " + itoa(use.Waiting) + " " + countWord(int64(use.Waiting), "waits", "wait")
}

// nodeLabel is a node's host, with its process where the host has several nodes.
func nodeLabel(n jobs.Node, all []jobs.Node) string {
	for _, other := range all {
		if other.ID != n.ID && other.Host == n.Host && other.Alive {
			return n.Host + " #" + itoa(n.PID)
		}
	}
	return n.Host
}

// limitsInWords are a queue's limits for those who cannot change them.
func limitsInWords(q jobs.Queue) string {
	text := trimFloat(q.PerCore) + " a core"
	if q.Pinned {
		text += ", each pinned to its own"
	}
	if q.MaxProcesses != nil {
		text += ", at most " + thousands(int64(*q.MaxProcesses)) + " at once"
	}
	return text
}

func trimFloat(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// A NodesPage is the list of nodes at /nodes, rendered by [Nodes].
type NodesPage struct {
	Page
	Nodes   []jobs.Node
	History map[string]insight.NodeHistory // by the node's id
	Names   map[string]string              // of the jobs in hand that the user may see, by id
	Stream  TimelineView                   // of all jobs that the user may see
	Inks    map[string]string              // classes of colour of the jobs in hand, by id, see [JobInk]
}

// unpinnedRows is how many rows of slots without a core are expected beside those
// of the cores.
const unpinnedRows = 8

// timeline is the timeline of all jobs, with a row for each core of the living
// nodes and some more.
func (p NodesPage) timeline() TimelineView {
	v := p.Stream
	v.Lanes = unpinnedRows
	for _, n := range p.Nodes {
		if n.Alive {
			v.Lanes += len(n.Cores)
		}
	}
	return v
}

// Fragments are the parts of the page that change.
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

// A handJob is a job that nodes have in hand.
type handJob struct {
	id    string
	turns int64
	tasks string // that it works on, as far as there is room
}

// jobsInHand are the jobs in hand, oldest first.
func (p NodesPage) jobsInHand() []handJob {
	var turns []jobs.CoreTurn
	for _, n := range p.Nodes {
		turns = slices.AppendSeq(turns, n.InHand())
	}
	return byJob(turns)
}

// byJob puts turns together that are of one job.
func byJob(turns []jobs.CoreTurn) []handJob {
	at := make(map[string]int)
	var list []handJob
	for _, turn := range turns {
		i, known := at[turn.Job]
		if !known {
			i = len(list)
			at[turn.Job] = i
			list = append(list, handJob{id: turn.Job})
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
	slices.SortFunc(list, func(a, b handJob) int { return strings.Compare(a.id, b.id) })
	return list
}

// unpinned are the jobs whose turns have no core of their own on a node.
func unpinned(n jobs.Node) []handJob { return byJob(n.Unpinned) }

// jobRing are the letters of the ring of colours that jobs have.
const jobRing = "abcdefghijkl"

// JobInk is a class that gives a job a colour: the one that follows from its id,
// or else the next in the ring that is not taken. timeline.js does the same.
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

// roomy reports whether there are so few nodes that each may show its charts.
func (p NodesPage) roomy() bool {
	alive := 0
	for _, n := range p.Nodes {
		if n.Alive {
			alive++
		}
	}
	return alive <= 3
}

// nodeState is the glyph's class and the word of a node's state.
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

// busyOf is the share of the time of all cores of a node that they are busy.
func busyOf(n jobs.Node) string {
	sum := 0.0
	for _, core := range n.Cores {
		sum += core.BusyPercent
	}
	return itoa(int(sum/float64(max(len(n.Cores), 1))+.5)) + " %"
}

func turnsInHand(n jobs.Node) (turns int64) {
	for range n.InHand() {
		turns++
	}
	return turns
}

// sortedSlots are the queues that a node serves, by name.
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

// coreSize is the class of a core view: the more cores, the less room each has.
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
	return fmt.Sprintf("core %d: %.0f %% busy, of which %.0f user, %.0f system, %.0f other", c.Core, c.BusyPercent, c.User, c.System, c.Other)
}

// tasksShown is of how many turns of a job the tasks are shown that have no core
// of their own.
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

// briefRange is taskRange where there is little room.
func briefRange(t jobs.CoreTurn) string {
	switch t.Count {
	case 0:
		return ""
	case 1:
		return thousands(t.First)
	}
	return thousands(t.First) + "–" + thousands(t.First+int64(t.Count)-1)
}

// A jobPlace is where a job runs on one node.
type jobPlace struct {
	node     string
	cores    []jobs.Core // all of the node's, with the job's turns only
	unpinned int
	turns    int64
}

// placesOf are the nodes that have turns of a job in hand.
func placesOf(id string, nodes []jobs.Node) []jobPlace {
	var places []jobPlace
	for _, n := range nodes {
		place := jobPlace{node: nodeLabel(n, nodes)}
		others := func(t jobs.CoreTurn) bool { return t.Job != id }
		for turn := range n.InHand() {
			if turn.Job == id {
				place.turns++
			}
		}
		if place.turns == 0 {
			continue
		}
		for _, core := range n.Cores {
			core.Turns = slices.DeleteFunc(slices.Clone(core.Turns), others)
			place.cores = append(place.cores, core)
		}
		place.unpinned = len(slices.DeleteFunc(slices.Clone(n.Unpinned), others))
		places = append(places, place)
	}
	return places
}

func placeTitle(c jobs.Core) string {
	text := "core " + itoa(c.Core)
	for _, t := range c.Turns {
		text += ", lane " + itoa(t.Lane) + ": " + taskRange(t)
	}
	return text
}
