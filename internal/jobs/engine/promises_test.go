package engine_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// TestLongTask has one task run for long while other jobs come and go. It must hold no
// transaction open, count as running, and keep its lease.
func TestLongTask(t *testing.T) {
	t.Parallel()
	long := 6 * time.Second
	if *chaosLong {
		long = 90 * time.Second // past two rounds of River's rescuer
	}
	n := startReal(t, template.New(t))
	path := filepath.Join(t.TempDir(), "task")
	id := n.submitGated(t, path, python(fmt.Sprintf("import time\ndef f(x):\n    open(%q, 'w').close()\n    time.sleep(%v)\n", begun(path), long.Seconds()), "f", rangeOf(1)))
	if *chaosLong {
		_, err := n.store.Pool.Exec(t.Context(), `update river_job set attempted_at = attempted_at - interval '3 hours' where args->>'job' = $1`, id)
		if err != nil {
			t.Fatal(err)
		}
	}
	looks, churned, oldest := 0, 0, time.Duration(0)
	var other string
	for {
		j, err := n.store.Job(t.Context(), store.As(n.admin), id)
		if err != nil {
			t.Fatal(err)
		}
		if j.State.Ended() {
			break
		}
		looks++
		if j.State != jobs.Running || j.Counts.Running != 1 || j.Counts.Waiting != 0 {
			t.Errorf("while the task runs: %s, %+v", j.State, j.Counts)
		}
		// A listening connection is in a transaction, with the time of its last
		// statement, while it delivers a notification.
		rows, err := n.store.Pool.Query(t.Context(), `
			select state, clock_timestamp() - xact_start, query from pg_stat_activity
			where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend' and state <> 'idle' and xact_start is not null`)
		if err != nil {
			t.Fatal(err)
		}
		var state, query string
		var age time.Duration
		_, err = pgx.ForEachRow(rows, []any{&state, &age, &query}, func() error {
			oldest = max(oldest, age)
			if age > time.Second && age > stretched(t, time.Second) {
				t.Errorf("a transaction is open for %v, %s: %s", age, state, query)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if other == "" {
			other = n.submit(t, python(fmt.Sprintf("def f(x): return x + %d", churned), "f", rangeOf(1000)))
		} else if o, err := n.store.Job(t.Context(), store.As(n.admin), other); err == nil && o.State.Ended() {
			other = ""
			churned++
		}
		pause(t.Context(), 20*time.Millisecond)
	}
	t.Logf("looked %d times, %d other jobs ran meanwhile, the oldest transaction seen was %v old", looks, churned, oldest)
	if churned < 3 {
		t.Errorf("only %d other jobs ran meanwhile", churned)
	}
	if j := n.end(t, id, time.Second); j.State != jobs.Succeeded || j.Elapsed(time.Now()) < long {
		t.Errorf("%+v", j)
	}
	for _, l := range n.leases(t) {
		if l.Job == id && (l.State != "done" || l.Attempt != 1) {
			t.Errorf("the task was leased as %+v", l)
		}
	}
}

// TestChunkSizeIsKept checks that a policy's chunk_size is the size of every chunk
// but the last and those that begin at tasks given back.
func TestChunkSizeIsKept(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	for _, policy := range []jobs.Policy{
		{},
		{Threads: pointer(4)},
		{Processes: pointer(1), MaxFailures: pointer(jobs.FailureLimit("5"))},
	} {
		policy.ChunkSize = pointer(37)
		// Tasks of very different length, for which the estimate would vary the size.
		spec := python("import time\ndef f(x):\n    if x % 100 == 0: time.sleep(0.1)\n    return x\n", "f", rangeOf(1003))
		spec.Policy = policy
		id := n.submit(t, spec)
		if j := n.end(t, id, 30*time.Second); j.State != jobs.Succeeded {
			t.Errorf("%+v", j)
		}
		next, chunks := int64(0), 0
		for _, l := range n.leases(t) {
			if l.Job != id {
				continue
			}
			chunks++
			if want := min(37, 1003-next); l.First != next || int64(l.Count) != want {
				t.Errorf("with %+v a chunk has tasks %d+%d, want %d+%d", policy, l.First, l.Count, next, want)
			}
			next = l.First + int64(l.Count)
		}
		if chunks != 28 {
			t.Errorf("%d chunks, want 28", chunks)
		}
	}
}

// TestRetriesWaitWithoutALane has every task of a job fail twice on a node with one
// core. Another job must run while they wait for their next attempt, each attempt must
// be kept, and the waits must double, each with its own jitter.
func TestRetriesWaitWithoutALane(t *testing.T) {
	t.Parallel()
	n := startOn(t, template.New(t), 0)
	const tasks, base = 6, 600 * time.Millisecond
	spec := python(fmt.Sprintf(`
import os
def f(x):
    path = os.path.join(%q, str(x))
    with open(path, "a") as file:
        file.write("x")
    if os.path.getsize(path) < 3:
        raise RuntimeError("attempt %%d" %% os.path.getsize(path))
    return x
`, t.TempDir()), "f", rangeOf(tasks))
	spec.Policy = jobs.Policy{
		Processes: pointer(1), ChunkSize: pointer(1),
		MaxAttempts: pointer(3), RetryBackoff: pointer(jobs.Duration(base.String())),
	}
	n.noteDue(t)
	failing := n.submit(t, spec)
	await(t, "tasks wait for their second attempt", func() bool {
		var waiting int
		err := n.store.Pool.QueryRow(t.Context(), `select count(*) from due where attempt > 1`).Scan(&waiting)
		return err == nil && waiting > 0
	})
	other := n.submit(t, sleeps(10*time.Millisecond, 30))
	j, o := n.end(t, failing, time.Minute), n.end(t, other, time.Minute)
	if j.State != jobs.Succeeded || !o.StartedAt.Before(j.FinishedAt.Time) || o.Counts.Succeeded != 30 {
		t.Errorf("the failing job: %+v\nthe other: %+v", j, o)
	}

	ended := make(map[wait]time.Time)
	began := make(map[wait]time.Time)
	for _, l := range n.leases(t) {
		if l.Job == failing { // each of its chunks had one task
			began[wait{l.First, l.Attempt}], ended[wait{l.First, l.Attempt + 1}] = l.Leased, *l.Finished
		}
	}
	due := n.readDue(t, failing)
	waits := make(map[time.Duration]bool)
	slack := stretched(t, 300*time.Millisecond)
	for task := range int64(tasks) {
		for attempt := 2; attempt <= 3; attempt++ {
			w := wait{task, attempt}
			waited := due[w].Sub(ended[w])
			waits[waited] = true
			least := base << (attempt - 2) * 3 / 4
			most := base<<(attempt-2)*5/4 + slack // until the outcome was recorded
			if waited < least || waited > most {
				t.Errorf("attempt %d of task %d was to wait for %v, want between %v and %v", attempt, task, waited, least, most)
			}
			if late := began[w].Sub(due[w]); late < 0 || late > 4*time.Second+10*slack {
				t.Errorf("attempt %d of task %d began %v after it was due", attempt, task, late)
			}
		}
		n.checkAttempts(t, j, task)
	}
	if len(waits) < tasks {
		t.Errorf("the waits have no jitter: %v", waits)
	}
}

// A wait is the wait for an attempt, from 2, of a task.
type wait struct {
	task    int64
	attempt int
}

// noteDue copies what enters the backlog to a table: claims delete from the backlog.
func (n *node) noteDue(t *testing.T) {
	t.Helper()
	_, err := n.store.Pool.Exec(t.Context(), `
		create table due (like backlog);
		create function note_due() returns trigger language plpgsql as 'begin insert into due select new.*; return null; end';
		create trigger note_due after insert on backlog for each row execute function note_due()`)
	if err != nil {
		t.Fatal(err)
	}
}

// readDue reads when attempts of a job's tasks were due.
func (n *node) readDue(t *testing.T, job string) map[wait]time.Time {
	t.Helper()
	due := make(map[wait]time.Time)
	rows, err := n.store.Pool.Query(t.Context(), `select first, attempt, due_at from due where job_id = $1 and attempt > 1 and due_at > '-infinity'`, job)
	if err != nil {
		t.Fatal(err)
	}
	var w wait
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&w.task, &w.attempt, &at}, func() error { due[w] = at; return nil }); err != nil {
		t.Fatal(err)
	}
	return due
}

// checkAttempts checks that a task has kept its two failed attempts of three.
func (n *node) checkAttempts(t *testing.T, j *jobs.Job, task int64) {
	t.Helper()
	kept, err := n.store.Task(t.Context(), j, task)
	if err != nil || kept.Attempts != 3 || len(kept.Earlier) != 2 {
		t.Errorf("task %d: %+v, %v", task, kept, err)
		return
	}
	for i, a := range kept.Earlier {
		if a.Attempt != i+1 || !strings.Contains(a.Error.Message, fmt.Sprintf("attempt %d", i+1)) {
			t.Errorf("attempt %d of task %d is kept as %+v, %+v", i+1, task, a, a.Error)
		}
	}
}

// TestFixedChunksSpreadOverTheLanes has four tasks that wait for each other. With
// as many processes and a fixed chunk_size no process may keep one waiting
// behind another: such a chunk is never given back.
func TestFixedChunksSpreadOverTheLanes(t *testing.T) {
	t.Parallel()
	url, dir := template.New(t), t.TempDir()
	startReal(t, url)
	n := webNode(t, url)
	spec := python(fmt.Sprintf(`
import os, time
def f(x):
    open(os.path.join(%q, str(x)), "w").close()
    began = time.monotonic()
    while len(os.listdir(%q)) < 4:
        if time.monotonic() - began > 10:
            raise RuntimeError("the others do not run")
        time.sleep(0.01)
`, dir, dir), "f", rangeOf(4))
	spec.Queue = "io"
	spec.Policy.Processes, spec.Policy.ChunkSize = pointer(4), pointer(1)
	if j := n.end(t, n.submit(t, spec), 60*time.Second); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
}

// TestNoTaskWaitsBehindALongOne checks that a process that runs a long task holds no
// task that another process could run.
func TestNoTaskWaitsBehindALongOne(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	startReal(t, url)
	n := webNode(t, url)
	id := n.submit(t, sleeps(time.Minute, 4))
	since := time.Now()
	await(t, "the two processes have two tasks, for longer than it takes to find out", func() bool {
		j, err := n.store.Job(t.Context(), store.As(n.admin), id)
		if err != nil || j.Counts.Running != 2 {
			since = time.Now()
		}
		return time.Since(since) > 1500*time.Millisecond
	})
	n.cancelAll(t, id)
}

// TestRetriesAreOnTime checks that a job that only waits for its next attempt gets a
// turn when it is due, not at the next round of recovery.
func TestRetriesAreOnTime(t *testing.T) {
	t.Parallel()
	n := startOn(t, template.New(t), 0)
	best := time.Hour
	for range 3 { // other tests may delay this one
		spec := python(fmt.Sprintf(`
import os
def f(x):
    with open(%q, "a") as file:
        file.write("x")
        if file.tell() < 6:
            raise RuntimeError("not yet")
    return x
`, filepath.Join(t.TempDir(), "tries")), "f", rangeOf(1))
		spec.Policy.MaxAttempts, spec.Policy.RetryBackoff = pointer(10), pointer(jobs.Duration("20ms"))
		j := n.end(t, n.submit(t, spec), time.Minute)
		if j.State != jobs.Succeeded {
			t.Fatalf("%+v", j)
		}
		if best = min(best, j.FinishedAt.Sub(j.CreatedAt.Time)); best < 2*time.Second {
			return
		}
	}
	// 20 + 40 + 80 + 160 + 320 ms, and a quarter more at most.
	t.Errorf("five retries took %v", best)
}
