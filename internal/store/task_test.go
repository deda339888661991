package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

func TestTask(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	text := "a\nb\nc\nd\n"
	id := insert(t, s, admin, pythonSpec(jobs.Inputs{Lines: &text}))
	lease := claim(t, s, id, 2)
	run := outcomesOf(0, 2, 1)
	code := outcomes.EncodeDuration(time.Second)
	run.Durations = []byte{byte(code), byte(code >> 8), byte(code), byte(code >> 8)}
	record(t, s, store.Record{Job: id, Lease: lease.ID, Count: 2, Outcomes: []outcomes.Encoded{run}, Usage: store.Usage{StartedAt: 2 * time.Second}})
	claim(t, s, id, 1)
	job := read(t, s, admin, id)
	for index, want := range []jobs.TaskState{jobs.TaskSucceeded, jobs.TaskFailed, jobs.TaskRunning, jobs.TaskWaiting} {
		task, err := s.Task(t.Context(), job, int64(index))
		if err != nil || task.State != want || string(task.Input) != fmt.Sprintf("%q", "abcd"[index:index+1]) {
			t.Errorf("task %d: %+v, %v", index, task, err)
			continue
		}
		if index < 3 && task.Node != "here" {
			t.Errorf("task %d ran on %q", index, task.Node)
		}
	}
	task, _ := s.Task(t.Context(), job, 1)
	if task.Error == nil || task.Error.Type != "ValueError" || task.DurationMS == nil || *task.DurationMS < 999 || *task.DurationMS > 1001 {
		t.Errorf("the failed task: %+v", task)
	}
	if _, err := s.Task(t.Context(), job, 4); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("task past the end: %v", err)
	}
}
