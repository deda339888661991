package scopes_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/allcores/allcores/internal/jobs/shared"
)

func BenchmarkAdd(b *testing.B) {
	w := newWorld(b)
	n := w.node()
	lanes := make([]shared.Caller, 2)
	for i := range lanes {
		lanes[i] = n.task(int64(i))
	}
	add := call(shared.Value, "v", "add", "1")
	b.ResetTimer()
	var all sync.WaitGroup
	for _, c := range lanes {
		all.Go(func() {
			for range b.N / len(lanes) {
				if _, err := n.Call(context.Background(), c, add); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	n.flush()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

func BenchmarkQueue(b *testing.B) {
	w := newWorld(b)
	n := w.node()
	producer, consumer := n.task(0), n.task(1)
	var all sync.WaitGroup
	b.ResetTimer()
	for i, c := range []shared.Caller{producer, consumer} {
		all.Go(func() {
			l := call(shared.Queue, "q", []string{"put", "get"}[i])
			l.Params = &shared.Params{Size: 1000}
			if i == 0 {
				l.Args = []json.RawMessage{json.RawMessage(`{"item": "of some bytes"}`)}
			}
			for range b.N {
				if a, err := n.Call(context.Background(), c, l); err != nil || a.Err != nil {
					b.Error(err, a.Err)
					return
				}
			}
		})
	}
	all.Wait()
	n.flush()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
}

// BenchmarkHandover measures the time from a put to the answer of a get that waits.
func BenchmarkHandover(b *testing.B) {
	w := newWorld(b)
	n := w.node()
	for _, far := range []bool{false, true} {
		b.Run(fmt.Sprintf("remote=%t", far), func(b *testing.B) {
			other := n
			if far {
				other = w.node()
			}
			producer, consumer := n.task(0), other.task(1)
			n.do(producer, call(shared.Queue, "q", "size"))
			for b.Loop() {
				get := other.start(consumer, call(shared.Queue, "q", "get"))
				n.do(producer, call(shared.Queue, "q", "put", "1"))
				<-get
			}
		})
	}
}
