package insight

import (
	"math"
	"time"
)

// A Report is the speed-up report: how well a job's tasks were spread, and what
// bounded the speed-up.
// Speed-up and efficiency are those of Eager, Zahorjan and Lazowska, "Speedup
// versus efficiency in parallel systems" (IEEE Transactions on Computers 38(3),
// 1989), S = T₁/Tₚ and E = S/p, where the sum of the tasks' own wall time stands
// for T₁: a serial run is never made. So tasks that slow each other down (for
// the interpreter lock, a core, a disk) make S look better than it is; the
// verdict looks at CPU time for that.
type Report struct {
	Ended         bool    `json:"ended" doc:"false: figures so far."`
	WallSeconds   float64 `json:"wall_seconds" doc:"From the first claim to the end, or to now. This and all figures are of one run of the job."`
	UserSeconds   float64 `json:"user_seconds" doc:"CPU time of its processes in user mode, their start included."`
	SystemSeconds float64 `json:"system_seconds" doc:"CPU time of its processes in the kernel."`
	TaskSeconds   float64 `json:"task_seconds" doc:"Sum of the wall time of all tasks: the time of a serial run. Every attempt counts; of running tasks, the time so far. At most at_once × wall_seconds."`
	SpeedUp       float64 `json:"speed_up" doc:"task_seconds / wall_seconds: tasks at once, on average."`
	Efficiency    float64 `json:"efficiency" doc:"speed_up / at_once, at most 1: every place ran a task all the time."`
	IdealSeconds  float64 `json:"ideal_seconds" doc:"Lower bound for any schedule on at_once places: the longest task, or task_seconds / at_once where that is more."`
	AtOnce        int     `json:"at_once" doc:"Places for tasks: lanes × threads, at most the number of tasks."`
	Lanes         int     `json:"lanes" doc:"Most lanes that ran at the same moment."`
	Threads       int     `json:"threads" doc:"Tasks at once in a process, from the policy."`
	Chunks        int64   `json:"chunks"`
	Cores         int     `json:"cores" doc:"Cores that the lanes ran on; in a queue without pinning, all cores of their nodes."`
	CoresBusy     float64 `json:"cores_busy" doc:"CPU time / wall time, at most cores."`
	Shares        Shares  `json:"shares" doc:"Shares of at_once × wall_seconds; they add up to 1."`
	InputBytes    int64   `json:"input_bytes" doc:"Size as JSON; 0 for a range, and for a retry, which uses only some inputs."`
	OutputBytes   int64   `json:"output_bytes" doc:"Size as stored: JSON, or packed numbers."`
	PeakMemory    int64   `json:"peak_memory_bytes" doc:"Most resident memory of one process; 0 where unknown."`

	Tasks     TaskTimes `json:"tasks"`
	Longest   *LongTask `json:"longest,omitempty" doc:"Absent before a task has ended."`
	Histogram []Bin     `json:"histogram" nullable:"false" doc:"Tasks by wall time, in adjacent bins on a logarithmic scale."`

	Verdict       *Verdict `json:"verdict" doc:"null where verdict_reason says why."`
	VerdictReason string   `json:"verdict_reason" doc:"Why there is no verdict, such as: too short to judge: 10 ms. Else empty."`
}

// Shares divide the time of the lanes, as many as ran at once at most. They add up
// to 1. With several threads, a lane's time counts once per thread.
type Shares struct {
	Tasks   float64 `json:"tasks" doc:"Inside tasks. Running chunks count as such."`
	Moving  float64 `json:"moving" doc:"Decoding inputs, encoding and moving outputs, in the lane's process."`
	Waiting float64 `json:"waiting" doc:"No slot: the lane's turn was in the queue's line."`
	Tail    float64 `json:"idle_tail" doc:"Nothing was left for the lane while others still worked."`
	Idle    float64 `json:"idle" doc:"Nothing to claim before that: the job was paused or had no inputs, a retry was not due, or a node joined later."`
	Other   float64 `json:"other" doc:"The rest: starting processes, claiming and recording chunks, loops between tasks."`
}

// TaskTimes describe the wall times of ended tasks, without those whose time is
// unknown because their node was lost. A quantile is the smallest time that the
// share of tasks did not exceed, with an error of 0.04 % (see EncodeDuration).
type TaskTimes struct {
	Count  int64   `json:"count"`
	MeanMS float64 `json:"mean_ms"`
	P50MS  float64 `json:"p50_ms"`
	P95MS  float64 `json:"p95_ms"`
	P99MS  float64 `json:"p99_ms"`
}

// A LongTask is the longest task, the first of equal ones.
type LongTask struct {
	Index       int64   `json:"index"`
	Seconds     float64 `json:"seconds"`
	ShareOfWall float64 `json:"share_of_wall"`
	Running     bool    `json:"running" doc:"It still runs."`
}

