package python_test

import (
	"encoding/json"
	osexec "os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

const squares = "def f(x):\n    return x * x\n"

// BenchmarkSquares runs 1,000,000 x*x over a range in two processes, next to
// multiprocessing.Pool.
func BenchmarkSquares(b *testing.B) {
	const tasks, chunk = 1_000_000, 125_000
	round := func() {
		in := make(chan executor.Chunk)
		var lanes sync.WaitGroup
		var mu sync.Mutex
		done := 0
		for range 2 {
			lanes.Go(func() {
				err := shared.Run(b.Context(), lane(squares), in, func(r executor.Update) {
					mu.Lock()
					defer mu.Unlock()
					for _, run := range r.Outcomes {
						done += run.Count
					}
				})
				if err != nil {
					b.Error(err)
				}
			})
		}
		for i := range int64(tasks / chunk) {
			in <- executortest.Numbers(i, i*chunk, chunk)
		}
		close(in)
		lanes.Wait()
		if done != tasks {
			b.Fatalf("%d tasks done, want %d", done, tasks)
		}
	}
	round()
	for b.Loop() {
		round()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/tasks, "ns/task")
}

func BenchmarkSquaresPool(b *testing.B) {
	const script = `
import multiprocessing, time, json, sys
def f(x): return x * x
with multiprocessing.Pool(2) as pool:
    pool.map(f, range(1000))
    best = []
    for _ in range(int(sys.argv[1])):
        t = time.perf_counter()
        pool.map(f, range(1_000_000))
        best.append(time.perf_counter() - t)
print(json.dumps(sum(best) / len(best)))
`
	var seconds float64
	for b.Loop() {
		out, err := osexec.Command("python3", "-c", script, "5").Output()
		if err != nil {
			b.Fatal(err)
		}
		if err := json.Unmarshal(out, &seconds); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(seconds*1e9/1e6, "ns/task")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkOne runs one task in a session of its own, in a warm process.
func BenchmarkOne(b *testing.B) {
	one(b, lane(squares))
	var took []time.Duration
	for b.Loop() {
		took = append(took, one(b, lane(squares)))
	}
	quantiles(b, took)
}

// BenchmarkOneJob is BenchmarkOne for another job each time.
func BenchmarkOneJob(b *testing.B) {
	l := lane(squares)
	one(b, l)
	var took []time.Duration
	for b.Loop() {
		l.Job = strconv.Itoa(len(took))
		took = append(took, one(b, l))
	}
	quantiles(b, took)
}

// BenchmarkOneNew is BenchmarkOne with a new program each time.
func BenchmarkOneNew(b *testing.B) {
	var took []time.Duration
	for b.Loop() {
		time.Sleep(200 * time.Millisecond) // as if a user came now and then
		took = append(took, one(b, lane(squares+"# "+time.Now().String())))
	}
	quantiles(b, took)
}

func quantiles(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(0, "ns/op")
}

func one(b *testing.B, l executor.Lane) time.Duration {
	began := time.Now()
	in := make(chan executor.Chunk, 1)
	in <- executortest.Numbers(1, 3, 1)
	close(in)
	n := 0
	if err := shared.Run(b.Context(), l, in, func(r executor.Update) { n += len(r.Outcomes) }); err != nil || n != 1 {
		b.Fatal(n, err)
	}
	return time.Since(began)
}
