package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

func TestJobFromSubmitToEnd(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	spec := pythonSpec(jobs.Inputs{})
	for i := range 10_000 {
		spec.Inputs.Items = append(spec.Inputs.Items, json.RawMessage(fmt.Sprint(i)))
	}
	id := insert(t, s, admin, spec)
	if j := read(t, s, admin, id); j.State != jobs.Queued || j.Counts.Waiting != 10_000 || j.Owner != "admin" || j.Inputs.Kind != "items" {
		t.Errorf("after submit: %+v", j)
	}
	seen := int64(0)
	for n := 1; ; n = n*3 + 1 {
		lease := claim(t, s, id, n)
		if lease == nil {
			break
		}
		lines := strings.Split(strings.TrimSpace(string(lease.Inputs)), "\n")
		if lease.First != seen || len(lines) != lease.Count || lines[0] != fmt.Sprint(seen) || lines[len(lines)-1] != fmt.Sprint(seen+int64(lease.Count)-1) {
			t.Fatalf("lease %+v has inputs %s … %s", lease.ID, lines[0], lines[len(lines)-1])
		}
		seen += int64(lease.Count)
		if j := read(t, s, admin, id); j.State != jobs.Running || j.Counts.Running != int64(lease.Count) || j.StartedAt == nil {
			t.Errorf("while leased: %+v", j)
		}
		p := record(t, s, store.Record{Job: id, Lease: lease.ID, Count: lease.Count, Outcomes: []outcomes.Encoded{outcomesOf(lease.First, lease.Count)}})
		if !p.Held || p.Ended != (seen == 10_000) || p.Succeeded != seen {
			t.Fatalf("recorded %d: %+v", seen, p)
		}
	}
	j := read(t, s, admin, id)
	if j.State != jobs.Succeeded || j.Counts.Succeeded != 10_000 || j.FinishedAt == nil || j.Reason != "" {
		t.Errorf("at the end: %+v", j)
	}
	next := int64(0)
	for {
		blocks, err := s.Outcomes(t.Context(), id, next, store.Pick{})
		if err != nil {
			t.Fatal(err)
		}
		if len(blocks) == 0 {
			break
		}
		for _, b := range blocks {
			if b.First != next {
				t.Fatalf("block begins at %d, want %d", b.First, next)
			}
			for i, line := range outcomes.Lines(b.Outputs) {
				if string(line) != fmt.Sprint(b.First+int64(i)) {
					t.Fatalf("output of %d is %s", b.First+int64(i), line)
				}
			}
			next += int64(b.Count)
		}
	}
	if next != 10_000 {
		t.Errorf("read %d outcomes", next)
	}
}

func TestFairShare(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(rangeOf(1000)))
	var got []int
	for range 4 {
		c, err := s.Claim(t.Context(), store.Claim{Job: id, Node: node, Want: 400, Floor: 10, Ranged: true})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, c.Lease.Count)
	}
	// Each claim gets a quarter of what is left: two lanes, twice.
	if diff := cmp.Diff([]int{250, 188, 141, 106}, got); diff != "" {
		t.Errorf("shares (-want +got):\n%s", diff)
	}
}

func TestLateRecordAfterLeaseMoved(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	id := insert(t, s, admin, pythonSpec(rangeOf(10)))
	late := claim(t, s, id, 10)
	if err := s.Expire(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	var lost *store.Lost
	err := s.Tx(t.Context(), func(tx pgx.Tx) (err error) { lost, err = s.TakeBack(t.Context(), tx); return err })
	if err != nil || lost == nil || lost.Chunks != 1 || lost.Node != node {
		t.Fatalf("took back %+v, %v", lost, err)
	}
	again := claim(t, s, id, 10)
	if again == nil || again.ID <= late.ID || again.First != 0 || again.Count != 10 || again.Losses != 1 {
		t.Fatalf("claimed again: %+v", again)
	}
	wrong := outcomes.Encoded{First: 0, Count: 10, Outputs: []byte(strings.Repeat("\"late\"\n", 10)), Durations: make([]byte, 20)}
	if p := record(t, s, store.Record{Job: id, Lease: late.ID, Count: 10, Outcomes: []outcomes.Encoded{wrong}}); p.Held || p.Ended {
		t.Errorf("a late record was taken: %+v", p)
	}
	if p, err := s.GiveBack(t.Context(), late.ID, []jobs.Span{{Count: 5}}, []jobs.Span{{First: 5, Count: 5}}); err != nil || p.Held {
		t.Errorf("a late return was taken: %+v, %v", p, err)
	}
	if j := read(t, s, admin, id); j.Counts.Running != 10 || j.Counts.Succeeded != 0 {
		t.Errorf("the late record changed counts: %+v", j.Counts)
	}
	if p := record(t, s, store.Record{Job: id, Lease: again.ID, Count: 10, Outcomes: []outcomes.Encoded{outcomesOf(0, 10)}}); !p.Held || !p.Ended {
		t.Errorf("the holder's record was refused: %+v", p)
	}
	if p := record(t, s, store.Record{Job: id, Lease: again.ID, Count: 10, Outcomes: []outcomes.Encoded{outcomesOf(0, 10)}}); p.Held {
		t.Error("the same record was taken twice")
	}
	if alive, err := s.Beat(t.Context(), node, store.NodeStatus{}); err != nil || alive {
		t.Errorf("a dead node's beat says alive=%v, %v", alive, err)
	}
}

func TestGivenBackTasksAreClaimedFirst(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(rangeOf(100)))
	lease := claim(t, s, id, 40)
	p, err := s.GiveBack(t.Context(), lease.ID, []jobs.Span{{Count: 15}}, []jobs.Span{{First: 15, Count: 25}})
	if err != nil || !p.Held {
		t.Fatal(p, err)
	}
	// Part of the span, the rest of it, then the cursor.
	for _, want := range []jobs.Span{{First: 15, Count: 10}, {First: 25, Count: 10}, {First: 35, Count: 5}, {First: 40, Count: 10}} {
		got := claim(t, s, id, 10)
		if got.First != want.First || got.Count != want.Count {
			t.Errorf("claimed %d+%d, want %+v", got.First, got.Count, want)
		}
	}
	if j := read(t, s, admin, id); j.Counts.Running != 50 {
		t.Errorf("running %d, want 50", j.Counts.Running)
	}
}

