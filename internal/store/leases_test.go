package store_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// everything returns all rows of a job, as text by table.
func everything(t *testing.T, s *store.Store, id string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for table, key := range map[string]string{
		"jobs": "id", "progress": "job_id", "input_blocks": "job_id", "backlog": "job_id", "chunks": "job_id",
		"outcomes": "job_id", "failure_groups": "job_id", "attempts": "job_id", "logs": "job_id", "runs": "job_id",
	} {
		var text string
		err := s.Pool.QueryRow(t.Context(), fmt.Sprintf(
			`select coalesce(string_agg(t::text, E'\n' order by t::text), '') from %s t where %s = $1`, table, key), id).Scan(&text)
		if err != nil {
			t.Fatalf("read %s: %v", table, err)
		}
		all[table] = text
	}
	return all
}

// full returns a record that writes to every table that a record may write to: the
// lease's first task failed for good, the second is tried again, the others
// succeeded.
func full(job string, l *store.Lease) store.Record {
	bad := &jobs.TaskError{Kind: jobs.KindException, Type: "ValueError", Message: "late"}
	return store.Record{
		Job: job, Lease: l.ID, Count: l.Count,
		Outcomes: []outcomes.Encoded{outcomesOf(l.First, 1, 0), outcomesOf(l.First+2, l.Count-2)},
		Back:     []store.BacklogSpan{{First: l.First + 1, Count: 1, Attempt: 2}},
		Attempts: []store.Attempt{{Index: l.First + 1, Attempt: 1, Error: bad}},
		Logs:     []jobs.LogLine{{Task: l.First, Stream: "stdout", Line: "late", At: jobs.Time{Time: time.Now()}}},
		Usage: store.Usage{
			StartedAt: 2 * time.Second, FinishedAt: time.Second, User: time.Second, System: time.Second, Tasks: time.Second,
			PeakMemory: 1 << 20,
		},
		Halt: "because of a late record", Notify: true,
	}
}

