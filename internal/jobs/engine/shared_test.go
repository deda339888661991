package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/engine/scopes"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/jobs/shared"
	"github.com/allcores/allcores/internal/store"
)

// errDies is the error of a task that dies in the middle.
var errDies = errors.New("the process died")

// sharing is an executor of tasks in this process that call shared objects. Each lane
// runs one task at a time. A task that returns errDies fails, and may run again.
type sharing struct {
	service func() *scopes.Service
	task    func(context.Context, *taskCalls) error
}

// taskCalls makes the calls of a task.
type taskCalls struct {
	service *scopes.Service
	caller  shared.Caller
	index   int64
}

// do makes a call and returns the answer's value.
func (c *taskCalls) do(ctx context.Context, kind shared.Kind, name, op string, args ...string) (string, error) {
	call := shared.Call{Kind: kind, Name: name, Op: op, Timeout: shared.Forever}
	for _, a := range args {
		call.Args = append(call.Args, json.RawMessage(a))
	}
	answer, err := c.service.Call(ctx, c.caller, call)
	if err == nil && answer.Err != nil {
		err = answer.Err
	}
	return string(answer.Value), err
}

func (x *sharing) Run(ctx context.Context, lane executor.Lane, in <-chan executor.Chunk, report func(executor.Update)) error {
	for chunk := range in {
		u := executor.Update{Chunk: chunk.ID, Ended: true, Usage: executor.Usage{StartedAt: time.Now()}}
		run := outcomes.Encoded{First: chunk.First}
		count := int64(chunk.Count) // less what was given back
		for i := int64(0); i < count; i++ {
			index := chunk.First + i
			ended := make(chan error, 1)
			go func() {
				caller := shared.Caller{Scope: shared.Scope{Job: lane.Job}, Job: lane.Job, Task: index, Lease: chunk.ID, Alone: true}
				ended <- x.task(ctx, &taskCalls{service: x.service(), caller: caller, index: index})
			}()
			err := awaitTask(ended, lane.Halt, in, report, func() {
				if left := count - i - 1; left > 0 {
					report(executor.Update{Chunk: chunk.ID, Back: []executor.Span{{First: index + 1, Count: int(left)}}})
					count = i + 1
				}
			})
			var failure *shared.Error
			switch {
			case errors.As(err, &failure):
			case errors.Is(err, errDies):
				failure = &shared.Error{Kind: "dies", Message: err.Error()}
			case err != nil: // the session ends
				u.Lost = append(u.Lost, executor.Span{First: index, Count: 1})
				if left := count - i - 1; left > 0 {
					u.Back = append(u.Back, executor.Span{First: index + 1, Count: int(left)})
				}
			}
			if err != nil && failure == nil {
				break
			}
			if failure != nil {
				run.Failed = append(run.Failed, int32(run.Count))
				run.Outputs = outcomes.AppendFailure(run.Outputs, &jobs.TaskError{Kind: jobs.KindException, Type: string(failure.Kind), Message: failure.Message})
			} else {
				run.Outputs = fmt.Appendln(run.Outputs, index)
			}
			run.Durations = append(run.Durations, 0, 0)
			run.Count++
		}
		if run.Count > 0 {
			u.Outcomes = []outcomes.Encoded{run}
		}
		u.Usage.FinishedAt = time.Now()
		report(u)
	}
	return context.Cause(ctx)
}

// awaitTask waits for a task. When the lane is halted, cut gives back what is behind it in its
// chunk, and later chunks go back as they come.
func awaitTask(ended <-chan error, halt <-chan struct{}, in <-chan executor.Chunk, report func(executor.Update), cut func()) error {
	var later <-chan executor.Chunk
	for {
		select {
		case err := <-ended:
			return err
		case <-halt:
			halt, later = nil, in
			cut()
		case c, ok := <-later:
			if !ok {
				later = nil
				continue
			}
			report(executor.Update{Chunk: c.ID, Ended: true, Back: []executor.Span{{First: c.First, Count: c.Count}}})
		}
	}
}

// dying is a job of tasks that die and run again.
func dying(tasks int) jobs.Spec {
	spec := python("def f(x): return x", "f", rangeOf(int64(tasks)))
	spec.Policy.MaxAttempts = pointer(50)
	spec.Policy.RetryBackoff = pointer(jobs.Duration("1ms"))
	return spec
}

// leavesEffects is a task that adds, puts, appends and counts under a lock, and dies
// after some of it, the less often the longer it takes.
func leavesEffects(ctx context.Context, c *taskCalls) error {
	dies := func() bool { return rand.IntN(16) == 0 }
	index := strconv.FormatInt(c.index, 10)
	type step struct {
		kind     shared.Kind
		name, op string
		args     []string
	}
	for _, s := range []step{
		{shared.Value, "added", "add", []string{"1"}},
		{shared.Queue, "put", "put", []string{index}},
		{shared.List, "appended", "append", []string{index}},
		{shared.Queue, "moved", "put", []string{index}},
		{shared.Queue, "moved", "get", nil},
	} {
		if dies() {
			return errDies
		}
		if _, err := c.do(ctx, s.kind, s.name, s.op, s.args...); err != nil {
			return err
		}
	}
	if _, err := c.do(ctx, shared.Lock, "lock", "acquire"); err != nil {
		return err
	}
	before, err := c.do(ctx, shared.Value, "counted", "get")
	if err != nil {
		return err
	}
	if dies() {
		return errDies
	}
	n, _ := strconv.Atoi(before)
	if _, err := c.do(ctx, shared.Value, "counted", "set", strconv.Itoa(n+1)); err != nil {
		return err
	}
	if dies() {
		return errDies
	}
	_, err = c.do(ctx, shared.Lock, "lock", "release")
	return err
}

