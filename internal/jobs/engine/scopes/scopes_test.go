package scopes_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine/scopes"
	"github.com/allcores/allcores/internal/jobs/shared"
	"github.com/allcores/allcores/internal/store"
)

func TestNodesShareObjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.node(), w.node()
	one, two := a.task(0), b.task(1)
	a.expect(one, "1", call(shared.Value, "v", "add", "1"))
	b.expect(two, "2", call(shared.Value, "v", "add", "1"))
	get := b.start(two, call(shared.Queue, "q", "get"))
	a.waits("q", 1)
	a.expect(one, "null", call(shared.Queue, "q", "put", `{"a": 1}`))
	if got := <-get; got != `{"a": 1}` {
		t.Errorf("got %s", got)
	}
	outside := shared.Caller{Scope: one.Scope, Client: "c", Key: "k"}
	b.expect(outside, "3", call(shared.Value, "v", "add", "1"))
	a.expect(outside, "3", call(shared.Value, "v", "add", "1"))
	for _, n := range []*node{a, b} {
		list, err := n.Snapshot(t.Context(), one.Scope)
		if err != nil || len(list) != 2 || list[0].Name != "v" || string(list[0].Value) != "3" {
			t.Errorf("%+v, %v", list, err)
		}
	}
	if _, err := b.Read(t.Context(), one.Scope, "x"); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("an object that is not there: %v", err)
	}
	if list, err := b.Snapshot(t.Context(), shared.Scope{Job: w.newJob(1)}); err != nil || len(list) != 0 {
		t.Errorf("a job without objects: %v, %v", list, err)
	}
}

// What a task did on a node that died counts where it was flushed, and once.
func TestTakeover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.node(), w.node()
	one, two, three := a.task(0), b.task(1), b.task(2)
	a.expect(one, "1", call(shared.Value, "v", "add", "1"))
	a.expect(one, "true", call(shared.Lock, "l", "acquire"))
	a.expect(one, "null", call(shared.List, "x", "append", "1"))
	get := b.start(two, call(shared.Queue, "q", "get"))
	lock := b.start(three, call(shared.Lock, "l", "acquire"))
	a.waits("q", 1)
	a.waits("l", 1)
	a.flush()
	a.dies()
	if got := <-lock; got != "true" {
		t.Errorf("the lock of a dead node's task: %s", got)
	}
	again := b.task(0)
	b.expect(again, "1", call(shared.Value, "v", "add", "1"))
	b.expect(three, "1", call(shared.Value, "v", "get"))
	held := b.start(again, call(shared.Lock, "l", "acquire"))
	b.waits("l", 1)
	b.expect(three, "null", call(shared.Lock, "l", "release"))
	if got := <-held; got != "true" {
		t.Errorf("the lock, once more: %s", got)
	}
	b.expect(again, "null", call(shared.List, "x", "append", "1"))
	b.expect(again, "null", call(shared.Queue, "q", "put", "7"))
	if got := <-get; got != "7" {
		t.Errorf("a get that waited over the takeover: %s", got)
	}
	b.expect(three, "[1]", call(shared.List, "x", "slice"))
	// The dead node lives, and has learned that it is not the home.
	if got := a.do(one, call(shared.Value, "v", "add", "1")); !strings.HasPrefix(got, "!superseded") {
		t.Errorf("a call of a task that runs elsewhere: %s", got)
	}
	select {
	case job := <-a.lost:
		if job != w.job {
			t.Errorf("lost %s", job)
		}
	case <-time.After(10 * time.Second):
		t.Error("the tasks of the lost scope go on")
	}
	b.expect(three, "1", call(shared.Value, "v", "get"))
}

// A node that stops in order gives its scopes up with all in them.
func TestStoppedNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.node()
	a.expect(a.task(0), "5", call(shared.Value, "v", "add", "5"))
	a.stop()
	b := w.node()
	b.expect(b.task(1), "6", call(shared.Value, "v", "add", "1"))
}

func TestLocksOfEndedExecutions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.node()
	for _, end := range []func(c shared.Caller){
		func(c shared.Caller) { a.Ended(w.job, c.Lease, []scopes.Span{{First: c.Task, Count: 1}}) },
		func(c shared.Caller) { a.Recorded(w.job, []scopes.Outcome{{Task: c.Task, Succeeded: true}}) },
		func(c shared.Caller) { w.exec(`update chunks set state = 'lost' where id = $1`, c.Lease) },
		func(c shared.Caller) { a.do(c, shared.Call{Op: shared.OpEnd}) },
	} {
		c := a.task(10)
		a.expect(c, "true", call(shared.Lock, "l", "acquire"))
		other := a.task(11)
		lock := a.start(other, call(shared.Lock, "l", "acquire"))
		a.waits("l", 1)
		end(c)
		if got := <-lock; got != "true" {
			t.Errorf("got %s", got)
		}
		a.Recorded(w.job, []scopes.Outcome{{Task: 11, Succeeded: true}, {Task: 10, Succeeded: true}})
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.node(), w.node()
	get := call(shared.Queue, "q", "get")
	get.Timeout = 20 * time.Millisecond
	for _, n := range []*node{a, b} {
		if got := n.do(n.task(1), get); !strings.HasPrefix(got, "!empty") {
			t.Errorf("got %s", got)
		}
	}
	// A caller that goes away takes nothing.
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := b.Call(ctx, b.task(2), call(shared.Queue, "q", "get"))
		gone <- err
	}()
	a.waits("q", 1)
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	a.waits("q", 0)
}

