package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/exec/cores"
)

// The benchmarks measure the whole server, from the request over HTTP to the
// committed results, beside Python's own multiprocessing.Pool with as many
// processes, in the same run:
//
//	go test -run '^$' -bench . -benchtime 3x ./cmd/web
//
// Each reports, of its best round, what it is about: tasks/s, the share of the
// ideal makespan (all task time spread evenly over the processes), or latencies
// in milliseconds.

// A workload is a Python function over a range.
type workload struct {
	source string // defines f
	tasks  int
	work   time.Duration // time of all tasks together, on one process; 0 when it is not the point
}

var (
	squares = workload{source: "def f(x):\n    return x * x\n", tasks: 1_000_000}

	// CPU time, not wall time: a task that is held up by others must not get
	// off with less work.
	busy = workload{source: `
import time
def f(x):
    end = time.process_time() + 0.010
    while time.process_time() < end:
        pass
`, tasks: 2000, work: 2000 * 10 * time.Millisecond}

	// The last tenth of the tasks are forty times as long as the others.
	skewed = workload{source: `
import time
def f(x):
    time.sleep(0.005 if x < 450 else 0.200)
`, tasks: 500, work: 450*5*time.Millisecond + 50*200*time.Millisecond}
)

func BenchmarkMillionSquares(b *testing.B)  { squares.compare(b) }
func BenchmarkTenMilliseconds(b *testing.B) { busy.compare(b) }
func BenchmarkSkewed(b *testing.B)          { skewed.compare(b) }

func (w workload) compare(b *testing.B) {
	processes := len(cores.Available())
	b.Run("allcores", func(b *testing.B) {
		s := serve(b, dataDir(b))
		best := time.Duration(0)
		for b.Loop() {
			began := time.Now()
			j := s.call(b, "POST", "/api/v1/jobs", pythonJob(w.source, "f", w.tasks), "wait=60")
			took := time.Since(began)
			if j.State != "succeeded" || j.Counts["succeeded"] != int64(w.tasks) {
				b.Fatalf("%+v", j)
			}
			if best == 0 || took < best {
				best = took
			}
		}
		w.report(b, best, processes)
	})
	b.Run("multiprocessing.Pool", func(b *testing.B) {
		best := time.Duration(0)
		for b.Loop() {
			if took := w.pool(b, processes); best == 0 || took < best {
				best = took
			}
		}
		w.report(b, best, processes)
	})
}

func (w workload) report(b *testing.B, best time.Duration, processes int) {
	b.ReportMetric(float64(w.tasks)/best.Seconds(), "tasks/s")
	if w.work > 0 {
		ideal := w.work / time.Duration(processes)
		b.ReportMetric(ideal.Seconds()/best.Seconds(), "of-ideal")
	}
}

// pool runs the workload in a Pool and returns how long its map took, without
// the start of its processes.
func (w workload) pool(b *testing.B, processes int) time.Duration {
	b.Helper()
	script := w.source + fmt.Sprintf(`
import time, multiprocessing
if __name__ == "__main__":
    with multiprocessing.Pool(%d) as pool:
        pool.map(abs, range(64), 1)
        began = time.perf_counter()
        pool.map(f, range(%d))
        print(time.perf_counter() - began)
`, processes, w.tasks)
	out, err := exec.Command("python3", "-c", script).Output()
	if err != nil {
		b.Fatal(err)
	}
	var seconds float64
	if err := json.Unmarshal(out, &seconds); err != nil {
		b.Fatal(err)
	}
	return time.Duration(seconds * float64(time.Second))
}

// BenchmarkOneTask is one task from the request to its answer on an idle
// server, over one connection.
func BenchmarkOneTask(b *testing.B) {
	s := serve(b, dataDir(b))
	body := pythonJob(squares.source, "f", 1)
	s.call(b, "POST", "/api/v1/jobs", body, "wait=30")
	var took []time.Duration
	for b.Loop() {
		for range 200 {
			began := time.Now()
			if j := s.call(b, "POST", "/api/v1/jobs", body, "wait=30"); j.State != "succeeded" {
				b.Fatalf("%+v", j)
			}
			took = append(took, time.Since(began))
		}
	}
	slices.Sort(took)
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(took[len(took)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
	}
}
