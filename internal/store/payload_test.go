package store_test

import (
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// TestPayloads checks that the payload of a failure is kept with its task, and neither
// with groups of failures, nor in pages, nor with an attempt that another followed.
func TestPayloads(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	id := insert(t, s, admin, pythonSpec(rangeOf(2)))
	payload := strings.Repeat("x", 3<<20)
	e := &jobs.TaskError{Kind: jobs.KindException, Type: "ValueError", Message: "wrong", Traceback: "trace", Payload: payload}
	run := outcomes.Encoded{First: 0, Count: 1, Failed: []int32{0}, Durations: []byte{0, 0}, Outputs: outcomes.AppendFailure(nil, e)}
	lease := claim(t, s, id, 1)
	record(t, s, store.Record{Job: id, Lease: lease.ID, Count: 1, Back: []store.BacklogSpan{{First: 0, Count: 1, Attempt: 2}},
		Attempts: []store.Attempt{{Index: 0, Attempt: 1, Error: e}}})
	lease = claim(t, s, id, 1)
	record(t, s, store.Record{Job: id, Lease: lease.ID, Count: 1, Outcomes: []outcomes.Encoded{run}})

	job := read(t, s, admin, id)
	task, err := s.Task(t.Context(), job, 0)
	if err != nil || task.Error == nil || task.Error.Payload != payload {
		t.Fatalf("the task has lost its payload: %v", err)
	}
	if n := len(task.Earlier); n != 1 || task.Earlier[0].Error.Message != "wrong" || task.Earlier[0].Error.Payload != "" {
		t.Errorf("%d earlier attempts", n)
	}
	page, err := s.TaskPage(t.Context(), job, store.TaskQuery{Limit: 10, Bytes: 1 << 30})
	if err != nil || len(page.Rows) != 1 || *page.Rows[0].Error != (jobs.TaskError{Kind: jobs.KindException, Type: "ValueError", Message: "wrong", Traceback: "trace"}) {
		t.Errorf("page: %v, %d rows", err, len(page.Rows))
	}
	groups, err := s.FailureGroups(t.Context(), id, 10)
	if err != nil || len(groups) != 1 || groups[0].Example.Message != "wrong" || groups[0].Example.Payload != "" {
		t.Errorf("groups: %v, %d", err, len(groups))
	}
}