func TestDeadlockFailsTasks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.node(), w.node()
	one, two := a.task(3), b.task(4)
	a.expect(one, "true", call(shared.Lock, "a", "acquire"))
	first := a.start(one, call(shared.Queue, "jobs", "get"))
	second := b.start(two, call(shared.Lock, "a", "acquire"))
	want := `!deadlock deadlock: task 3 waits to get from queue "jobs"; task 4 waits for lock "a", held by task 3; no other task of the job runs or could run`
	for _, answer := range []<-chan string{first, second} {
		select {
		case got := <-answer:
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		case <-time.After(15 * time.Second):
			t.Fatal("no answer")
		}
	}
}

// Somebody who could wake a task keeps it waiting.
func TestNoDeadlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.node()
	get := call(shared.Queue, "q", "get")
	busy, open := w.newJob(2), w.newJob(2)
	one := a.start(a.taskOf(busy, 1), get)
	a.taskOf(busy, 2) // runs
	w.exec(`update progress set sealed = false where job_id = $1`, open)
	two := a.start(a.taskOf(open, 1), get)
	company := get
	company.Company = true
	three := a.start(a.task(1), company)
	timed := get
	timed.Timeout = 2500 * time.Millisecond
	four := a.start(a.task(2), timed)
	if got := <-four; !strings.HasPrefix(got, "!empty") {
		t.Errorf("got %s", got)
	}
	for _, answer := range []<-chan string{one, two, three} {
		select {
		case got := <-answer:
			t.Errorf("answered: %s", got)
		default:
		}
	}
	for _, job := range []string{busy, open, w.job} {
		c := shared.Caller{Scope: shared.Scope{Job: job}, Client: "c"}
		a.expect(c, "null", call(shared.Queue, "q", "put", "1"))
	}
	for _, answer := range []<-chan string{one, two, three} {
		if got := <-answer; got != "1" {
			t.Errorf("got %s", got)
		}
	}
}

func TestNamedScopes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.node()
	c := a.task(0)
	c.Scope = shared.Scope{Owner: w.user, Name: "team"}
	a.expect(c, "1", call(shared.Value, "v", "add", "1"))
	other := a.taskOf(w.newJob(1), 0)
	other.Scope = c.Scope
	a.expect(other, "2", call(shared.Value, "v", "add", "1"))
	if names, err := a.Names(t.Context(), w.user); err != nil || len(names) != 1 || names[0] != "team" {
		t.Errorf("%v, %v", names, err)
	}
	get := a.start(c, call(shared.Queue, "q", "get"))
	await(t, "it waits", func() bool {
		info, err := a.Read(context.Background(), c.Scope, "q")
		return err == nil && info.Waiting == 1
	})
	if err := a.Delete(t.Context(), c.Scope); err != nil {
		t.Fatal(err)
	}
	if got := <-get; !strings.HasPrefix(got, "!removed") {
		t.Errorf("got %s", got)
	}
	a.flush() // what was deleted is not lost
	await(t, "it is new", func() bool { return a.do(other, call(shared.Value, "v", "get")) == "0" })
	missing := a.task(3)
	missing.Scope = shared.Scope{Job: store.NewID()}
	if got := a.do(missing, call(shared.Value, "v", "get")); !strings.HasPrefix(got, "!removed") {
		t.Errorf("objects of a job that is not there: %s", got)
	}
}

// A long log becomes a snapshot.
func TestSnapshotReplacesTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.node()
	c := a.task(0)
	item := `"` + strings.Repeat("x", 900_000) + `"`
	for range 12 {
		a.expect(c, "null", call(shared.Value, "v", "set", item))
		a.flush()
	}
	await(t, "the log is trimmed", func() bool {
		var seq, rows int64
		err := w.store.Pool.QueryRow(t.Context(), `select snapshot_seq, (select count(*) from shared_log) from shared_scopes`).Scan(&seq, &rows)
		return err == nil && seq > 0 && rows < 12
	})
	a.dies()
	b := w.node()
	if got := b.do(b.task(1), call(shared.Value, "v", "get")); got != item {
		t.Errorf("the value has %d bytes after the takeover", len(got))
	}
	b.expect(b.task(0), "null", call(shared.Value, "v", "set", item))
}
