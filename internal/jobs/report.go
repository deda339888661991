package jobs

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// A Report says how well a job's tasks were spread, and what that was bound by.
// Speed-up and efficiency are those of Eager, Zahorjan and Lazowska, "Speedup
// versus efficiency in parallel systems" (IEEE Transactions on Computers 38(3),
// 1989), S = T₁/Tₚ and E = S/p, where the sum of the tasks' own wall time stands
// for T₁: a serial run is never made. So tasks that slow each other down (for
// the interpreter lock, a core, a disk) make S look better than it is; the
// verdict looks at CPU time for that.
type Report struct {
	Ended         bool    `json:"ended" doc:"false: what is known so far."`
	WallSeconds   float64 `json:"wall_seconds" doc:"From the first claim to the end, or to now, in one run of the job, as all that follows."`
	UserSeconds   float64 `json:"user_seconds" doc:"CPU time of its processes in user mode, starting them included."`
	SystemSeconds float64 `json:"system_seconds" doc:"CPU time of its processes in the kernel."`
	TaskSeconds   float64 `json:"task_seconds" doc:"Wall time of all tasks added up: what one after the other would take. Every attempt counts; of tasks in hand, the time so far."`
	SpeedUp       float64 `json:"speed_up" doc:"task_seconds / wall_seconds: tasks in hand at once, on average."`
	Efficiency    float64 `json:"efficiency" doc:"speed_up / at_once: 1 where every place had a task in hand all the time."`
	IdealSeconds  float64 `json:"ideal_seconds" doc:"No schedule on at_once places is shorter: the longest task, or task_seconds / at_once where that is more."`
	AtOnce        int     `json:"at_once" doc:"Places for tasks: lanes × threads, but no more than there are tasks."`
	Lanes         int     `json:"lanes" doc:"The most that ran at the same moment."`
	Threads       int     `json:"threads" doc:"Tasks at once in a process, by the policy."`
	Chunks        int64   `json:"chunks"`
	Cores         int     `json:"cores" doc:"Cores that they ran on; in a queue without pinning all cores of their nodes."`
	CoresBusy     float64 `json:"cores_busy" doc:"CPU time / wall time."`
	Shares        Shares  `json:"shares" doc:"Of at_once × wall_seconds; they add up to 1."`
	InputBytes    int64   `json:"input_bytes" doc:"As JSON; 0 for a range, and for a retry, which takes only some of them."`
	OutputBytes   int64   `json:"output_bytes" doc:"As stored: JSON, or packed where they are many numbers."`
	PeakMemory    int64   `json:"peak_memory_bytes" doc:"Most that one process had resident; 0 when it is not known."`

	Tasks     TaskTimes `json:"tasks"`
	Longest   *LongTask `json:"longest,omitempty" doc:"Not there before a task has ended."`
	Histogram []Bin     `json:"histogram" nullable:"false" doc:"Tasks by their wall time, in bins that follow each other on a logarithmic scale."`

	Verdict *Verdict `json:"verdict,omitempty" doc:"Not there before a task has ended."`
}

// Shares say where the lanes' time went, of as many lanes as ran at once at
// most. They add up to 1. With several threads a lane's time counts for each.
type Shares struct {
	Tasks   float64 `json:"tasks" doc:"Inside tasks. What is in hand now counts as such."`
	Moving  float64 `json:"moving" doc:"Decoding inputs, encoding and moving outputs, in the lane's process."`
	Waiting float64 `json:"waiting" doc:"No slot: the lane's turn stood in the queue's line."`
	Tail    float64 `json:"idle_tail" doc:"Nothing was left for the lane, while others were still at work."`
	Idle    float64 `json:"idle" doc:"Nothing to claim before that: the job was paused, had no inputs yet, a retry was not due; or a node joined later."`
	Other   float64 `json:"other" doc:"The rest: processes being started, chunks claimed and recorded, loops between tasks."`
}

// TaskTimes describe the wall time of the tasks that have ended. Those whose
// time is not known (their node was lost with them) are left out. Quantiles are
// the smallest time that so many of the tasks did not exceed, with an error of
// 0.04 % (see EncodeDuration).
type TaskTimes struct {
	Count  int64   `json:"count"`
	MeanMS float64 `json:"mean_ms"`
	P50MS  float64 `json:"p50_ms"`
	P95MS  float64 `json:"p95_ms"`
	P99MS  float64 `json:"p99_ms"`
}

// A LongTask is the task that took longest, the first of equal ones.
type LongTask struct {
	Index       int64   `json:"index"`
	Seconds     float64 `json:"seconds"`
	ShareOfWall float64 `json:"share_of_wall"`
	Running     bool    `json:"running" doc:"It still runs."`
}

