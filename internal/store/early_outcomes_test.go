package store_test

import (
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// TestOutcomesOfAChunkThatGoesOn checks what is shown of a chunk some of whose outcomes
// are recorded: its tasks have their states, the job's figures and the timeline add up,
// and a failed task that waits for another attempt is not running.
func TestOutcomesOfAChunkThatGoesOn(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	ctx := t.Context()
	id := insert(t, s, admin, pythonSpec(rangeOf(6)))
	node := store.NewID()
	register(t, s, node)
	c, err := s.Claim(ctx, store.Claim{Job: id, Node: node, Want: 6, Floor: 6, Fixed: true, Ranged: true, First: true})
	if err != nil || c.Lease == nil {
		t.Fatal(c, err)
	}
	second := outcomes.EncodeDuration(time.Second)
	timed := func(run outcomes.Encoded) outcomes.Encoded {
		for i := range run.Count {
			run.Durations[2*i], run.Durations[2*i+1] = byte(second), byte(second>>8)
		}
		return run
	}
	r := store.Record{
		Job: id, Lease: c.Lease.ID, Count: 3, Left: []jobs.Span{{First: 0, Count: 1}, {First: 4, Count: 2}},
		Outcomes: []outcomes.Encoded{timed(outcomesOf(1, 2, 1))},
		Back:     []store.BacklogSpan{{First: 3, Count: 1, Attempt: 2, Wait: time.Hour}},
		Attempts: []store.Attempt{{Index: 3, Attempt: 1, Error: &jobs.TaskError{Kind: jobs.KindException, Message: "once"}}},
		Usage:    store.Usage{StartedAt: 10 * time.Second},
	}
	if p, _, err := s.Record(ctx, r, nil); err != nil || !p.Held || p.Ended || p.Leased != 3 {
		t.Fatal(p, err)
	}
	if p, _, err := s.Record(ctx, r, nil); err != nil || p.Held {
		t.Error("the same record is taken twice: ", p, err)
	}
	job := read(t, s, admin, id)
	if got, want := job.Counts, (jobs.Counts{Total: 6, Waiting: 1, Running: 3, Succeeded: 1, Failed: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for index, want := range []jobs.TaskState{jobs.TaskRunning, jobs.TaskSucceeded, jobs.TaskFailed, jobs.TaskWaiting, jobs.TaskRunning, jobs.TaskRunning} {
		task, err := s.Task(ctx, job, int64(index))
		if err != nil || task.State != want {
			t.Errorf("task %d is %s, want %s (%v)", index, task.State, want, err)
		}
		if index == 2 && (task.StartedAt == nil || time.Since(task.StartedAt.Time).Round(time.Second) != 9*time.Second) {
			t.Errorf("task 2 started at %v", task.StartedAt)
		}
	}
	cells, err := s.Strip(ctx, job, 6)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []store.Cell{{Running: 1}, {Succeeded: 1}, {Failed: 1}, {}, {Running: 1}, {Running: 1}} {
		want.First, want.Count = int64(i), 1
		if cells[i] != want {
			t.Errorf("cell %d: %+v, want %+v", i, cells[i], want)
		}
	}
	bars, err := s.Bars(ctx, id, 0, 10)
	if err != nil || len(bars) != 1 || bars[0].Count != 5 || bars[0].Failed != 1 {
		t.Errorf("bars %+v, %v", bars, err)
	}
	if groups, err := s.Groups(ctx, id); err != nil || len(groups) != 1 {
		t.Errorf("failures %+v, %v", groups, err)
	}

	last := store.Record{
		Job: id, Lease: c.Lease.ID, Count: 3, Outcomes: []outcomes.Encoded{timed(outcomesOf(0, 1)), timed(outcomesOf(4, 2))},
		Usage: store.Usage{StartedAt: 12 * time.Second},
	}
	if p, _, err := s.Record(ctx, last, nil); err != nil || !p.Held || p.Leased != 0 {
		t.Fatal(p, err)
	}
	if bars, err = s.Bars(ctx, id, 0, 10); err != nil || len(bars) != 1 || bars[0].Count != 5 || bars[0].Failed != 1 || bars[0].State != "done" {
		t.Errorf("at the end bars %+v, %v", bars, err)
	}
	// The rows before that of a task count, whenever they were recorded.
	if task, err := s.Task(ctx, read(t, s, admin, id), 5); err != nil || task.StartedAt == nil || time.Since(task.StartedAt.Time).Round(time.Second) != 8*time.Second {
		t.Errorf("task 5: %+v, %v", task, err)
	}
}
