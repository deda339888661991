package insight

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// WaitFacts are the facts about a job, its queue and its nodes that explain why it
// waits.
type WaitFacts struct {
	Job  *jobs.Job
	Halt string // why nothing of it may be claimed: "", "paused", "failed" or "cancelled"

	Queue *WaitQueue // nil where not read; then Nodes and Line are not read either
	Nodes []WaitNode // living ones that run tasks
	Line  *WaitLine  // nil where not read
}

// A WaitQueue is the state of a queue that may make its jobs wait.
type WaitQueue struct {
	jobs.QueueLimits
	Name            string
	Paused, Deleted bool
}

// A WaitNode is the state of a living node that may make jobs wait.
type WaitNode struct {
	Host     string
	Cores    int
	Serves   []string // nil for every queue
	Draining bool
	// LowMemory means that no turn begins there.
	LowMemory bool
	Memory    jobs.Memory
}

// A WaitLine describes a job's tasks and turns, and those of others in its queue.
type WaitLine struct {
	Ready    int64     // tasks that may be claimed now
	Later    int64     // tasks that wait for their next attempt
	Due      time.Time // the first of those
	Suspects int64     // tasks that may be claimed once another one has ended, which may have killed a process
	More     bool      // Later and Suspects are only the first of many

	Lanes   int  // processes that the job may have
	Fixed   bool // by its policy, not by its queue's slots
	Running int  // processes that the job has
	Turns   int  // of the job that wait for a slot
	Beyond  bool // the line is longer than what was read; the job's turns may be there

	Failing int       // turns of the job that failed because of their node and will be retried
	Next    time.Time // the first of those
	Error   string    // error of the last one

	Used    int   // slots of the queue in use, the job's included
	Ahead   int64 // other jobs with a turn in line before its first one
	Turned  int64 // those turns
	Waiters int64 // other jobs of its or a more urgent priority with a turn in line, anywhere
	Before  int64 // other jobs that run or are ahead; when it has started, that run or wait

	Rivals []WaitRival // those in Before, the more urgent first; a bounded number
}

// A WaitRival is a job that precedes another, or shares the slots with it.
type WaitRival struct {
	Urgent bool          // its priority is a more urgent one
	Turns  int64         // in line before the job's first one
	Lanes  int           // processes that it has
	Held   time.Duration // age of its oldest lease
	Left   int64         // tasks that have not ended
	Task   time.Duration // average time of a process per task; 0 where none has ended
}

// Waiting returns why the job waits: of several reasons the first in the order of
// the kinds, as far as the facts were read. It returns nil for a job that has ended,
// runs in as many processes as it may have, or has only claimed tasks left.
func (f *WaitFacts) Waiting() *jobs.Waiting {
	switch {
	case f.Job.State.Ended():
		return nil
	case f.Halt == "failed" || f.Halt == "cancelled":
		return waiting(jobs.WaitEnding, "The job is being stopped: its running tasks are being ended.")
	case f.Halt == "paused":
		return waiting(jobs.WaitJobPaused, "The job is paused%s.", f.goOn())
	case f.Job.Counts.Waiting > 0:
	case f.Job.Inputs.Open && f.Job.Counts.Total == 0:
		return waiting(jobs.WaitInputs, "The job waits for its first input%s.", f.idleSeal())
	case f.Job.Inputs.Open && f.Job.Counts.Running == 0:
		return waiting(jobs.WaitInputs, "All inputs so far are done: the job waits for more, or to be sealed%s.", f.idleSeal())
	default:
		return nil // all that is left is claimed
	}
	if f.Queue == nil {
		return nil
	}
	if w := f.ofQueue(); w != nil {
		return w
	}
	if f.Line == nil {
		return nil
	}
	return f.inLine()
}

// InLine returns the reason for a job when only its place in its queue's line is
// known.
func InLine(queue string, place int64) *jobs.Waiting {
	w := &jobs.Waiting{Kind: jobs.WaitBusy, Position: place}
	w.Message = fmt.Sprintf("The job is %s in line of queue %s.", w.Place(), queue)
	return w
}

func waiting(kind jobs.WaitKind, message string, args ...any) *jobs.Waiting {
	return &jobs.Waiting{Kind: kind, Message: fmt.Sprintf(message, args...)}
}

// idleSeal returns the end of a sentence about an open job that is sealed by itself.
func (f *WaitFacts) idleSeal() string {
	if idle := f.Job.Inputs.IdleSeal; idle != nil {
		return "; it is sealed after " + string(*idle) + " without input"
	}
	return ""
}

// goOn returns the end of a sentence about a pause: claimed tasks still run.
func (f *WaitFacts) goOn() string {
	if n := f.Job.Counts.Running; n > 0 {
		return "; " + count(n, "claimed task still runs", "claimed tasks still run")
	}
	return ""
}