// A VerdictKind is what a job's speed-up was bound by.
type VerdictKind string

// The verdicts.
const (
	WellSpread      VerdictKind = "well_spread"
	InterpreterLock VerdictKind = "interpreter_lock" // several threads, yet a process uses one core
	WaitingOnIO     VerdictKind = "waiting_on_io"    // tasks hardly compute
	DataMovement    VerdictKind = "data_movement"    // more time goes to data than to tasks
	OneLongTask     VerdictKind = "one_long_task"    // others wait for the last task's end
	TooLittleWork   VerdictKind = "too_little_work"  // a task costs more to hand out than to run
)

// A Verdict says in a sentence what a job's speed-up was bound by, with the
// number that shows it.
type Verdict struct {
	Kind     VerdictKind `json:"kind" enum:"well_spread,interpreter_lock,waiting_on_io,data_movement,one_long_task,too_little_work"`
	Sentence string      `json:"sentence"`
	Advice   string      `json:"advice" doc:"What to change; empty where nothing need be."`
}

// ReportFacts is what is recorded of a job's run.
type ReportFacts struct {
	Ended       bool
	Wall        time.Duration
	Total       int64 // tasks of the job
	Left        bool  // some tasks wait to be claimed
	Paused      bool  // nothing may be claimed now
	Threads     int   // tasks at once in a process
	Interpreter bool  // the tasks of a process share one interpreter
	FixedChunks bool  // the policy says how large chunks are
	Cores       int   // that the lanes ran on; 0 where that is not known

	Lanes     *LaneTimes
	Durations *Durations

	InputBytes, OutputBytes int64
}

// What the verdicts go by. Shares are of the time in which lanes held a slot or
// had nothing left to do: a wait for a slot is not the job's fault.
const (
	leastInTasks = 0.75 // share of time in tasks from which on a job is well spread
	mostlyLost   = 0.5  // less than that in tasks: what took the rest comes before all else
	longTail     = 0.2  // share of idle tails that is worth a word
	setsPace     = 0.5  // of the time since the first lane ran dry, by one task: it is to blame

	// A process that is bound by the lock of its interpreter keeps about one
	// core busy, with its tasks. Short ones hardly overlap, as the thread that
	// has the lock takes the next task with it; so idle threads tell nothing.
	lockedLeast, lockedMost = 0.6, 1.3
	lockedTasks             = 0.6

	// Tasks that compute for less than this share of their time wait for
	// something else, unless the job has half the cores busy: then it may be
	// cores that they wait for.
	computing = 0.25
	halfBusy  = 0.5

	coresFull = 0.75 // share of all cores, busy with the job, that is well spread whatever else

	// A task with that many bytes of input and output costs more for them than
	// for being a task.
	largeData = 1 << 10

	slowStart = 10 * time.Millisecond // a process that is warm is ready sooner
)

// Report draws the conclusions from the facts.
func (f ReportFacts) Report() *Report {
	l, d := f.Lanes, f.Durations
	r := &Report{
		Ended: f.Ended, WallSeconds: f.Wall.Seconds(),
		UserSeconds: l.user.Seconds(), SystemSeconds: l.system.Seconds(),
		Threads: max(f.Threads, 1), Chunks: l.chunks,
		Cores: f.Cores, InputBytes: f.InputBytes, OutputBytes: f.OutputBytes, PeakMemory: l.peakMemory,
		Tasks: d.times(), Histogram: d.histogram(),
	}
	if f.Wall <= 0 || l.chunks == 0 {
		return r
	}
	// The most lanes at once are taken from samples, and the average cannot be
	// more. What it exceeds a whole number by a little is measuring.
	average := (l.tasks.Seconds()/float64(r.Threads) + l.inHand.Seconds()) / r.WallSeconds
	r.Lanes = max(l.atOnce(), int(math.Ceil(average-0.05)), 1)
	r.AtOnce = int(min(int64(r.Lanes*r.Threads), max(f.Total, 1)))
	r.CoresBusy = (r.UserSeconds + r.SystemSeconds) / r.WallSeconds
	t := f.split(r)
	r.TaskSeconds = t.tasks
	r.SpeedUp = t.tasks / r.WallSeconds
	r.Efficiency = r.SpeedUp / float64(r.AtOnce)
	r.Longest = f.longest()
	r.IdealSeconds = t.tasks / float64(r.AtOnce)
	if r.Longest != nil {
		// Graham, "Bounds on multiprocessing timing anomalies" (SIAM Journal on
		// Applied Mathematics 17(2), 1969).
		r.IdealSeconds = max(r.IdealSeconds, r.Longest.Seconds)
	}
	r.Shares = Shares{
		Tasks: t.tasks / t.all, Moving: t.moving / t.all, Waiting: t.waiting / t.all,
		Tail: t.tail / t.all, Idle: t.idle / t.all, Other: t.other / t.all,
	}
	if d.n > 0 && t.held() > 0 {
		r.Verdict = f.verdict(r, t)
	}
	return r
}

