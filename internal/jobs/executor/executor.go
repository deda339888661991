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
	// Run executes the chunks of one turn of a lane, in the order in which they
	// come from in. With several threads the first tasks of a chunk may start
	// while the last ones of the chunk before still run, so that no thread idles
	// between chunks; chunks may then end in another order. Run returns when in
	// is closed and every chunk has ended, or early with an error.
	//
	// Run calls send for each chunk, never concurrently: any number of times with
	// Ended false (outcomes, tasks given back, log lines), then once with Ended true,
	// the last update of the chunk. Every task of a chunk is in exactly one of
	// Outcomes, Back, Suspects or Lost over its updates. Run must read from in
	// ahead of need: it holds one chunk that runs and one that waits, so that the
	// process never idles while the caller records. It calls send on a goroutine
	// that may block for a database round trip while the process goes on.
	//
	// An outcome is sent within about 75 ms of the task's end while the chunk goes on,
	// unless the caller is slower. The last update has at least one task, or follows
	// one that gave tasks back.
	//
	// Time budget: once a chunk has run for its Budget, only tasks that already
	// run go on. The untouched tail, and a waiting chunk as a whole, is given back
	// at once, even while a long task goes on.
	//
	// A task that kills its process fails alone (crash, memory, timeout). The
	// outcomes that the process had sent are kept, the rest is given back, and the
	// next chunk gets a new process. Where several tasks ran and the culprit is
	// unknown, they come back as Suspects. A process may also end after the task
	// that caused it, while none runs: tasks that had begun and have no outcome
	// come back as Lost. None of this is an error of Run.
	//
	// When lane.Halt is closed no further task starts and what is untouched is
	// given back; running tasks go on. When ctx is cancelled the processes get
	// SIGTERM, and SIGKILL after KillGrace, with all their descendants; what
	// has no outcome by then is given back, and Run returns the context's cause
	// without waiting for in to be closed.
	//
	// A recall from lane.Recall names a chunk and an index. Tasks of the chunk from
	// there on that have not started do not start any more: an update with Recalled
	// gives them back, within milliseconds, and comes although there are none. The
	// chunk's other tasks, and the session, go on. A recall of a chunk that ends in the
	// meantime, or comes back as a whole for another reason, has no such update.
	//
	// The error is a *LoadError when the program itself could not be loaded, or
	// was still loading after the timeout of its tasks, at least 5 s, or 5 min
	// without one; another attempt, or another node, may succeed. Any other error
	// is of the machine (no interpreter, no memory to start a process). Either way
	// every chunk received has ended.
	Run(ctx context.Context, lane Lane, in <-chan Chunk, send func(Update)) error
}

// KillGrace is how long a cancelled process has between SIGTERM and SIGKILL.
const KillGrace = time.Second

// A Lane describes the lane whose turn an executor runs.
type Lane struct {
	Job     string // the job's id
	Number  int    // 0…processes-1
	Owner   string // processes are never shared between owners
	Program jobs.Program

	Threads int // tasks at once, at least 1
	Limits
	Cores     []int // cores to run on; empty where the queue is not pinned
	CoreCount int   // cores that it may keep busy; len(Cores) where the queue is pinned

	Socket string // path of the socket that serves the lane's tasks; empty for none
	URL    string // address of this call of Run there; see TaskURL

	Halt   <-chan struct{} // closed when no further task may start
	Recall <-chan Recall   // chunks whose tasks must not start any more; nil for none
	Rest   func() Rest     // reports what is left of the job at the end of the turn; nil for Exhausted
}

// A Recall asks for the tasks of a chunk from index First on that have not started.
type Recall struct{ Chunk, First int64 }

// Limits bound the tasks of a lane.
type Limits struct {
	Timeout     time.Duration // of one task; 0 for none
	MemoryLimit int64         // bytes of one process; 0 for none
	MaxTasks    int64         // that a Python process starts before another one replaces it; 0 for any number
}

