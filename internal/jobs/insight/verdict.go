package insight

import (
	"fmt"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// A VerdictKind names the cause that bounded a job's speed-up.
type VerdictKind string

// The verdicts.
const (
	WellSpread      VerdictKind = "well_spread"
	InterpreterLock VerdictKind = "interpreter_lock"  // several threads, yet a process uses one core
	WaitingOnIO     VerdictKind = "waiting_on_io"     // tasks hardly compute
	DataMovement    VerdictKind = "data_movement"     // more time goes to data than to tasks
	OneLongTask     VerdictKind = "one_long_task"     // others wait for one task's end
	IdleTail        VerdictKind = "idle_tail"         // others wait for the end of the last tasks
	TooLittleWork   VerdictKind = "too_little_work"   // a task costs more to distribute than to run
	WaitingForSlots VerdictKind = "waiting_for_slots" // other work has the slots
	NothingToClaim  VerdictKind = "nothing_to_claim"  // it was paused, or had no inputs yet
)

// VerdictKinds lists the verdicts.
var VerdictKinds = []VerdictKind{
	WellSpread, InterpreterLock, WaitingOnIO, DataMovement, OneLongTask, IdleTail, TooLittleWork, WaitingForSlots, NothingToClaim,
}

// A Verdict states in a sentence what bounded a job's speed-up, with the figure that
// shows it.
type Verdict struct {
	Kind     VerdictKind `json:"kind" enum:"well_spread,interpreter_lock,waiting_on_io,data_movement,one_long_task,idle_tail,too_little_work,waiting_for_slots,nothing_to_claim"`
	Sentence string      `json:"sentence"`
	Advice   string      `json:"advice" doc:"What to change; empty for nothing."`
}

// Thresholds of the verdicts. Shares are of the time in which lanes had a slot or
// nothing left to do: a wait for a slot is not the job's fault.
const (
	leastWork    = time.Second // less is too short to judge
	mostStanding = 1.0 / 3     // most share of waits, and of nothing to claim, with which the rest is judged
	leastInTasks = 0.75        // least share of time in tasks of a well-spread job
	mostlyLost   = 0.5         // with a smaller share in tasks, what took the rest comes first
	longTail     = 0.2         // least share of idle tails that is reported
	setsPace     = 0.5         // share of the time since the first lane ran dry from which one task is to blame

	// The tasks of a process that its interpreter lock bounds keep about one core
	// busy. Short tasks hardly overlap, because the thread that has the lock also
	// takes the next task; so idle threads mean nothing.
	lockedLeast, lockedMost = 0.6, 1.3
	lockedTasks             = 0.6

	// Tasks that compute for a smaller share of their time wait for something else,
	// unless the job keeps half the cores busy: then they may wait for cores.
	computing = 0.25
	halfBusy  = 0.5

	coresFull = 0.75 // share of all cores busy with the job that counts as well spread

	// From that many bytes of input and output on, moving them costs more than the
	// task's other overhead.
	largeData = 1 << 10

	slowStart = 10 * time.Millisecond // a warm process is ready sooner
)

// nothingEnded is the reason for no verdict at first.
const nothingEnded = "no task has ended"

// verdict returns what best explains where the time went, or why it cannot judge.
func (f ReportFacts) verdict(r *Report, t times) (v *Verdict, reason string) {
	worked := seconds(max(t.tasks, t.held()/float64(r.AtOnce)))
	switch {
	case f.Durations.n == 0:
		return nil, nothingEnded
	case worked < leastWork && f.Ended:
		return nil, "too short to judge: " + spell(worked)
	case worked < leastWork:
		return nil, "too early to judge: " + spell(worked) + " so far"
	case (t.waiting+t.idle) >= mostStanding*t.all && max(t.waiting, t.idle) >= max(t.moving+t.other, t.tail):
		return stoodStill(r, t), ""
	}
	return f.explain(r, t), ""
}

// stoodStill returns the verdict on a job whose lanes had no slot or nothing to
// claim.
func stoodStill(r *Report, t times) *Verdict {
	gained := fmt.Sprintf(" That leaves a speed-up of %s, where %d is the most.", ratio(r.SpeedUp), r.AtOnce)
	if t.waiting >= t.idle {
		return &Verdict{
			Kind:     WaitingForSlots,
			Sentence: fmt.Sprintf("For %s of the time of %s there was no slot: other work had them.", percent(t.waiting/t.all), placesText(r)) + gained,
			Advice:   "Submit it with a priority that goes first, give its queue more slots, or run it when there is less else to do.",
		}
	}
	return &Verdict{
		Kind:     NothingToClaim,
		Sentence: fmt.Sprintf("For %s of the time of %s there was nothing to claim: the job was paused, had no inputs yet, or waited for a retry.", percent(t.idle/t.all), placesText(r)) + gained,
		Advice:   "Append inputs faster, or let retries wait for less time; a pause need not be changed.",
	}
}

// explain returns what best explains the time of lanes that had a slot and
// something to claim.
func (f ReportFacts) explain(r *Report, t times) *Verdict {
	inTasks, tail, handling := t.tasks/t.held(), t.tail/t.held(), (t.moving+t.other)/t.held()
	cpu := r.UserSeconds + r.SystemSeconds
	cores := float64(max(r.Cores, 1))
	switch {
	case f.Total == 1 && inTasks >= mostlyLost:
		return f.longTask(r, t)
	case f.locked(r, cpu) && !(tail >= longTail && f.setPace(r, t)):
		return f.lockBound(r, cpu)
	case inTasks < mostlyLost:
		return f.lost(r, t, tail, handling)
	case tail >= longTail:
		return f.longTask(r, t)
	case t.measured > 0 && cpu/t.measured < computing && r.CoresBusy < halfBusy*cores:
		return &Verdict{
			Kind: WaitingOnIO,
			Sentence: fmt.Sprintf("Tasks computed for %s of the time that they took: CPU / wall is %s for %s.",
				percent(cpu/t.measured), ratio(r.CoresBusy), placesText(r)),
			Advice: "More tasks can wait at once: give each process more threads, or use the queue io, which has more slots for each core.",
		}
	case r.AtOnce > r.Cores && r.CoresBusy >= coresFull*cores:
		// The sum of task times includes waits for cores.
		return &Verdict{
			Kind: WellSpread,
			Sentence: fmt.Sprintf("Tasks kept %s of %s busy (CPU / wall), with up to %d at once.",
				ratio(r.CoresBusy), counted(r.Cores, "core"), r.AtOnce) + waited(r),
		}
	case inTasks < leastInTasks:
		return f.lost(r, t, tail, handling)
	}
	of := "of " + placesText(r)
	if waited(r) != "" {
		of = "that " + placesText(r) + " had a slot and something to claim"
	}
	return &Verdict{
		Kind: WellSpread,
		Sentence: fmt.Sprintf("Tasks filled %s of the time %s: a speed-up of %s, where %d is the most.",
			percent(inTasks), of, ratio(r.SpeedUp), r.AtOnce) + waited(r),
	}
}

// lost returns the verdict on a job whose time mostly did not go to tasks.
func (f ReportFacts) lost(r *Report, t times, tail, handling float64) *Verdict {
	if tail > handling {
		return f.longTask(r, t)
	}
	n := float64(max(f.Durations.n, 1))
	if t.starting > (t.moving+t.other)/2 && f.Lanes.starting >= slowStart {
		return &Verdict{
			Kind: TooLittleWork,
			Sentence: fmt.Sprintf("Getting processes ready, with the program loaded, took %s of the time, the tasks themselves %s.",
				percent(t.starting/t.all), percent(t.tasks/t.all)),
			Advice: "More work pays for the start; fewer processes start less, and ones that have run the same program start at once.",
		}
	}
	if bytes := float64(f.InputBytes+f.OutputBytes) / n; bytes >= largeData {
		return &Verdict{
			Kind: DataMovement,
			Sentence: fmt.Sprintf("%s of the time went to encoding, moving and recording %s, %s a task; %s to the tasks themselves.",
				percent(handling), jobs.FloatByteSize(float64(f.InputBytes+f.OutputBytes)), jobs.FloatByteSize(bytes), percent(1-handling-tail)),
			Advice: "Return less from a task, such as a summary or the name of a file that it wrote; larger chunks make fewer trips.",
		}
	}
	advice := "Do more in each task: let an input stand for a range of what it stands for now."
	if f.FixedChunks {
		advice = "Let chunks be larger: without chunk_size they are as large as it takes."
	}
	return &Verdict{
		Kind: TooLittleWork,
		Sentence: fmt.Sprintf("A task took %s on average, handing it out and taking in its outcome %s: %s of the time went to tasks.",
			spell(seconds(t.measured/n)), spell(seconds((t.moving+t.other)/n)), percent(1-handling-tail)),
		Advice: advice,
	}
}

// locked reports whether processes with several places keep one core busy.
func (f ReportFacts) locked(r *Report, cpu float64) bool {
	ran := (f.Lanes.ran - f.Lanes.claimed).Seconds()
	if !f.Interpreter || r.AtOnce <= r.Lanes || ran <= 0 {
		return false
	}
	return f.Lanes.tasks.Seconds()/ran >= lockedTasks && cpu/ran >= lockedLeast && cpu/ran <= lockedMost
}

func (f ReportFacts) lockBound(r *Report, cpu float64) *Verdict {
	used := cpu / (f.Lanes.ran - f.Lanes.claimed).Seconds()
	if r.Cores > 0 {
		used = min(used, float64(r.Cores))
	}
	return &Verdict{
		Kind: InterpreterLock,
		Sentence: fmt.Sprintf("A process of %d threads used %s cores while it ran (CPU / wall): the interpreter lock lets one of them compute at a time.",
			f.Threads, ratio(used)),
		Advice: "Use processes in the place of threads: threads 1, and as many processes as there are cores.",
	}
}

// setPace reports whether the longest task alone explains that lanes were idle: it
// was among the last to end, and long enough. While it runs, all other places can
// be idle.
func (f ReportFacts) setPace(r *Report, t times) bool {
	explained := max(t.dry.Seconds(), t.tail/float64(max(r.AtOnce-1, 1)))
	return r.Longest.Seconds >= setsPace*explained && f.Lanes.endsWith(r.Longest.Index, t.dry/2)
}

// longTask returns the verdict on a job whose lanes were idle at its end.
func (f ReportFacts) longTask(r *Report, t times) *Verdict {
	long := r.Longest
	took := spell(seconds(long.Seconds))
	doing := "took"
	if long.Running {
		doing = "has run for"
	}
	switch {
	case f.Total == 1:
		return &Verdict{
			Kind:     OneLongTask,
			Sentence: fmt.Sprintf("There is only one task: it %s %s, %s of the wall time.", doing, took, percent(long.ShareOfWall)),
			Advice:   "One task runs on one core: split it into several inputs.",
		}
	case f.setPace(r, t):
		return &Verdict{
			Kind: OneLongTask,
			Sentence: fmt.Sprintf("Task %d %s %s, %s of the wall time; lanes without work were idle for %s of all lanes' time.",
				long.Index, doing, took, percent(long.ShareOfWall), percent(t.tail/t.all)),
			Advice: "Split that task, or put it first: then others run beside it.",
		}
	}
	return &Verdict{
		Kind: IdleTail,
		Sentence: fmt.Sprintf("Lanes that had no work left were idle for %s of all lanes' time, while the last tasks ran; none of them was long: the longest task took %s.",
			percent(t.tail/t.all), took),
		Advice: "More and shorter tasks, or smaller chunks, end more evenly.",
	}
}