// ofQueue returns the reason that lies in the queue or its nodes.
func (f *WaitFacts) ofQueue() *jobs.Waiting {
	q := f.Queue
	switch {
	case q.Paused && q.Deleted:
		return waiting(jobs.WaitNoQueue, "Queue %s was deleted while it was paused: nothing of it starts until an admin adds it again.", q.Name)
	case q.Paused:
		return waiting(jobs.WaitQueuePaused, "Queue %s is paused%s.", q.Name, f.goOn())
	case len(f.Nodes) == 0:
		return waiting(jobs.WaitNoNode, "No living node runs tasks.")
	}
	serving := keep(f.Nodes, func(n WaitNode) bool { return n.Serves == nil || slices.Contains(n.Serves, q.Name) })
	open := keep(serving, func(n WaitNode) bool { return !n.Draining })
	switch {
	case len(serving) == 0:
		return waiting(jobs.WaitNoNode, "No living node serves queue %s: %s.", q.Name, list(f.Nodes, "; ", func(n WaitNode) string {
			if len(n.Serves) == 0 {
				return n.Host + " serves none"
			}
			return n.Host + " serves " + strings.Join(n.Serves, ", ")
		}))
	case len(open) == 0:
		return waiting(jobs.WaitNoNode, "Every node that serves queue %s is being drained: %s.", q.Name, list(serving, ", ", func(n WaitNode) string { return n.Host }))
	case len(keep(open, func(n WaitNode) bool { return !n.LowMemory })) == 0:
		return waiting(jobs.WaitMemory, "Memory is short on every node that serves queue %s: %s. No turn begins until more is free.", q.Name,
			list(open, "; ", func(n WaitNode) string {
				return fmt.Sprintf("%s has %.1f of %.1f GiB free", n.Host, float64(n.Memory.Available)/(1<<30), float64(n.Memory.Total)/(1<<30))
			}))
	}
	return nil
}

// slots returns how many processes of the queue may run at once on the nodes where
// turns begin, and cores, the number without the queue's own limit.
func (f *WaitFacts) slots() (slots, cores int) {
	for _, n := range f.Nodes {
		if (n.Serves == nil || slices.Contains(n.Serves, f.Queue.Name)) && !n.Draining && !n.LowMemory {
			cores += f.Queue.Slots(n.Cores)
		}
	}
	if most := f.Queue.MaxProcesses; most != nil {
		return min(cores, *most), cores
	}
	return cores, cores
}

// inLine returns the reason that lies in the job's tasks, its turns or the line.
func (f *WaitFacts) inLine() *jobs.Waiting {
	l := f.Line
	first := ""
	if l.More {
		first = "At least "
	}
	switch {
	case l.Ready > 0:
	case l.Later > 0:
		w := waiting(jobs.WaitRetry, "%s%s next attempt; the first is due at %s.",
			first, count(l.Later, "task waits for its", "tasks wait for their"), l.Due.UTC().Format("15:04:05 UTC"))
		w.Until = &jobs.Time{Time: l.Due}
		return w
	case l.Suspects > 0:
		return waiting(jobs.WaitSuspects, "%s%s that died: such tasks run one chunk at a time until the cause is known.",
			first, count(l.Suspects, "task was claimed by a process", "tasks were claimed by processes"))
	default:
		return nil
	}
	slots, cores := f.slots()
	width := 1
	if n := f.Job.Policy.CoresPerProcess; n != nil {
		width = min(*n, max(slots, 1)) // a process that wants more slots than exist gets them all
	}
	fits := slots-l.Used >= width
	most := int(min(int64(l.Lanes), int64(l.Running)+l.Ready))
	switch {
	case l.Running < most && l.Turns == 0 && l.Failing > 0:
		w := waiting(jobs.WaitTrouble, "The job's turns fail on their node and are tried again: %s", clipLine(l.Error, 300))
		if !l.Next.IsZero() {
			w.Until = &jobs.Time{Time: l.Next}
		}
		return w
	case l.Running < most && l.Turns == 0 && !l.Beyond && (fits || l.Running == 0):
		return waiting(jobs.WaitTurns, "No turn of the job is in line; one is put there within seconds.")
	case l.Running < most && fits && l.Ahead == 0 && !l.Beyond:
		return waiting(jobs.WaitStarting, "A slot of queue %s is free: the job gets it in a moment.", f.Queue.Name)
	case l.Running < most, !fits && l.Waiters > 0:
		return f.behind(slots, cores, most)
	case l.Fixed && fits:
		return waiting(jobs.WaitLimit, "The job runs in %s, which is all that its policy allows, though queue %s has %s free.",
			count(int64(l.Running), "process", "processes"), f.Queue.Name, count(int64(slots-l.Used), "slot", "slots"))
	}
	return nil
}