// times are seconds of all places: their sum is all.
type times struct {
	all, tasks, moving, waiting, tail, idle, other float64

	measured float64       // of tasks, without what is in hand
	starting float64       // processes; part of other
	dry      time.Duration // since the first lane had nothing left
}

// held is the time in which lanes had a slot, or nothing was left for them.
func (t times) held() float64 { return t.all - t.waiting - t.idle }

// split says where the time of the lanes went. A lane of several threads has as
// many places, or as many as there are tasks for.
func (f ReportFacts) split(r *Report) times {
	l := f.Lanes
	places := float64(r.AtOnce) / float64(r.Lanes) // a lane
	t := times{measured: l.tasks.Seconds(), moving: l.moving.Seconds(), starting: l.starting.Seconds() * places}
	t.tasks = t.measured + l.inHand.Seconds()*places
	t.all = max(r.WallSeconds*float64(r.AtOnce), t.tasks+t.moving)
	waited := l.waited
	switch {
	case f.Ended || !f.Left:
		var tail time.Duration
		tail, t.dry = l.tail(r.Lanes)
		t.tail = tail.Seconds() * places
		if long := f.longest(); long != nil {
			t.tail += l.threadsIdle(places, long.Seconds)
		}
	case !f.Paused: // turns that do not run stand in the line
		waited += l.lineSoFar()
	}
	// What was measured counts first, and nothing twice: threads are idle
	// unevenly where there are few tasks.
	left := t.all - t.tasks - t.moving
	take := func(seconds float64) float64 {
		seconds = min(max(seconds, 0), left)
		left -= seconds
		return seconds
	}
	t.tail = take(t.tail)
	missing := r.WallSeconds*float64(r.AtOnce) - l.ran.Seconds()*places - t.tail
	t.waiting = take(min(waited.Seconds()*places, missing))
	t.idle = take(missing - t.waiting)
	t.other = left
	return t
}

// longest is the longest task that has ended, or one that has been in hand for
// longer than that and is alone in its chunk.
func (f ReportFacts) longest() *LongTask {
	index, took, ok := f.Durations.longest()
	if !ok {
		return nil
	}
	long := &LongTask{Index: index}
	if f.Lanes.alone > took {
		took, long.Index, long.Running = f.Lanes.alone, f.Lanes.aloneIndex, true
	}
	long.Seconds = took.Seconds()
	long.ShareOfWall = long.Seconds / f.Wall.Seconds()
	return long
}

// verdict picks what explains best where the time went.
func (f ReportFacts) verdict(r *Report, t times) *Verdict {
	inTasks, tail, handling := t.tasks/t.held(), t.tail/t.held(), (t.moving+t.other)/t.held()
	cpu := r.UserSeconds + r.SystemSeconds
	cores := float64(max(r.Cores, 1))
	switch {
	case f.Total == 1 && inTasks >= mostlyLost:
		return f.longTask(r, t, tail)
	case f.locked(r, cpu) && !(tail >= longTail && setPace(r, t)):
		return f.lockBound(cpu)
	case inTasks < mostlyLost:
		return f.lost(r, t, tail, handling)
	case tail >= longTail:
		return f.longTask(r, t, tail)
	case t.measured > 0 && cpu/t.measured < computing && r.CoresBusy < halfBusy*cores:
		return &Verdict{
			Kind: WaitingOnIO,
			Sentence: fmt.Sprintf("Tasks computed for %s of the time that they took: CPU / wall is %s for %s.",
				percent(cpu/t.measured), ratio(r.CoresBusy), placesText(r)),
			Advice: "More tasks can wait at once: give each process more threads, or use the queue io, which has more slots for each core.",
		}
	case r.AtOnce > r.Cores && r.CoresBusy >= coresFull*cores:
		// The sum of task time is more than there was to do: tasks waited for cores.
		return &Verdict{
			Kind: WellSpread,
			Sentence: fmt.Sprintf("Tasks kept %s of %s busy (CPU / wall), with up to %d at once.",
				ratio(r.CoresBusy), counted(r.Cores, "core"), r.AtOnce) + waited(r),
		}
	case inTasks < leastInTasks:
		return f.lost(r, t, tail, handling)
	}
	return &Verdict{
		Kind: WellSpread,
		Sentence: fmt.Sprintf("Tasks filled %s of the time of %s: a speed-up of %s, where %d is the most.",
			percent(inTasks), placesText(r), ratio(r.SpeedUp), r.AtOnce) + waited(r),
	}
}

