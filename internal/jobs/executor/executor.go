package executor

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// An Executor runs tasks of one kind of program.
type Executor interface {
	// Run executes the chunks that come from in, one after the other in their
	// order, for one turn of a lane. With several threads the first tasks of a
	// chunk may start while the last ones of the chunk before go on, so that no
	// thread idles at a seam; chunks may then end in another order. It returns
	// when in is closed and every chunk is reported, or early with an error.
	//
	// For each chunk received Run calls report, never concurrently: any number
	// of times with Ended false (tasks given back, log lines), then once with
	// Ended true, after which nothing more is said of that chunk. Every task
	// of a chunk ends up in exactly one of Runs, Back, Suspects or Lost over its
	// reports. Run must read from in ahead of need: it holds one chunk that
	// runs and one that waits, so that the process never idles while the
	// caller records. It calls report on a goroutine that may block in it for
	// a database round trip without the process standing still.
	//
	// Time budget: once a chunk has run for its Budget, no task beyond those
	// in hand is started; the untouched tail, and any waiting chunk as a
	// whole, is given back at once, even while a long task goes on.
	//
	// A task that kills its process fails alone (crash, memory, timeout). The
	// outcomes before it are kept as far as the process had handed them over;
	// the rest is given back, and the next chunk gets a new process. Where
	// several tasks were in hand and the culprit is not known, they come back
	// as Suspects. A process may also end after the task that is the reason, so
	// that none is in hand: those that had begun, of which there is no outcome,
	// come back as Lost. None of this is an error of Run.
	//
	// When lane.Halt is closed no further task starts and what is untouched is
	// given back; tasks in hand go on. When ctx is cancelled the processes get
	// SIGTERM, and SIGKILL after KillGrace, with all their descendants; what
	// has no outcome by then is given back, and Run returns the context's cause
	// without waiting for in to be closed.
	//
	// The error is a *LoadError when the program itself could not be loaded, or
	// was still loading after the timeout of its tasks, at least 5 s, or 5 min
	// without one. Another try, or another node, may have more success. It else says what of the machine failed (no interpreter, no memory to
	// start a process). Either way every chunk received has been reported.
	Run(ctx context.Context, lane Lane, in <-chan Chunk, report func(Report)) error
}

// KillGrace is how long a cancelled process has between SIGTERM and SIGKILL.
const KillGrace = time.Second

// A Lane is what an executor must know of the lane whose turn it runs.
type Lane struct {
	Job     string // the job's id
	Number  int    // 0…processes-1
	Owner   string // processes are never shared between owners
	Program jobs.Program

	Threads     int           // tasks at once, at least 1
	Timeout     time.Duration // of one task; 0 for none
	MemoryLimit int64         // bytes of one process; 0 for none
	Cores       []int         // cores to run on; empty where the queue is not pinned
	CoreCount   int           // cores that it may keep busy; as many as Cores where those are named

	Halt <-chan struct{} // closed when no further task may start
	Rest func() Rest     // what is left of the job when the turn is over; nil for Exhausted
}

// A Rest is what is left of a job when a turn of it is over. It says for whom the
// turn's process is kept.
type Rest int

const (
	Exhausted Rest = iota // nothing could be claimed; another turn is unlikely
	GoesOn                // the turn was cut short, and another one follows
	Over                  // the job has ended; if it runs again, it starts anew
)

// Environ are the variables that tell a process for whom it works, and on which
// cores where those are its own.
func (l Lane) Environ() map[string]string {
	env := map[string]string{"ALLCORES_JOB": l.Job, "ALLCORES_LANE": strconv.Itoa(l.Number)}
	if len(l.Cores) > 0 {
		numbers := make([]string, len(l.Cores))
		for i, core := range l.Cores {
			numbers[i] = strconv.Itoa(core)
		}
		env["ALLCORES_TASK_CORES"] = strings.Join(numbers, ",")
	}
	return env
}

// MemoryLimit says what the limit of memory is and how it is held: by a control
// group for a process with all that it starts (see process.Process.Grouped), or
// for each process by itself.
func MemoryLimit(bytes int64, grouped bool) string {
	if grouped {
		return fmt.Sprintf("the memory limit of %s (held by a control group, with all that it started)", jobs.SizeOf(bytes))
	}
	return fmt.Sprintf("the memory limit of %s (held by a resource limit of each process)", jobs.SizeOf(bytes))
}

// A Chunk is a range of tasks to execute.
type Chunk struct {
	ID    int64 // the caller's; returned in reports
	First int64 // index of the first task
	Count int   // number of tasks, at least 1

	Range  *jobs.Range // inputs as numbers: Start belongs to First; Stop is not used
	Inputs []byte      // else Count lines of compact JSON, each ended by '\n'

	Budget   time.Duration // of running time, from when its first task may start; 0 for none
	Failures int64         // failures past which no further task of the chunk starts; negative for no limit
}

// A Span is neighbouring tasks.
type Span = jobs.Span

// A Report says what became of tasks of a chunk.
type Report struct {
	Chunk int64 // the chunk's ID
	Ended bool  // nothing more will be said of this chunk

	Runs     []outcomes.Encoded // outcomes, ascending; only with Ended
	Back     []Span             // untouched, to be claimed by any lane
	Suspects []int64            // were in hand when their process died; to be run again, alone
	Lost     []Span             // had begun when their process ended of itself; to be run again, apart from others
	Logs     []jobs.LogLine
	Usage    Usage // of the whole chunk; only with Ended
}

// Usage is what running a chunk took.
type Usage struct {
	StartedAt  time.Time     // when its first task began
	FinishedAt time.Time     // when its last outcome was received
	User       time.Duration // CPU time of the process and its children, in user mode
	System     time.Duration // the same, in the kernel
	InTasks    time.Duration // sum of the tasks' wall time
	Moving     time.Duration // decoding inputs, encoding and moving outputs
	PeakMemory int64         // bytes resident at most so far in the process's life; 0 when it is not known
}

// A LoadError says why a lane could not load its program: the module raised or
// ended its process, took too long, or has no such function; the command does not
// exist.
type LoadError struct{ jobs.TaskError }

func (e *LoadError) Error() string { return "load program: " + e.TaskError.Type + ": " + e.Message }