// read reads the value of an object of a job.
func (n *node) read(t testing.TB, job, name string) string {
	t.Helper()
	info, err := n.Shared().Read(t.Context(), shared.Scope{Job: job}, name)
	if err != nil {
		t.Errorf("read %s: %v", name, err)
	}
	return string(info.Value)
}

// checkEffects checks that each of the tasks left its effects once.
func (n *node) checkEffects(t *testing.T, id string, tasks int) {
	t.Helper()
	for _, name := range []string{"added", "counted"} {
		if got := n.read(t, id, name); got != strconv.Itoa(tasks) {
			t.Errorf("%s is %s after %d tasks", name, got, tasks)
		}
	}
	for _, name := range []string{"put", "appended"} {
		var items []int
		if err := json.Unmarshal([]byte(n.read(t, id, name)), &items); err != nil {
			t.Fatal(err)
		}
		slices.Sort(items)
		for i, item := range items {
			if item != i {
				t.Fatalf("%s lacks %d or has it twice: %v", name, i, items[max(0, i-3):i+1])
			}
		}
		if len(items) != tasks {
			t.Errorf("%s has %d items, want %d", name, len(items), tasks)
		}
	}
	if got := n.read(t, id, "moved"); got != "[]" {
		t.Errorf("moved has %s", got)
	}
}

func startSharing(t *testing.T, url string, o engine.Options, task func(context.Context, *taskCalls) error) *node {
	var n *node
	ready := make(chan struct{})
	x := &sharing{task: task, service: func() *scopes.Service { <-ready; return n.Shared() }}
	o.Executors = map[string]executor.Executor{"python": x}
	n = start(t, url, o)
	close(ready)
	return n
}

func TestEffectsOfDyingTasksCountOnce(t *testing.T) {
	t.Parallel()
	n := startSharing(t, template.New(t), engine.Options{}, leavesEffects)
	const tasks = 300
	id := n.submit(t, dying(tasks))
	if j := n.end(t, id, time.Minute); j.State != jobs.Succeeded {
		groups, _ := n.store.FailureGroups(t.Context(), id, 5)
		t.Errorf("%s, %+v, %+v", j.State, j.Counts, groups)
	}
	n.checkEffects(t, id, tasks)
	if err := n.store.DeleteJob(t.Context(), store.As(n.admin), id); err != nil {
		t.Fatal(err)
	}
	var rows int
	err := n.store.Pool.QueryRow(t.Context(), `select (select count(*) from shared_scopes) + (select count(*) from shared_log)`).Scan(&rows)
	if err != nil || rows != 0 {
		t.Errorf("%d rows are left of a deleted job (%v)", rows, err)
	}
}

// nodeShares makes the test binary's node run tasks of leavesEffects.
const nodeShares = "ALLCORES_TEST_NODE_SHARES"

// TestEffectsCountOnceUnderKill kills two nodes with SIGKILL, again and again, while
// tasks that die by themselves leave effects.
func TestEffectsCountOnceUnderKill(t *testing.T) {
	t.Parallel()
	tasks, kills := 1_000, 2
	if *chaosLong {
		tasks, kills = 30_000, 20
	}
	url := template.New(t)
	n := webNode(t, url)
	nodes := make([]*os.Process, 2)
	for i := range nodes {
		nodes[i] = startProcess(t, url, nodeShares+"=1")
	}
	id := n.submit(t, dying(tasks))
	for kill := range kills {
		done := n.succeeded(t, id)
		await(t, "the nodes work", func() bool { return n.succeeded(t, id) > done })
		pause(t.Context(), time.Duration(rand.IntN(300))*time.Millisecond)
		victim := kill % len(nodes)
		if err := nodes[victim].Kill(); err != nil {
			t.Fatal(err)
		}
		nodes[victim] = startProcess(t, url, nodeShares+"=1")
	}
	j := n.end(t, id, 4*time.Minute)
	if j.State != jobs.Succeeded || j.Counts.Succeeded != int64(tasks) {
		groups, _ := n.store.FailureGroups(t.Context(), id, 5)
		t.Errorf("%s, %+v, %+v", j.State, j.Counts, groups)
	}
	n.checkEffects(t, id, tasks)
}