// ReportFacts are the records of a job's run.
type ReportFacts struct {
	Ended       bool
	Wall        time.Duration
	Total       int64 // tasks of the job
	Left        bool  // some tasks wait to be claimed
	Paused      bool  // no chunk may be claimed now
	Threads     int   // tasks at once in a process
	Interpreter bool  // the tasks of a process share one interpreter
	FixedChunks bool  // the policy sets the chunk size
	Cores       int   // that the lanes ran on; 0 where unknown
	MostLanes   int   // that the policy allows; 0 for no limit

	Lanes     *LaneTimes
	Durations *Durations

	InputBytes, OutputBytes int64
}

// Report computes the report.
func (f ReportFacts) Report() *Report {
	l, d := f.Lanes, f.Durations
	r := &Report{
		Ended: f.Ended, WallSeconds: f.Wall.Seconds(),
		UserSeconds: l.user.Seconds(), SystemSeconds: l.system.Seconds(),
		Threads: max(f.Threads, 1), Chunks: l.chunks,
		Cores: f.Cores, InputBytes: f.InputBytes, OutputBytes: f.OutputBytes, PeakMemory: l.peakMemory,
		Tasks: d.times(), Histogram: d.histogram(), VerdictReason: nothingEnded,
	}
	if f.Wall <= 0 || l.chunks == 0 {
		return r
	}
	// The most lanes at once come from samples, and the average cannot exceed them.
	// A small excess over a whole number is measuring error.
	average := (l.tasks.Seconds()/float64(r.Threads) + l.claimed.Seconds()) / r.WallSeconds
	r.Lanes = max(l.atOnce(), int(math.Ceil(average-0.05)), 1)
	if f.MostLanes > 0 {
		r.Lanes = min(r.Lanes, f.MostLanes)
	}
	r.AtOnce = int(min(int64(r.Lanes*r.Threads), max(f.Total, 1)))
	// Processes also compute before their chunks begin.
	if r.CoresBusy = (r.UserSeconds + r.SystemSeconds) / r.WallSeconds; r.Cores > 0 {
		r.CoresBusy = min(r.CoresBusy, float64(r.Cores))
	}
	t := f.split(r)
	r.TaskSeconds = t.tasks
	r.SpeedUp = t.tasks / r.WallSeconds
	r.Efficiency = r.SpeedUp / float64(r.AtOnce)
	r.Longest = f.longest()
	r.IdealSeconds = t.tasks / float64(r.AtOnce)
	if r.Longest != nil {
		// Graham, "Bounds on multiprocessing timing anomalies" (SIAM Journal on
		// Applied Mathematics 17(2), 1969).
		r.IdealSeconds = min(max(r.IdealSeconds, r.Longest.Seconds), r.WallSeconds)
	}
	r.Shares = Shares{
		Tasks: t.tasks / t.all, Moving: t.moving / t.all, Waiting: t.waiting / t.all,
		Tail: t.tail / t.all, Idle: t.idle / t.all, Other: t.other / t.all,
	}
	r.Verdict, r.VerdictReason = f.verdict(r, t)
	return r
}

// times are seconds summed over all places.
type times struct {
	all, tasks, moving, waiting, tail, idle, other float64

	measured float64       // of tasks, without running chunks
	starting float64       // processes; part of other
	dry      time.Duration // since the first lane had nothing left
}

// held returns the time in which lanes had a slot, or nothing was left for them.
func (t times) held() float64 { return t.all - t.waiting - t.idle }

// split divides the time of the lanes. A lane has one place per thread, but all
// lanes have no more places than the job has tasks.
func (f ReportFacts) split(r *Report) times {
	l := f.Lanes
	places := float64(r.AtOnce) / float64(r.Lanes) // a lane
	t := times{measured: l.tasks.Seconds(), all: r.WallSeconds * float64(r.AtOnce)}
	// Errors of the clocks of several machines must not make the sum of the parts
	// exceed the time.
	t.tasks = min(t.measured+l.claimed.Seconds()*places, t.all)
	t.moving = min(l.moving.Seconds(), t.all-t.tasks)
	waited := l.waited
	switch {
	case f.Ended || !f.Left:
		var tail time.Duration
		tail, t.dry = l.tail(r.Lanes)
		t.tail = tail.Seconds() * places
		if long := f.longest(); long != nil {
			t.tail += l.threadsIdle(places, long.Seconds)
		}
	case !f.Paused: // turns that do not run are in line
		waited += l.lineSoFar()
	}
	// Measured time counts first, and nothing twice: with few tasks, threads are
	// idle unevenly.
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
	t.starting = min(l.starting.Seconds()*places, t.other)
	return t
}

// longest returns the longest ended task, or a task that has run for longer and is
// alone in its chunk.
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
	long.ShareOfWall = min(long.Seconds/f.Wall.Seconds(), 1)
	return long
}
