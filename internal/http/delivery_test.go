package http_test

import (
	"bufio"
	"slices"
	"testing"
	"time"
)

// followed is how a stream delivers the outcomes of a job.
type followed struct {
	path    string
	silence time.Duration // after which the stream is idle
}

var followedStreams = map[string]followed{
	"index":      {"/results?follow=true", 0},
	"completion": {"/results?follow=true&order=completion", 0},
	"events":     {"/events", 300 * time.Millisecond},
}

// delivery returns the times, ascending, from the records of n tasks to their delivery
// on an idle stream.
func (s *server) delivery(how followed, n int) []time.Duration {
	s.t.Helper()
	id := s.manual(n + 1)
	res := s.send("GET", "/api/v1/jobs/"+id+how.path, "")
	defer res.Body.Close()
	arrived := make(chan time.Time)
	go func() {
		defer close(arrived)
		lines := bufio.NewReader(res.Body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			if line[0] == '{' || line[0] == 'd' { // a result, or the data of an event
				arrived <- time.Now()
			}
		}
	}()
	if how.silence > 0 {
		<-arrived // as it is at first
	}
	var took []time.Duration
	for range n {
		time.Sleep(how.silence)
		lease := s.lease(id, 1)
		s.record(id, lease)
		recorded := time.Now()
		took = append(took, (<-arrived).Sub(recorded))
	}
	slices.Sort(took)
	return took
}

// TestDeliveryAfterIdleness checks that results and events are sent as soon as an
// outcome is recorded, not at the end of a gap, which would be the same for each. Other
// programs on the machine delay some of them.
func TestDeliveryAfterIdleness(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	for name, how := range followedStreams {
		if took := s.delivery(how, 6); took[1] > 60*time.Millisecond { // 250 ms with a gap
			t.Errorf("%s: delivered %v after the records", name, took)
		}
	}
}

// BenchmarkDelivery reports the median time from record to delivery on an idle stream.
func BenchmarkDelivery(b *testing.B) {
	s := serve(b, true)
	for name, how := range followedStreams {
		b.Run(name, func(b *testing.B) {
			b.ReportMetric(float64(s.delivery(how, b.N)[b.N/2].Microseconds())/1000, "ms/p50")
		})
	}
}