// behind returns which jobs precede the job or share the slots with it.
func (f *WaitFacts) behind(slots, cores, most int) *jobs.Waiting {
	l := f.Line
	w := &jobs.Waiting{Kind: jobs.WaitBusy, JobsBefore: l.Before, AtLeast: l.Beyond}
	room := "the " + count(int64(slots), "slot", "slots") + " of queue " + f.Queue.Name
	if slots < cores {
		w.Kind = jobs.WaitLimit
		room = "the " + count(int64(slots), "process", "processes") + " that queue " + f.Queue.Name + " allows at once"
	}
	if l.Running == 0 {
		w.Position = l.Ahead + 1
		w.StartsIn = f.startsIn(slots)
	}
	urgent := int64(0)
	for _, r := range l.Rivals {
		if r.Urgent {
			urgent++
		}
	}
	others, more := "other", ""
	switch {
	case urgent > 0 && urgent == l.Before:
		others = "more urgent"
	case urgent > 0:
		more = fmt.Sprintf(", %d of them more urgent", urgent)
	}
	first := count(l.Before, others+" job runs or comes", others+" jobs run or come") + " first" + more
	others = count(l.Before, others+" job", others+" jobs") + more
	if l.Beyond {
		others, first = "at least "+others, "at least "+first
	}
	switch {
	case l.Before == 0:
		w.Message = fmt.Sprintf("The job has %s to itself, and may run in %d.", room, l.Lanes)
	case f.Job.StartedAt != nil:
		w.Message = fmt.Sprintf("The job shares %s with %s: %s.", room, others, runningNow(l.Running, most))
	default:
		w.Message = fmt.Sprintf("The job is %s in line for %s: %s.", w.Place(), room, first)
		if !l.Beyond {
			w.Message += " " + about(w.StartsIn)
		}
	}
	return w
}

// runningNow returns how many of a job's processes run.
func runningNow(running, most int) string {
	switch {
	case most == 1 && running == 1:
		return "it runs now"
	case most == 1:
		return "it does not run now"
	case running == 0:
		return fmt.Sprintf("none of its %d processes runs now", most)
	case running == 1:
		return fmt.Sprintf("1 of its %d processes runs now", most)
	}
	return fmt.Sprintf("%d of its %d processes run now", running, most)
}

// startsIn estimates the seconds until the job's next turn. It returns nil where
// that is unknown.
//
// Turns go round robin: each turn ahead takes a quantum, or one task where that is
// longer, or the rest of its job where that is shorter. More urgent jobs run to
// their end first. The sum is spread over the slots, the first falls free when
// one of its turns is over. A job that is new to a node mostly starts sooner,
// because a lane makes room for it.
func (f *WaitFacts) startsIn(slots int) *float64 {
	l := f.Line
	if slots == 0 || l.Beyond {
		return nil
	}
	quantum := jobs.Quantum.Seconds()
	var line, there, lanes float64 // slot-seconds of turns in line, and of turns that have slots
	unlisted := l.Turned
	for _, r := range l.Rivals {
		unlisted -= r.Turns
		turn, left := max(quantum, r.Task.Seconds()), float64(r.Left)*r.Task.Seconds()
		switch {
		case r.Task == 0 && (r.Urgent || r.Held > 2*jobs.Quantum):
			return nil // it has no bound
		case r.Urgent:
			line += left
			continue
		case r.Task == 0:
			left = float64(r.Left) * quantum
		}
		line += min(float64(r.Turns)*turn, left)
		there += min(float64(r.Lanes)*turn, left)
		lanes += float64(r.Lanes)
	}
	line += float64(unlisted) * quantum
	if lanes > 0 {
		line += there / lanes
	}
	line /= float64(slots)
	return &line
}

// about returns an estimate as a sentence.
func about(seconds *float64) string {
	switch {
	case seconds == nil:
		return "How long the tasks before it take is not known yet."
	case *seconds < 1:
		return "It starts within a second or so."
	case *seconds < 90:
		return fmt.Sprintf("It starts in about %.0f s.", *seconds)
	case *seconds < 90*60:
		return fmt.Sprintf("It starts in about %.0f min.", *seconds/60)
	}
	return fmt.Sprintf("It starts in about %.0f h.", *seconds/3600)
}

// count returns "1 task" or "2 tasks".
func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

// keep returns the nodes for which so is true.
func keep(nodes []WaitNode, so func(WaitNode) bool) []WaitNode {
	return slices.DeleteFunc(slices.Clone(nodes), func(n WaitNode) bool { return !so(n) })
}

// listed is the most nodes that a sentence names.
const listed = 3

// list returns what say returns for the first few nodes, joined by between.
func list(nodes []WaitNode, between string, say func(WaitNode) string) string {
	var said []string
	for _, n := range nodes[:min(len(nodes), listed)] {
		said = append(said, say(n))
	}
	if more := len(nodes) - listed; more > 0 {
		said = append(said, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(said, between)
}

// clipLine returns the first line of text, at most n characters of it.
func clipLine(text string, n int) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	if runes := []rune(text); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return text
}
