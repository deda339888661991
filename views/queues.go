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

// A QueuesPage holds the list of queues at /queues. [Queues] renders it.
type QueuesPage struct {
	Page
	Queues  []jobs.Queue                    // by name
	Nodes   []jobs.Node                     // provide the slots
	History map[string]insight.QueueHistory // by queue

	Refused *QueueForm // the refused form with its errors; nil without one
	Kept    string     // a queue that its work kept from being deleted
}

// Fragments returns the changing parts of the page.
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

// A QueueForm holds the typed limits of a queue.
type QueueForm struct {
	Queue                       string // the queue to change; empty for a new one
	Name, PerCore, MaxProcesses string
	Pinned                      bool

	errors map[string][]string // by field
}

// ParseQueueForm reads a form that changes a queue, or adds one if queue is
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

// queueForm returns a form with the queue's current limits.
func queueForm(q jobs.Queue) QueueForm {
	f := QueueForm{Queue: q.Name, Name: q.Name, PerCore: trimFloat(q.PerCore), Pinned: q.Pinned}
	if q.MaxProcesses != nil {
		f.MaxProcesses = itoa(*q.MaxProcesses)
	}
	return f
}

var decimal = regexp.MustCompile(`^[0-9]{0,9}\.?[0-9]{0,9}$`)

// Limits returns the form's limits and the violations by field name.
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

// Reject adds violations to their fields.
func (f *QueueForm) Reject(found jobs.Invalid) {
	f.errors = make(map[string][]string)
	for _, v := range found {
		f.errors[v.Location] = append(f.errors[v.Location], v.Message)
	}
}

// id returns the id of a field.
func (f *QueueForm) id(field string) string {
	if f.Queue == "" {
		return "new-queue-" + field
	}
	return field + "-of-" + f.Queue
}

// attributes link a field to its errors. The first wrong field gets the focus.
func (f *QueueForm) attributes(field string) templ.Attributes {
	a := templ.Attributes{}
	if len(f.errors[field]) > 0 {
		a["aria-invalid"], a["aria-describedby"] = "true", "error-"+f.id(field)
		first := slices.IndexFunc([]string{FieldName, FieldPerCore, FieldMaxProcesses}, func(name string) bool { return len(f.errors[name]) > 0 })
		a["autofocus"] = []string{FieldName, FieldPerCore, FieldMaxProcesses}[first] == field
	}
	return a
}

// adding returns the form for a new queue.
func (p QueuesPage) adding() *QueueForm {
	if p.Refused != nil && p.Refused.Queue == "" {
		return p.Refused
	}
	return &QueueForm{PerCore: "1"}
}

// changing returns the form for a queue.
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

// A nodeUse holds the slots that a node gives to a queue.
type nodeUse struct {
	node string
	jobs.SlotUse
}

// uses returns the slots that live nodes give to a queue. Nodes that do not
// know a new queue yet give none.
func (p QueuesPage) uses(q jobs.Queue) []nodeUse {
	var uses []nodeUse
	for _, n := range p.Nodes {
		if use, serves := n.Slots[q.Name]; n.Alive && serves && (n.Serves == nil || slices.Contains(n.Serves, q.Name)) {
			uses = append(uses, nodeUse{nodeLabel(n, p.Nodes), use})
		}
	}
	return uses
}

// A queueFigures sums up a queue's present work over all nodes.
type queueFigures struct {
	waiting, running int64 // turns; one that waits for a slot at a node is waiting
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

// slotWaits formats the number of turns that wait for a slot at a node.
func slotWaits(use jobs.SlotUse) string {
	if use.Waiting == 0 {
		return ""
	}
	return ", " + itoa(use.Waiting) + " " + countWord(int64(use.Waiting), "waits", "wait")
}

// limitsInWords describes a queue's limits to users who cannot change them.
func limitsInWords(q jobs.Queue) string {
	text := trimFloat(q.PerCore) + " per core"
	if q.Pinned {
		text += ", each pinned to its own"
	}
	if q.MaxProcesses != nil {
		text += ", at most " + thousands(int64(*q.MaxProcesses)) + " at once"
	}
	return text
}

func trimFloat(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
