package engine_test

import (
	"context"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/store"
)

// TestWorkFlowsSoonAfterPostgresWasKilled kills Postgres while jobs run, wait in line
// and wait for another attempt. Tasks must succeed again within five seconds of its
// first answer, and everything must end.
func TestWorkFlowsSoonAfterPostgresWasKilled(t *testing.T) {
	t.Parallel()
	kills := 1
	if *chaosLong {
		kills = 10
	}
	url, postmaster := ownPostgres(t)
	n := startReal(t, url)
	for range kills {
		dir := t.TempDir()
		big := n.submit(t, marked(dir, 5*time.Millisecond, 1500))
		retrying := python("import random\ndef f(x):\n    if random.random() < 0.5: raise ValueError(x)\n    return x\n", "f", rangeOf(20))
		retrying.Policy.MaxAttempts = pointer(50)
		retrying.Policy.RetryBackoff = pointer(jobs.Duration("10ms"))
		ids := []string{big, n.submit(t, retrying)}
		for range 5 {
			ids = append(ids, n.submit(t, sleeps(10*time.Millisecond, 40)))
		}
		await(t, "tasks succeed", func() bool { return n.succeeded(t, big) > 50 })
		if err := syscall.Kill(postmaster(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		var conn *pgx.Conn
		await(t, "Postgres answers", func() (ok bool) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var err error
			conn, err = pgx.Connect(ctx, url)
			return err == nil
		})
		back := time.Now()
		done := func() (tasks int64) {
			if err := conn.QueryRow(t.Context(), `select sum(succeeded) from progress`).Scan(&tasks); err != nil {
				t.Fatal(err)
			}
			return tasks
		}
		before := done()
		await(t, "tasks succeed again", func() bool { return done() > before })
		took := time.Since(back)
		t.Logf("tasks succeeded again %v after Postgres was back", took.Round(time.Millisecond))
		if most := stretched(t, 5*time.Second); took > most {
			t.Errorf("tasks succeeded again only %v after Postgres was back, want %v", took, most)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for _, id := range ids {
			if j := n.end(t, id, 60*time.Second); j.State != jobs.Succeeded {
				t.Errorf("%s, %+v, %s", j.State, j.Counts, j.Reason)
			}
		}
		n.checkMarked(t, big, dir, 1500)
	}
}

// TestRecoveryOfADeadNodeBeginsInTime kills one of two nodes. Its tasks must be leased
// again within ten seconds.
func TestRecoveryOfADeadNodeBeginsInTime(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	n := webNode(t, url)
	victim := startProcess(t, url)
	id := n.submit(t, sleeps(50*time.Millisecond, 100_000))
	var node string
	await(t, "the first node works", func() bool {
		err := n.store.Pool.QueryRow(t.Context(), `select node_id::text from chunks where state = 'leased' limit 1`).Scan(&node)
		return err == nil
	})
	startProcess(t, url)
	await(t, "the second node works", func() bool {
		var others int
		err := n.store.Pool.QueryRow(t.Context(), `select count(*) from chunks where state = 'done' and node_id <> $1`, node).Scan(&others)
		return err == nil && others > 0
	})
	if err := victim.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	var lost, again int
	await(t, "all that was lost is leased again", func() bool {
		err := n.store.Pool.QueryRow(t.Context(), `
			select count(*), count(*) filter (where exists (
				select from chunks c where c.job_id = l.job_id and c.id > l.id and c.first <= l.task and c.first + greatest(c.count + c.recorded, 1) > l.task))
			from (select job_id, id, coalesce(rest[1], first) as task from chunks where state = 'lost' and node_id = $1) l`, node).Scan(&lost, &again)
		return err == nil && lost > 0 && again == lost
	})
	took := time.Since(killed)
	t.Logf("%d chunks were leased again after %v", lost, took.Round(time.Millisecond))
	if most := stretched(t, 10*time.Second); took > most {
		t.Errorf("recovery took %v, want at most %v", took, most)
	}
	if _, err := n.Cancel(t.Context(), store.As(n.admin), id, nil); err != nil {
		t.Error(err)
	}
}

// TestQueueIsServedAgainAfterAConnectionBroke cuts a node's connection when it begins
// to fetch from a queue whose limits have changed. It must try again.
func TestQueueIsServedAgainAfterAConnectionBroke(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	n := webNode(t, url)
	var cuts atomic.Int32
	p := tap{cut: func(statement string) bool {
		return strings.Contains(statement, "QueueCreateOrSetUpdatedAt") && cuts.Add(-1) >= 0
	}}
	start(t, p.listen(t, url), engine.Options{Role: engine.RoleWorker, Executors: map[string]executor.Executor{"python": squares{}}})
	square := python("def f(x): return x * x", "f", rangeOf(10))
	n.end(t, n.submit(t, square), 20*time.Second)
	cuts.Store(2)
	if _, err := n.store.SetQueue(t.Context(), "cpu", jobs.QueueLimits{PerCore: 2}); err != nil {
		t.Fatal(err)
	}
	await(t, "the connection is cut twice", func() bool { return cuts.Load() <= 0 })
	if j := n.end(t, n.submit(t, square), 20*time.Second); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
}
