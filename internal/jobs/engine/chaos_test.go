package engine_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/internal/store/pglocal"
)

var (
	chaosLong = flag.Bool("chaos.long", false, "the long chaos test: 100,000 tasks, 20 killed nodes, Postgres killed twice")
	chaosSeed = flag.Uint64("chaos.seed", 0, "seed of the chaos test's schedule; 0 takes a fresh one")
)

// TestChaos runs a job on three nodes while a random schedule kills nodes, worker
// processes and Postgres. No task may be lost, every outcome must be right and recorded
// once, the counts must be exact, and no more tasks may run again than were in flight
// at a kill.
func TestChaos(t *testing.T) {
	t.Parallel()
	tasks, nodeKills, postgresKills := 8_000, 4, 1
	if *chaosLong {
		tasks, nodeKills, postgresKills = 100_000, 20, 2
	}
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-chaos.seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	url, postmaster := ownPostgres(t)
	n := webNode(t, url)
	marks := t.TempDir()
	nodes := make([]*os.Process, 3)
	for i := range nodes {
		nodes[i] = startProcess(t, url)
	}
	id := n.submit(t, python(fmt.Sprintf(`
import os, time
marks = open(os.path.join(%q, str(os.getpid())), "a", buffering=1)
def f(x):
    marks.write("%%d\n" %% x)
    time.sleep(0.005)
    return x * x
`, marks), "f", rangeOf(int64(tasks))))
	await(t, "the nodes work", func() bool { return n.succeeded(t, id) > 100 })

	// inFlight bounds how many tasks may be run again for the kills so far.
	var inFlight atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var killers sync.WaitGroup
	defer killers.Wait()
	defer stop()
	killers.Go(func() { killProcesses(ctx, marks, rand.New(rand.NewPCG(seed, 1)), &inFlight) })
	for kill := range nodeKills + postgresKills {
		pause(ctx, time.Duration(500+random.IntN(2000))*time.Millisecond)
		inFlight.Add(n.claimed(t, id))
		if (kill+1)%((nodeKills+postgresKills)/postgresKills) == 0 {
			if err := syscall.Kill(postmaster(), syscall.SIGKILL); err != nil {
				t.Errorf("kill Postgres: %v", err)
			}
			continue
		}
		victim := random.IntN(len(nodes))
		if err := nodes[victim].Kill(); err != nil {
			t.Errorf("kill node %d: %v", victim, err)
		}
		nodes[victim] = startProcess(t, url)
	}
	stop()
	killers.Wait()

	j := n.end(t, id, 5*time.Minute)
	if j.State != jobs.Succeeded || j.Counts.Succeeded != int64(tasks) || j.Counts.Failed+j.Counts.Cancelled+j.Counts.Running+j.Counts.Waiting != 0 {
		groups, _ := n.store.FailureGroups(t.Context(), id, 5)
		t.Errorf("%s, %+v, %+v", j.State, j.Counts, groups)
	}
	n.checkSquares(t, id, tasks)
	ran, processes := readMarks(t, marks, tasks)
	again := 0
	for i, times := range ran {
		if times == 0 {
			t.Errorf("task %d has an outcome but was never run", i)
		}
		again += times - 1
	}
	t.Logf("%d tasks, %d worker processes, %d run again, at most %d were in flight at a kill", tasks, processes, again, inFlight.Load())
	if int64(again) > inFlight.Load() {
		t.Errorf("%d tasks were run again, but only %d were in flight", again, inFlight.Load())
	}
}

// claimed returns an upper bound of the tasks of a job that are claimed, or will be
// until a kill that follows at once.
func (n *node) claimed(t *testing.T, id string) int64 {
	j, err := n.store.Job(t.Context(), store.As(n.admin), id)
	if err != nil {
		return 1000
	}
	return j.Counts.Running + 6*40
}

// killProcesses kills worker processes, whose pids are the names of the files in
// marks, until ctx ends. inFlight counts the tasks that may run again for it.
func killProcesses(ctx context.Context, marks string, random *rand.Rand, inFlight *atomic.Int64) {
	for ctx.Err() == nil {
		pause(ctx, time.Duration(100+random.IntN(300))*time.Millisecond)
		files, err := os.ReadDir(marks)
		if err != nil || len(files) == 0 {
			continue
		}
		pid, err := strconv.Atoi(files[random.IntN(len(files))].Name())
		if err == nil && runs(pid) && syscall.Kill(pid, syscall.SIGKILL) == nil {
			// Its outcomes since the last flush, and its chunk at worst.
			inFlight.Add(2 * 100)
		}
	}
}

// checkSquares checks that every task of a job has one outcome, its index squared.
func (n *node) checkSquares(t *testing.T, id string, tasks int) {
	t.Helper()
	all := n.outputs(t, id)
	if len(all) != tasks {
		t.Errorf("%d outcomes are recorded of %d tasks", len(all), tasks)
	}
	for i, text := range all {
		if text != strconv.Itoa(i*i) {
			t.Fatalf("output of %d is %s", i, text)
		}
	}
}

// readMarks counts how often each task ran, by the lines of the files in marks. Each
// worker process writes one file.
func readMarks(t *testing.T, marks string, tasks int) (ran []int, processes int) {
	t.Helper()
	ran = make([]int, tasks)
	files, err := os.ReadDir(marks)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(marks, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if i, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && i < tasks {
				ran[i]++
			}
		}
	}
	return ran, len(files)
}

// pause lets time pass in a schedule of the test. It waits for no event.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// ownPostgres starts a Postgres that the test may kill. postmaster returns the pid
// of its postmaster.
func ownPostgres(t *testing.T) (url string, postmaster func() int) {
	t.Helper()
	// Not t.TempDir, which the account that Postgres runs under cannot enter.
	data, err := os.MkdirTemp("", "allcores")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(data) })
	if err := os.Chmod(data, 0o755); err != nil {
		t.Fatal(err)
	}
	server, err := pglocal.Start(t.Context(), pglocal.Options{
		Dir: data, Logger: slog.New(slog.DiscardHandler), Settings: map[string]string{"shared_buffers": "32MB"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := store.Migrate(t.Context(), server.URL()); err != nil {
		t.Fatal(err)
	}
	return server.URL(), func() int {
		text, err := os.ReadFile(filepath.Join(data, "postgres", "data", "postmaster.pid"))
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(string(text), "\n")
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
}
