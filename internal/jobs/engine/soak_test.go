package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/executor"
	pyexec "github.com/allcores/allcores/internal/jobs/executor/python"
	"github.com/allcores/allcores/internal/store"
)

var soak = flag.Duration("soak", 3*time.Second, "how long the soak test churns jobs; sizes are judged from 60s on")

// churned returns the jobs that the soak test repeats, each on its own goroutine.
// Together they write to every table.
func churned() []jobs.Spec {
	numbers := make([]json.RawMessage, 500)
	for i := range numbers {
		numbers[i] = json.RawMessage(fmt.Sprint(i))
	}
	failing := python("def f(x):\n    if x % 10 == 0: raise ValueError(x)\n    print(x)\n    return x\n", "f", rangeOf(300))
	retried := python("import random\ndef f(x):\n    if random.random() < 0.2: raise ValueError(x)\n    return x\n", "f", rangeOf(50))
	retried.Policy.MaxAttempts, retried.Policy.RetryBackoff = pointer(100), pointer(jobs.Duration("10ms"))
	return []jobs.Spec{
		python("def f(x): return x", "f", rangeOf(1)),
		python("def f(x): return x * x", "f", rangeOf(3000)),
		python("def f(x): return [x] * 10", "f", jobs.Inputs{Items: numbers}),
		failing, retried, retried,
	}
}

// looks is how often the soak test reads the sizes of the tables.
const looks = 12

// TestSoak submits, runs and deletes jobs all the time and measures the tables on disk.
// In a long run no table may be larger in the second half than one and a half times its
// size in the first. River keeps ended jobs for longer than such a run, so the size of a
// row of its table counts.
func TestSoak(t *testing.T) {
	t.Parallel()
	url, _ := ownPostgres(t)
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	py := pyexec.New(pyexec.Options{Logger: logger})
	t.Cleanup(func() { py.Close() })
	n := start(t, url, engine.Options{Logger: logger, Retention: time.Second, Executors: map[string]executor.Executor{"python": py}})
	ctx, stop := context.WithTimeout(t.Context(), *soak)
	defer stop()
	var churn sync.WaitGroup
	defer churn.Wait()
	var ran, tasks atomic.Int64
	for _, spec := range churned() {
		churn.Go(func() {
			for ctx.Err() == nil {
				id, err := n.Submit(t.Context(), engine.SubmitRequest{User: n.admin, Spec: spec, Key: &store.Key{UserID: n.admin.ID, Key: store.NewID(), Request: []byte("soak")}})
				if err != nil {
					t.Error(err)
					return
				}
				j, err := n.Await(t.Context(), engine.AwaitRequest{Job: id, Viewer: store.As(n.admin), AtMost: 60 * time.Second})
				if errors.Is(err, jobs.ErrNotFound) {
					err = nil // it had ended, and was removed before Await read it
				}
				if err != nil || j != nil && (!j.State.Ended() || j.State == jobs.Cancelled) {
					t.Errorf("%+v, %v", j, err)
					return
				}
				ran.Add(1)
				tasks.Add(spec.Inputs.Count())
			}
		})
	}
	sizes := make(map[string][]float64) // KiB by table
	for range looks {
		pause(ctx, *soak/looks)
		n.addSizes(t, sizes)
	}
	stop()
	churn.Wait()
	var kept int64
	if err := n.store.Pool.QueryRow(t.Context(), `select count(*) from jobs`).Scan(&kept); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d jobs, %d tasks, %d jobs kept; KiB:", ran.Load(), tasks.Load(), kept)
	checkGrowth(t, sizes)
	for _, table := range []string{"jobs", "progress", "chunks", "outcomes", "input_blocks", "logs", "failure_groups", "attempts", "river_job", "idempotency_keys"} {
		if len(sizes[table]) != looks {
			t.Errorf("looked at %s %d times", table, len(sizes[table]))
		}
	}
	// Jobs are kept for a second, and removed every two.
	if ran.Load() < 5 || *soak >= 10*time.Second && kept > ran.Load()/2 {
		t.Errorf("of %d jobs %d are kept", ran.Load(), kept)
	}
	await(t, "nothing is left of any job", func() bool {
		var left int
		err := n.store.Pool.QueryRow(t.Context(), `
			select (select count(*) from jobs) + (select count(*) from progress) + (select count(*) from chunks) + (select count(*) from outcomes)
				+ (select count(*) from logs) + (select count(*) from failure_groups) + (select count(*) from attempts)
				+ (select count(*) from input_blocks) + (select count(*) from backlog)`).Scan(&left)
		return err == nil && left == 0
	})
}

// addSizes adds the size of each table in KiB, and that of a turn.
func (n *node) addSizes(t *testing.T, sizes map[string][]float64) {
	t.Helper()
	rows, err := n.store.Pool.Query(t.Context(), `
		select relname, pg_total_relation_size(relid) / 1024.0 from pg_stat_user_tables
		union all select 'a turn in river_job', pg_total_relation_size('river_job') / 1024.0 / (select greatest(count(*), 1) from river_job)`)
	if err != nil {
		t.Fatal(err)
	}
	var name string
	var size float64
	if _, err = pgx.ForEachRow(rows, []any{&name, &size}, func() error {
		sizes[name] = append(sizes[name], size)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// checkGrowth logs the sizes of each table, and in a long run checks that it is not
// larger in the second half than one and a half times what it was in the first.
func checkGrowth(t *testing.T, sizes map[string][]float64) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		var line strings.Builder
		for _, size := range sizes[name] {
			fmt.Fprintf(&line, "%10.1f", size)
		}
		t.Logf("%-20s%s", name, line.String())
		before, after := slices.Max(sizes[name][:looks/2]), slices.Max(sizes[name][looks/2:])
		const small = 1024 // the difference that one vacuum makes
		if *soak >= time.Minute && name != "river_job" && after > max(before, small)*1.5 {
			t.Errorf("%s grew from %.0f to %.0f KiB", name, before, after)
		}
	}
}