// lost is the verdict on a job whose time went elsewhere than to tasks.
func (f ReportFacts) lost(r *Report, t times, tail, handling float64) *Verdict {
	if tail > handling {
		return f.longTask(r, t, tail)
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
				percent(handling), byteSize(float64(f.InputBytes+f.OutputBytes)), byteSize(bytes), percent(1-handling-tail)),
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
	ran := (f.Lanes.ran - f.Lanes.inHand).Seconds()
	if !f.Interpreter || r.AtOnce <= r.Lanes || ran <= 0 {
		return false
	}
	return f.Lanes.tasks.Seconds()/ran >= lockedTasks && cpu/ran >= lockedLeast && cpu/ran <= lockedMost
}

func (f ReportFacts) lockBound(cpu float64) *Verdict {
	ran := (f.Lanes.ran - f.Lanes.inHand).Seconds()
	return &Verdict{
		Kind: InterpreterLock,
		Sentence: fmt.Sprintf("A process of %d threads used %s cores while it ran (CPU / wall): the interpreter lock lets one of them compute at a time.",
			f.Threads, ratio(cpu/ran)),
		Advice: "Use processes in the place of threads: threads 1, and as many processes as there are cores.",
	}
}

// setPace reports whether the longest task alone explains that lanes were idle.
func setPace(r *Report, t times) bool {
	return seconds(r.Longest.Seconds) >= time.Duration(setsPace*float64(t.dry))
}

// longTask is the verdict on a job whose lanes were idle at its end.
func (f ReportFacts) longTask(r *Report, t times, tail float64) *Verdict {
	v := &Verdict{Kind: OneLongTask}
	long := r.Longest
	took := spell(seconds(long.Seconds))
	doing := "took"
	if long.Running {
		doing = "has run for"
	}
	switch {
	case f.Total == 1:
		v.Sentence = fmt.Sprintf("There is only one task: it %s %s, %s of the wall time.", doing, took, percent(long.ShareOfWall))
		v.Advice = "One task runs on one core: split it into several inputs."
	case setPace(r, t):
		v.Sentence = fmt.Sprintf("Task %d %s %s, %s of the wall time; lanes without work were idle for %s of all lanes' time.",
			long.Index, doing, took, percent(long.ShareOfWall), percent(tail))
		v.Advice = "Split that task, or put it first: then others run beside it."
	default:
		v.Sentence = fmt.Sprintf("The last tasks set the pace: lanes without work were idle for %s of all lanes' time; the longest task is %d with %s.",
			percent(tail), long.Index, took)
		v.Advice = "More and shorter tasks, or smaller chunks, end more evenly."
	}
	return v
}

func placesText(r *Report) string {
	text := counted(r.Lanes, "lane")
	if r.Threads > 1 {
		text += fmt.Sprintf(" of %d threads", r.Threads)
	}
	return text
}

// waited adds how long lanes had no slot, where that is worth a word.
func waited(r *Report) string {
	if r.Shares.Waiting < 0.05 {
		return ""
	}
	return fmt.Sprintf(" For %s of the time they had no slot.", percent(r.Shares.Waiting))
}

func counted(n int, word string) string {
	if n != 1 {
		word += "s"
	}
	return strconv.Itoa(n) + " " + word
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * float64(time.Second))) }

// percent is a share of 1 as text, with a digit after the point below 10 %.
func percent(share float64) string {
	p := 100 * share
	if p > 0 && p < 9.95 {
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	}
	return strconv.FormatFloat(max(p, 0), 'f', 0, 64) + " %"
}

// ratio is a factor as text, with two digits after the point below 10.
func ratio(v float64) string {
	if v < 9.95 {
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

// spell is a duration as text, with two significant digits at least.
func spell(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}, {1, "ns"}} {
		if d < u.unit && u.unit > 1 {
			continue
		}
		v := float64(d) / float64(u.unit)
		if v < 9.95 && u.unit > 1 {
			return strconv.FormatFloat(v, 'f', 1, 64) + " " + u.name
		}
		return strconv.FormatFloat(v, 'f', 0, 64) + " " + u.name
	}
	return "0 s"
}

// byteSize is a number of bytes as text, in powers of 1024.
func byteSize(bytes float64) string {
	unit := 0
	for bytes >= 1023.5 && unit < 4 {
		bytes /= 1024
		unit++
	}
	text := strconv.FormatFloat(bytes, 'f', 0, 64)
	if unit > 0 && bytes < 99.95 {
		text = strconv.FormatFloat(bytes, 'f', 1, 64)
	}
	return text + " " + []string{"bytes", "KiB", "MiB", "GiB", "TiB"}[unit]
}