func TestLeaveSeesWhatWasGivenBack(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(rangeOf(10)))
	lease := claim(t, s, id, 10)
	leave := func() bool {
		t.Helper()
		left, err := s.LeaveTurn(t.Context(), 0, id)
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	if !leave() {
		t.Error("a turn with nothing to claim stayed")
	}
	if _, err := s.GiveBack(t.Context(), lease.ID, []jobs.Span{{Count: 9}}, []jobs.Span{{First: 9, Count: 1}}); err != nil {
		t.Fatal(err)
	}
	if leave() {
		t.Error("a turn left a task behind")
	}
	idle, err := s.Idle(t.Context())
	if err != nil || !cmp.Equal(idle, []string{id}) {
		t.Errorf("idle jobs: %v, %v", idle, err)
	}
	var missing int
	err = s.Tx(t.Context(), func(tx pgx.Tx) (err error) { _, missing, err = s.Missing(t.Context(), tx, id); return err })
	if err != nil || missing != 1 {
		t.Errorf("missing %d turns, %v", missing, err)
	}
}

// TestClaimDuringAppend checks that a claim that waits for an append gets its inputs,
// as does a claim that is made together with a record.
func TestClaimDuringAppend(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(jobs.Inputs{Open: true}))
	next := store.Claim{Job: id, Node: node, Want: 2, Floor: 2, Fixed: true}
	appending := func(first int64, during func() error) {
		t.Helper()
		tx, err := s.Pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(t.Context()) }() // after a commit there is nothing to roll back
		var pid int32
		for _, sql := range []string{
			`select pg_backend_pid() from progress where job_id = $1 and total = $2 for update`,
			`insert into input_blocks (job_id, first, count, data) values ($1, $2::bigint, 2, convert_to(format(E'%s\n%s\n', $2::bigint, $2::bigint + 1), 'UTF8')) returning 0`,
			`update progress set total = $2 + 2 where job_id = $1 returning 0`,
		} {
			var n int32
			if err := tx.QueryRow(t.Context(), sql, id, first).Scan(&n); err != nil {
				t.Fatal(err)
			}
			pid = max(pid, n)
		}
		done := make(chan error, 1)
		go func() { done <- during() }()
		for deadline := time.Now().Add(10 * time.Second); ; {
			var waits bool
			if err := s.Pool.QueryRow(t.Context(), `select exists (select from pg_stat_activity where $1 = any(pg_blocking_pids(pid)))`, pid).Scan(&waits); err != nil {
				t.Fatal(err)
			}
			if waits {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the claim does not wait for the append")
			}
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	var c store.Claimed
	appending(0, func() (err error) {
		c, err = s.Claim(t.Context(), next)
		return err
	})
	if c.Lease == nil || string(c.Lease.Inputs) != "0\n1\n" {
		t.Fatalf("claimed %+v", c.Lease)
	}
	r := store.Record{Job: id, Lease: c.Lease.ID, Count: 2, Outcomes: []outcomes.Encoded{outcomesOf(0, 2)}}
	appending(2, func() error {
		p, claimed, err := s.Record(t.Context(), r, &next)
		if c = claimed; err == nil && !p.Held {
			err = errors.New("the lease is lost")
		}
		return err
	})
	if c.Lease == nil || string(c.Lease.Inputs) != "2\n3\n" {
		t.Fatalf("claimed %+v with a record", c.Lease)
	}
}