// loseNode ends the lease of a node and takes its work back.
func loseNode(t *testing.T, s *store.Store, id string) *store.Lost {
	t.Helper()
	if err := s.Expire(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	return takeBack(t, s)
}

func takeBack(t *testing.T, s *store.Store) (lost *store.Lost) {
	t.Helper()
	err := s.Tx(t.Context(), func(tx pgx.Tx) (err error) { lost, err = s.TakeBack(t.Context(), tx); return err })
	if err != nil {
		t.Fatal(err)
	}
	return lost
}

// TestLostLeaseWritesNothing records a chunk late, after its lease ended in each
// possible way, and compares everything stored of the job.
func TestLostLeaseWritesNothing(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	const total = 30
	for name, lose := range waysToLose(s, admin) {
		t.Run(name, func(t *testing.T) {
			if _, err := s.Pool.Exec(t.Context(), `delete from nodes`); err != nil {
				t.Fatal(err)
			}
			register(t, s, node)
			id := insert(t, s, admin, pythonSpec(rangeOf(total)))
			lease := claim(t, s, id, 10)
			lose(t, id, lease)
			before := everything(t, s, id)
			if p, _, err := s.Record(t.Context(), full(id, lease), nil); err != nil || p.Held || p.Ended {
				t.Errorf("a late record was answered with %+v, %v", p, err)
			}
			if diff := cmp.Diff(before, everything(t, s, id)); diff != "" {
				t.Errorf("a late record wrote (-before +after):\n%s", diff)
			}
			if p, err := s.GiveBack(t.Context(), lease.ID, []jobs.Span{{First: lease.First, Count: 4}}, []jobs.Span{{First: lease.First + 4, Count: 6}}); err != nil || p.Held {
				t.Errorf("giving back late was answered with %+v, %v", p, err)
			}
			if diff := cmp.Diff(before, everything(t, s, id)); diff != "" {
				t.Errorf("giving back late wrote (-before +after):\n%s", diff)
			}
		})
	}
}

// waysToLose returns the ways in which a lease of the first tasks of a job ends
// before its record.
func waysToLose(s *store.Store, admin *jobs.User) map[string]func(t *testing.T, id string, l *store.Lease) {
	return map[string]func(t *testing.T, id string, l *store.Lease){
		"its node is dead": func(t *testing.T, id string, l *store.Lease) {
			loseNode(t, s, node)
			register(t, s, store.NewID())
		},
		"another lane has its tasks": func(t *testing.T, id string, l *store.Lease) {
			loseNode(t, s, node)
			if again := claim(t, s, id, l.Count); again == nil || again.First != l.First || again.ID == l.ID {
				t.Fatalf("claimed again: %+v", again)
			}
		},
		"another lane has recorded its tasks": func(t *testing.T, id string, l *store.Lease) {
			loseNode(t, s, node)
			again := claim(t, s, id, l.Count)
			record(t, s, store.Record{Job: id, Lease: again.ID, Count: again.Count, Outcomes: []outcomes.Encoded{outcomesOf(again.First, again.Count)}})
		},
		"the answer to its claim was lost": func(t *testing.T, id string, l *store.Lease) {
			if _, err := s.Pool.Exec(t.Context(), `update chunks set leased_at = leased_at - interval '6 seconds' where id = $1`, l.ID); err != nil {
				t.Fatal(err)
			}
			if n, err := s.Strays(t.Context(), node, []int64{}); err != nil || n != 1 {
				t.Fatalf("%d strays, %v", n, err)
			}
		},
		"it was recorded before": func(t *testing.T, id string, l *store.Lease) {
			if p := record(t, s, full(id, l)); !p.Held {
				t.Fatalf("the first record was refused: %+v", p)
			}
		},
		"it was given back whole": func(t *testing.T, id string, l *store.Lease) {
			record(t, s, store.Record{Job: id, Lease: l.ID, Count: l.Count, Back: []store.BacklogSpan{{First: l.First, Count: l.Count, Attempt: 1}}})
		},
		"the job was cancelled and has ended": func(t *testing.T, id string, l *store.Lease) {
			if err := s.Cancel(t.Context(), store.As(admin), id, nil); err != nil {
				t.Fatal(err)
			}
			loseNode(t, s, node)
			if j := read(t, s, admin, id); j.State != jobs.Cancelled {
				t.Fatalf("%+v", j)
			}
		},
		"the job was cancelled and retried": func(t *testing.T, id string, l *store.Lease) {
			if err := s.Cancel(t.Context(), store.As(admin), id, nil); err != nil {
				t.Fatal(err)
			}
			loseNode(t, s, node)
			if err := s.Retry(t.Context(), store.As(admin), id, nil, nil); err != nil {
				t.Fatal(err)
			}
		},
		"it was recorded, and the job retried": func(t *testing.T, id string, l *store.Lease) {
			record(t, s, full(id, l)) // it stops the job
			if err := s.Retry(t.Context(), store.As(admin), id, nil, nil); err != nil {
				t.Fatal(err)
			}
		},
		"the job was deleted": func(t *testing.T, id string, l *store.Lease) {
			if err := s.Cancel(t.Context(), store.As(admin), id, nil); err != nil {
				t.Fatal(err)
			}
			loseNode(t, s, node)
			if err := s.DeleteJob(t.Context(), store.As(admin), id); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// TestLossesOfTheLast checks that a chunk's losses do not count for a task that is
// alone from then on: it may be the innocent one.
func TestLossesOfTheLast(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(rangeOf(10)))
	lease := claim(t, s, id, 10)
	if _, err := s.Pool.Exec(t.Context(), `update chunks set losses = 2 where id = $1`, lease.ID); err != nil {
		t.Fatal(err)
	}
	losses := func() (chunk int, backlog []int) {
		t.Helper()
		err := s.Pool.QueryRow(t.Context(), `
			select (select losses from chunks where id = $1),
				(select array_agg(losses order by first) from backlog where job_id = $2)`, lease.ID, id).Scan(&chunk, &backlog)
		if err != nil {
			t.Fatal(err)
		}
		return chunk, backlog
	}
	if p, err := s.GiveBack(t.Context(), lease.ID, []jobs.Span{{Count: 4}}, []jobs.Span{{First: 4, Count: 5}, {First: 9, Count: 1}}); err != nil || !p.Held {
		t.Fatal(p, err)
	}
	if chunk, backlog := losses(); chunk != 2 || !slices.Equal(backlog, []int{2, 0}) {
		t.Errorf("the chunk has %d losses, what was given back %v", chunk, backlog)
	}
	if p, err := s.GiveBack(t.Context(), lease.ID, []jobs.Span{{Count: 1}}, []jobs.Span{{First: 1, Count: 3}}); err != nil || !p.Held {
		t.Fatal(p, err)
	}
	if chunk, backlog := losses(); chunk != 0 || !slices.Equal(backlog, []int{2, 2, 0}) {
		t.Errorf("the last task has %d losses, what was given back %v", chunk, backlog)
	}
}

// TestRecordedOnceAtOnce records one chunk from many connections at the same moment.
// One of them wins, and its outcomes are stored once.
func TestRecordedOnceAtOnce(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(rangeOf(10)))
	lease := claim(t, s, id, 10)
	var all sync.WaitGroup
	held := make(chan bool, 8)
	for range cap(held) {
		all.Go(func() {
			p, _, err := s.Record(t.Context(), store.Record{Job: id, Lease: lease.ID, Count: 10, Outcomes: []outcomes.Encoded{outcomesOf(0, 10)}}, nil)
			if err != nil {
				t.Error(err)
			}
			held <- p.Held
		})
	}
	all.Wait()
	close(held)
	won := 0
	for h := range held {
		if h {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d of 8 records were taken", won)
	}
	if j := read(t, s, admin, id); j.State != jobs.Succeeded || j.Counts.Succeeded != 10 {
		t.Errorf("%+v", j)
	}
	var sum int
	if err := s.Pool.QueryRow(t.Context(), `select sum(count) from outcomes where job_id = $1`, id).Scan(&sum); err != nil || sum != 10 {
		t.Errorf("%d outcomes are kept (%v)", sum, err)
	}
}

// TestRecordAfterCancelKeepsWhatWasDone checks that the holder of a lease may record
// it after its job was cancelled, and that no task is tried again.
func TestRecordAfterCancelKeepsWhatWasDone(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(rangeOf(30)))
	lease := claim(t, s, id, 10)
	if err := s.Cancel(t.Context(), store.As(admin), id, nil); err != nil {
		t.Fatal(err)
	}
	if p, err := s.GiveBack(t.Context(), lease.ID, []jobs.Span{{Count: 8}}, []jobs.Span{{First: 8, Count: 2}}); err != nil || !p.Held || p.Halted != "cancelled" {
		t.Errorf("given back: %+v, %v", p, err)
	}
	lease.Count = 8
	r := full(id, lease)
	r.Halt = ""
	if p := record(t, s, r); !p.Held || !p.Ended || p.Halted != "cancelled" {
		t.Errorf("recorded: %+v", p)
	}
	if j := read(t, s, admin, id); j.State != jobs.Cancelled || j.Counts.Succeeded != 6 || j.Counts.Failed != 1 || j.Counts.Cancelled != 23 {
		t.Errorf("%+v", j)
	}
	if left := everything(t, s, id)["backlog"]; left != "" {
		t.Errorf("a cancelled job has a backlog: %s", left)
	}
}

// TestRetriedJobForgetsEarlierLeases checks that after a retry tasks are claimed
// under new leases, and that only those count.
func TestRetriedJobForgetsEarlierLeases(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	id := insert(t, s, admin, pythonSpec(rangeOf(20)))
	first, late := claim(t, s, id, 10), claim(t, s, id, 10)
	record(t, s, store.Record{Job: id, Lease: first.ID, Count: 10, Outcomes: []outcomes.Encoded{outcomesOf(0, 10, 2, 5)}})
	if err := s.Cancel(t.Context(), store.As(admin), id, nil); err != nil {
		t.Fatal(err)
	}
	loseNode(t, s, node)
	if err := s.Retry(t.Context(), store.As(admin), id, nil, nil); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for {
		l := claim(t, s, id, 100)
		if l == nil {
			break
		}
		if p := record(t, s, store.Record{Job: id, Lease: late.ID, Count: 10, Outcomes: []outcomes.Encoded{outcomesOf(10, 10)}}); p.Held {
			t.Error("a lease from before the retry was taken")
		}
		record(t, s, store.Record{Job: id, Lease: l.ID, Count: l.Count, Outcomes: []outcomes.Encoded{outcomesOf(l.First, l.Count)}})
		seen += l.Count
	}
	if j := read(t, s, admin, id); seen != 12 || j.State != jobs.Succeeded || j.Counts.Succeeded != 20 {
		t.Errorf("%d tasks were claimed again, want 12: %+v", seen, j)
	}
}

// TestDeadNodesLateWorkIsTakenBack checks work that a dead node claims late: a node
// that was paused for long continues before it learns that it is dead. Its claims
// must be taken back once it dies for good.
func TestDeadNodesLateWorkIsTakenBack(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	id := insert(t, s, admin, pythonSpec(rangeOf(20)))
	if lost := loseNode(t, s, node); lost == nil || lost.Node != node {
		t.Fatalf("took back %+v", lost)
	}
	if lost := takeBack(t, s); lost != nil {
		t.Fatalf("took back a second time: %+v", lost)
	}
	lease := claim(t, s, id, 10)
	_, err := s.Pool.Exec(t.Context(), `
		update river_job set state = 'running', attempted_by = array[$1], attempted_at = now() where args->>'job' = $2`, node, id)
	if err != nil {
		t.Fatal(err)
	}
	lost := takeBack(t, s)
	if lost == nil || lost.Node != node || lost.Chunks != 1 || len(lost.Turns) != 2 {
		t.Fatalf("took back %+v, want 1 chunk and 2 turns", lost)
	}
	if p := record(t, s, full(id, lease)); p.Held {
		t.Error("a dead node recorded")
	}
	if lost := takeBack(t, s); lost != nil {
		t.Errorf("took back what is back already: %+v", lost)
	}
}

// TestStoppedNodesTurnsAreTakenBack checks turns of a stopped node: it may have
// fetched turns in an answer that it never received, even after it reported its stop.
func TestStoppedNodesTurnsAreTakenBack(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	id := insert(t, s, admin, pythonSpec(rangeOf(20)))
	fetch := func() {
		t.Helper()
		tag, err := s.Pool.Exec(t.Context(), `
			update river_job set state = 'running', attempted_by = array[$1], attempted_at = now()
			where args->>'job' = $2 and state = 'available'`, node, id)
		if err != nil || tag.RowsAffected() != 2 {
			t.Fatalf("%d turns were available, want 2 (%v)", tag.RowsAffected(), err)
		}
	}
	fetch()
	if err := s.Unregister(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	fetch()
	if _, err := s.Pool.Exec(t.Context(), `update nodes set heartbeat_at = heartbeat_at - interval '10 seconds'`); err != nil {
		t.Fatal(err)
	}
	if lost := takeBack(t, s); lost == nil || lost.Node != node || len(lost.Turns) != 2 {
		t.Errorf("took back %+v, want 2 turns", lost)
	}
}