// A Rest says how much of a job is left at the end of a turn. It decides which job
// may use the turn's process next.
type Rest int

const (
	Exhausted Rest = iota // nothing could be claimed; another turn is unlikely
	GoesOn                // the turn was cut short, and another one follows
	Over                  // the job has ended; if it runs again, it starts anew
)

// TaskURLVariable is the variable that has the address at which a task reaches the
// node: URL in a process of many tasks, TaskURL in one of a single task.
const TaskURLVariable = "ALLCORES_TASK_URL"

// TaskURL returns the address of a task at the lane's socket.
func (l Lane) TaskURL(task int64) string {
	return l.URL + "/tasks/" + strconv.FormatInt(task, 10)
}

// Environ returns the variables that name the job, the lane and its socket to a
// process, and its cores where the queue is pinned.
func (l Lane) Environ() map[string]string {
	env := map[string]string{"ALLCORES_JOB": l.Job, "ALLCORES_LANE": strconv.Itoa(l.Number)}
	if l.Socket != "" {
		env["ALLCORES_SOCKET"] = l.Socket
	}
	if len(l.Cores) > 0 {
		numbers := make([]string, len(l.Cores))
		for i, core := range l.Cores {
			numbers[i] = strconv.Itoa(core)
		}
		env["ALLCORES_TASK_CORES"] = strings.Join(numbers, ",")
	}
	return env
}

// MemoryLimit describes a memory limit and what holds it: a control group for a
// process with all that it starts (see process.Process.Grouped), or a resource
// limit of each process.
func MemoryLimit(bytes int64, grouped bool) string {
	if grouped {
		return fmt.Sprintf("the memory limit of %s (held by a control group, with all that it started)", jobs.SizeOf(bytes))
	}
	return fmt.Sprintf("the memory limit of %s (held by a resource limit of each process)", jobs.SizeOf(bytes))
}

// A Chunk is a range of tasks to execute.
type Chunk struct {
	ID    int64 // the caller's; repeated in updates
	First int64 // index of the first task
	Count int   // number of tasks, at least 1

	Range  *jobs.Range // inputs as numbers: Start belongs to First; Stop is not used
	Inputs []byte      // else Count lines of compact JSON, each ended by '\n'

	Budget   time.Duration // of running time, from when its first task may start; 0 for none
	Failures int64         // failures past which no further task of the chunk starts; negative for no limit
}

// A Span is neighbouring task indexes.
type Span = jobs.Span

// An Update reports what became of tasks of a chunk.
type Update struct {
	Chunk int64 // the chunk's ID
	Ended bool  // the last update of the chunk

	Outcomes []outcomes.Encoded // ascending, of tasks that no update before had
	Back     []Span             // untouched; any lane may claim them
	Recalled bool               // the answer to a recall, with the tasks of Back
	Suspects []int64            // ran when their process died; to be run again, alone
	Lost     []Span             // had begun when their process ended by itself; to be run again, apart from others
	Logs     []jobs.LogLine
	Usage    Usage // of the whole chunk with Ended; with earlier Outcomes StartedAt alone, where it is known
}

// Usage is the time and memory that a chunk took.
type Usage struct {
	StartedAt  time.Time     // when its first task began
	FinishedAt time.Time     // when its last outcome was received
	User       time.Duration // CPU time of the process and its children, in user mode
	System     time.Duration // the same, in the kernel
	InTasks    time.Duration // sum of the tasks' wall time
	Moving     time.Duration // decoding inputs, encoding and moving outputs
	PeakMemory int64         // most bytes resident so far in the process's life; 0 when unknown
}

// A LoadError is why a lane could not load its program: the module raised or
// ended its process, took too long, or has no such function; the command does not
// exist.
type LoadError struct{ jobs.TaskError }

func (e *LoadError) Error() string { return "load program: " + e.TaskError.Type + ": " + e.Message }