// A task that waits does not keep the tasks behind it in its chunk from running.
func TestTasksBehindAWaitingOneRun(t *testing.T) {
	t.Parallel()
	n := startSharing(t, template.New(t), engine.Options{}, func(ctx context.Context, c *taskCalls) error {
		var err error
		if c.index == 0 {
			_, err = c.do(ctx, shared.Queue, "q", "get")
		} else if c.index == 5 {
			_, err = c.do(ctx, shared.Queue, "q", "put", "1")
		}
		return err
	})
	id := n.submit(t, python("def f(x): return x", "f", rangeOf(6)))
	if j := n.end(t, id, 30*time.Second); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
}

func TestDeadlockedTasksFail(t *testing.T) {
	t.Parallel()
	n := startSharing(t, template.New(t), engine.Options{}, func(ctx context.Context, c *taskCalls) error {
		mine, other := fmt.Sprint("lock", c.index), fmt.Sprint("lock", 1-c.index)
		if _, err := c.do(ctx, shared.Lock, mine, "acquire"); err != nil {
			return err
		}
		_, err := c.do(ctx, shared.Event, fmt.Sprint("has", c.index), "set")
		if err == nil {
			_, err = c.do(ctx, shared.Event, fmt.Sprint("has", 1-c.index), "wait")
		}
		if err == nil {
			_, err = c.do(ctx, shared.Lock, other, "acquire")
		}
		return err
	})
	one := 1
	spec := python("def f(x): return x", "f", rangeOf(2))
	spec.Policy.ChunkSize = &one
	id := n.submit(t, spec)
	j := n.end(t, id, 30*time.Second)
	groups, err := n.store.FailureGroups(t.Context(), id, 5)
	if err != nil || j.Counts.Failed == 0 || len(groups) == 0 {
		t.Fatalf("%+v, %v", j.Counts, err)
	}
	message := groups[0].Example.Message
	for _, want := range []string{`task 0 waits for lock "lock1", held by task 1`, `task 1 waits for lock "lock0", held by task 0`} {
		if !strings.Contains(message, want) {
			t.Errorf("the message is %s", message)
		}
	}
}

// A lock of a task whose node dies is free within ten seconds.
func TestLockOfADeadNode(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	n := webNode(t, url)
	first := startProcess(t, url, nodeShares+"=2")
	id := n.submit(t, python("def f(x): return x", "f", rangeOf(1)))
	scope := shared.Scope{Job: id}
	await(t, "the lock is held", func() bool {
		info, err := n.Shared().Read(t.Context(), scope, "lock")
		return err == nil && info.Holder == "task 0"
	})
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	answer, err := n.Shared().Call(t.Context(), shared.Caller{Scope: scope, Client: "c"},
		shared.Call{Kind: shared.Lock, Name: "lock", Op: "acquire", Timeout: 20 * time.Second})
	if took := time.Since(began); err != nil || string(answer.Value) != "true" || took > 10*time.Second {
		t.Errorf("%s, %v, %v after %v", answer.Value, answer.Err, err, took)
	}
}

// holdsLock is a task that holds a lock for long.
func holdsLock(ctx context.Context, c *taskCalls) error {
	if _, err := c.do(ctx, shared.Lock, "lock", "acquire"); err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// Tasks that wait for each other run at once although there are fewer slots.
func TestWaitingTasksLendTheirSlots(t *testing.T) {
	t.Parallel()
	const parties = 7
	n := startSharing(t, template.New(t), engine.Options{}, func(ctx context.Context, c *taskCalls) error {
		call := shared.Call{Kind: shared.Barrier, Name: "all", Op: "wait", Params: &shared.Params{Size: parties}, Timeout: shared.Forever}
		answer, err := c.service.Call(ctx, c.caller, call)
		if err == nil && answer.Err != nil {
			err = answer.Err
		}
		return err
	})
	spec := python("def f(x): return x", "f", rangeOf(parties))
	spec.Policy.Processes = pointer(parties)
	id := n.submit(t, spec)
	if j := n.end(t, id, 30*time.Second); j.State != jobs.Succeeded {
		groups, _ := n.store.FailureGroups(t.Context(), id, 5)
		t.Errorf("%+v %+v", j.Counts, groups)
	}
	await(t, "all slots are free", func() bool {
		nodes, err := n.store.Nodes(t.Context())
		return err == nil && len(nodes) == 1 && nodes[0].Slots["cpu"].Used == 0
	})
}

// A task that failed holds no lock, also where the next one of its chunk waits for it.
func TestFailedTaskFreesItsLock(t *testing.T) {
	t.Parallel()
	n := startSharing(t, template.New(t), engine.Options{}, func(ctx context.Context, c *taskCalls) error {
		if _, err := c.do(ctx, shared.Lock, "lock", "acquire"); err != nil {
			return err
		}
		return errDies
	})
	spec := python("def f(x): return x", "f", rangeOf(20))
	spec.Policy.ChunkSize = pointer(10)
	id := n.submit(t, spec)
	j := n.end(t, id, 30*time.Second)
	groups, err := n.store.FailureGroups(t.Context(), id, 5)
	if err != nil || j.Counts.Failed != 20 || len(groups) != 1 {
		t.Errorf("%+v, %+v, %v", j.Counts, groups, err)
	}
}
