package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// why returns why a job waits. The kind is empty where it does not wait.
func why(t *testing.T, s *store.Store, u *jobs.User, id string) jobs.Waiting {
	t.Helper()
	w, err := s.Waiting(t.Context(), read(t, s, u, id))
	if err != nil {
		t.Fatal(err)
	}
	if w == nil {
		return jobs.Waiting{}
	}
	return *w
}

func exec(t *testing.T, s *store.Store, sql string, args ...any) {
	t.Helper()
	if _, err := s.Pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// fetch has River fetch a turn of the job on behalf of the node.
func fetch(t *testing.T, s *store.Store, job string) (turn int64) {
	t.Helper()
	err := s.Pool.QueryRow(t.Context(), `
		update river_job set state = 'running', attempt = attempt + 1, attempted_at = now(), attempted_by = array[$2::text]
		where id = (select min(id) from river_job where state = 'available' and scheduled_at <= clock_timestamp() and args->>'job' = $1) returning id`, job, node).Scan(&turn)
	if err != nil {
		t.Fatal(err)
	}
	return turn
}

func TestWhyAJobWaits(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	first, second, third := insert(t, s, admin, pythonSpec(rangeOf(100))), insert(t, s, admin, pythonSpec(rangeOf(100))), insert(t, s, admin, pythonSpec(rangeOf(100)))
	if w := why(t, s, admin, first); w.Kind != jobs.WaitNoNode {
		t.Errorf("without a node: %+v", w)
	}
	register(t, s, node)
	exec(t, s, `update nodes set heartbeat_at = now() - interval '10 seconds'`)
	if w := why(t, s, admin, first); w.Kind != jobs.WaitNoNode {
		t.Errorf("with a node that is silent: %+v", w)
	}
	exec(t, s, `update nodes set heartbeat_at = 'infinity'`)
	if w := why(t, s, admin, first); w.Kind != jobs.WaitStarting {
		t.Errorf("at the head of the line, with slots free: %+v", w)
	}
	// Each turn of the first job takes a slot.
	for range 2 {
		fetch(t, s, first)
		exec(t, s, `insert into chunks (job_id, first, count, state, attempt, losses, node_id, lane, leased_at) select $1, 0, 1, 'leased', 1, 0, $2, count(*), now() + interval '1 hour' from chunks`, first, node)
	}
	if w := why(t, s, admin, second); w.Kind != jobs.WaitBusy || w.JobsBefore != 1 || w.Position != 1 || w.StartsIn == nil || *w.StartsIn != 0.5 {
		t.Errorf("next in line: %+v", w)
	}
	if w := why(t, s, admin, third); w.Kind != jobs.WaitBusy || w.JobsBefore != 2 || w.Position != 2 || w.StartsIn == nil || *w.StartsIn != 1.5 {
		t.Errorf("second in line: %+v", w)
	}
	// A turn that waits at a slot precedes all turns in River's line.
	fetch(t, s, third)
	if w := why(t, s, admin, third); w.JobsBefore != 1 || w.Position != 1 {
		t.Errorf("at the slot: %+v", w)
	}
	if w := why(t, s, admin, second); w.JobsBefore != 2 || w.Position != 2 {
		t.Errorf("behind the one at the slot: %+v", w)
	}
	lines, err := s.Lines(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]int64{second: 2, third: 1} {
		if w := lines.Why(read(t, s, admin, id), true); w == nil || w.Position != want || w.Short() == "" {
			t.Errorf("among the lines: %+v, want position %d", w, want)
		}
		if w := lines.Why(read(t, s, admin, id), false); w != nil {
			t.Errorf("without places: %+v", w)
		}
	}
	// A more urgent job precedes it.
	spec := pythonSpec(rangeOf(100))
	spec.Priority = 1
	if w := why(t, s, admin, insert(t, s, admin, spec)); w.Position != 2 || w.JobsBefore != 2 {
		t.Errorf("the more urgent job: %+v", w) // the one at the slot stays before it
	}
	exec(t, s, `delete from river_job where args->>'job' = $1`, second)
	if w := why(t, s, admin, second); w.Kind != jobs.WaitTurns {
		t.Errorf("without its turns: %+v", w)
	}
	if err := s.Drain(t.Context(), node, true); err != nil {
		t.Fatal(err)
	}
	if lines, err = s.Lines(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{first, second, third} {
		if w := lines.Why(read(t, s, admin, id), false); w == nil || w.Kind != jobs.WaitNoNode {
			t.Errorf("among the lines, with the node drained: %+v", w)
		}
	}
}

func TestWhyTasksWait(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	exec(t, s, `update nodes set heartbeat_at = 'infinity'`)
	id := insert(t, s, admin, pythonSpec(rangeOf(10)))
	fetch(t, s, id)
	lease := claim(t, s, id, 10)
	if w := why(t, s, admin, id); w.Kind != "" {
		t.Errorf("with all tasks leased: %+v", w)
	}
	record(t, s, store.Record{Job: id, Lease: lease.ID, Count: 10, Outcomes: []outcomes.Encoded{outcomesOf(0, 1)}, Back: []store.BacklogSpan{
		{First: 1, Count: 4, Attempt: 1, Losses: 2}, {First: 5, Count: 4, Attempt: 1, Losses: 2}, {First: 9, Count: 1, Attempt: 2, Wait: time.Hour},
	}})
	if w := why(t, s, admin, id); w.Kind != jobs.WaitStarting {
		t.Errorf("with suspects and none of them leased: %+v", w)
	}
	exec(t, s, `update backlog set due_at = now() + interval '1 hour' where first = 5`)
	claim(t, s, id, 10) // half of the first suspects
	if w := why(t, s, admin, id); w.Kind != jobs.WaitRetry || !strings.HasPrefix(w.Message, "5 tasks wait for their next attempt") || w.Until == nil || time.Until(w.Until.Time) > time.Hour {
		t.Errorf("suspects are leased and others are due later: %+v", w)
	}
	exec(t, s, `delete from backlog where due_at > now()`)
	if w := why(t, s, admin, id); w.Kind != jobs.WaitSuspects || !strings.HasPrefix(w.Message, "2 tasks were claimed by processes that died") {
		t.Errorf("suspects are leased and others are due: %+v", w)
	}
	if err := s.Cancel(t.Context(), store.As(admin), id, nil); err != nil {
		t.Fatal(err)
	}
	if j := read(t, s, admin, id); j.Waiting == nil || j.Waiting.Kind != jobs.WaitEnding || j.Reason != j.Waiting.Message {
		t.Errorf("while it is cancelled: %+v", j)
	}
}

func TestWhyTurnsFail(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	exec(t, s, `update nodes set heartbeat_at = 'infinity'`)
	id := insert(t, s, admin, pythonSpec(rangeOf(10)))
	for range 2 {
		if err := s.PostponeTurn(t.Context(), fetch(t, s, id), time.Hour, errors.New("no such interpreter\nat all")); err != nil {
			t.Fatal(err)
		}
	}
	failing := func(when string) {
		t.Helper()
		w := why(t, s, admin, id)
		if w.Kind != jobs.WaitTrouble || !strings.HasSuffix(w.Message, "tried again: no such interpreter") || w.Until == nil || time.Until(w.Until.Time) < 59*time.Minute {
			t.Errorf("%s: %+v", when, w)
		}
	}
	failing("put off by the node")
	exec(t, s, `update river_job set state = 'retryable'`)
	failing("put off by River")
	exec(t, s, `update river_job set state = 'running' where id = (select min(id) from river_job)`)
	failing("while one is tried again")
	exec(t, s, `update river_job set state = 'available', scheduled_at = now() where state = 'running'`)
	if w := why(t, s, admin, id); w.Kind != jobs.WaitStarting {
		t.Errorf("once one is due: %+v", w)
	}
}

// TestWhyBehindALongLine has 100,000 turns wait.
func TestWhyBehindALongLine(t *testing.T) {
	// Not parallel: it measures.
	s, admin := open(t)
	register(t, s, node)
	exec(t, s, `update nodes set heartbeat_at = 'infinity'`)
	before := insert(t, s, admin, pythonSpec(rangeOf(10)))
	exec(t, s, `
		insert into river_job (kind, args, queue, priority, max_attempts, state, created_at, scheduled_at)
		select 'turn', jsonb_build_object('job', md5((i / 2)::text)::uuid, 'lane', i % 2), 'cpu', 2, 100, 'available', now(), clock_timestamp() from generate_series(0, 99999) i`)
	id := insert(t, s, admin, pythonSpec(rangeOf(10)))
	var took time.Duration
	for i := range 20 {
		began := time.Now()
		w := why(t, s, admin, id)
		if d := time.Since(began); i == 0 || d < took {
			took = d
		}
		if w.Kind != jobs.WaitBusy || !w.AtLeast || w.JobsBefore != 2500 || w.Position != 2501 || w.StartsIn != nil {
			t.Fatalf("%+v", w)
		}
	}
	t.Logf("why the last one waits: %v; %s", took, why(t, s, admin, id).Message)
	if took > 100*time.Millisecond {
		t.Errorf("it takes %v to say why a job waits behind 100,000 turns", took)
	}
	if w := why(t, s, admin, before); w.Kind != jobs.WaitStarting {
		t.Errorf("the first one: %+v", w)
	}
	began := time.Now()
	if _, err := s.Lines(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("the heads of all lines: %v", time.Since(began))
}
