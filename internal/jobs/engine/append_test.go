package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// TestAppendBegins checks that an append to an open job whose lanes are idle has its
// task claimed in its own transaction, as a submission does, and that the tasks of
// appends to a busy one, and to a paused one, run too.
func TestAppendBegins(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	id := n.submit(t, python("def f(x): return x*x", "f", jobs.Inputs{Open: true}))
	total := 0
	add := func(count int) {
		t.Helper()
		first, added, err := n.Append(t.Context(), store.AppendRequest{Viewer: store.As(n.admin), Job: id, Values: numbers(total, total+count)})
		if err != nil || first != int64(total) || added != int64(count) {
			t.Fatalf("%d from %d on, %v", added, first, err)
		}
		total += count
	}
	job := func() *jobs.Job {
		t.Helper()
		j, err := n.store.Job(t.Context(), store.As(n.admin), id)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	idle := func() bool {
		var turns, running int
		err := n.store.Pool.QueryRow(t.Context(), `
			select turns, (select count(*) from river_job where state = 'running' and args->>'job' = $1::text) from progress where job_id = $1::text::uuid`, id).Scan(&turns, &running)
		if err != nil {
			t.Fatal(err)
		}
		return turns == 0 && running == 0
	}
	for range 5 {
		add(1)
		if c := job().Counts; c.Waiting != 0 {
			t.Errorf("right after the append: %+v", c)
		}
		await(t, "the lanes are idle", idle)
		if c := job().Counts; c.Succeeded != int64(total) {
			t.Errorf("with idle lanes: %+v", c)
		}
	}
	for range 20 {
		add(100)
	}
	await(t, "all have run", func() bool { return job().Counts.Succeeded == int64(total) })
	if _, err := n.Pause(t.Context(), store.As(n.admin), id, nil); err != nil {
		t.Fatal(err)
	}
	add(3)
	if c := job().Counts; c.Waiting != 3 {
		t.Errorf("while it is paused: %+v", c)
	}
	if _, err := n.Resume(t.Context(), store.As(n.admin), id, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Seal(t.Context(), store.As(n.admin), id, nil); err != nil {
		t.Fatal(err)
	}
	if j := n.end(t, id, 20*time.Second); j.State != jobs.Succeeded || j.Counts.Succeeded != int64(total) {
		t.Errorf("%+v", j)
	}
	for i, text := range n.outputs(t, id) {
		if text != fmt.Sprint(i*i) {
			t.Fatalf("output %d is %s", i, text)
		}
	}
}
