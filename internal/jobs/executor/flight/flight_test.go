package flight_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/flight"
	"github.com/allcores/allcores/internal/jobs/executor/updates"
)

type chunk struct {
	flight.Chunk
	begun bool
}

func newChunk(id int64, budget time.Duration) *chunk {
	return &chunk{Chunk: flight.New(executor.Chunk{ID: id, First: 10 * id, Count: 10, Budget: budget})}
}

func TestBudgets(t *testing.T) {
	now := time.Now()
	at := func(d time.Duration) time.Time { return now.Add(d) }
	type state struct {
		budget time.Duration
		begun  time.Time
		over   bool
	}
	for name, test := range map[string]struct {
		chunks []state
		end    time.Time
		spent  int
	}{
		"no chunk":                {nil, time.Time{}, -1},
		"no budget":               {[]state{{0, at(-time.Hour), false}}, time.Time{}, -1},
		"not begun":               {[]state{{time.Second, time.Time{}, false}}, time.Time{}, -1},
		"cut already":             {[]state{{time.Second, at(-time.Hour), true}}, time.Time{}, -1},
		"time left":               {[]state{{time.Second, now, false}}, at(time.Second), -1},
		"none left":               {[]state{{time.Second, at(-time.Second), false}}, now, 0},
		"the second one is first": {[]state{{time.Minute, at(-time.Second), false}, {time.Second, at(-2 * time.Second), false}}, at(-time.Second), 1},
	} {
		t.Run(name, func(t *testing.T) {
			var f flight.Chunks[*chunk]
			for i, s := range test.chunks {
				c := newChunk(int64(i), s.budget)
				c.Begun, c.Over = s.begun, s.over
				f.List = append(f.List, c)
			}
			if end := f.BudgetEnd(); !end.Equal(test.end) {
				t.Errorf("the first budget ends at %v, want %v", end, test.end)
			}
			if spent := f.Spent(now); spent != test.spent {
				t.Errorf("chunk %d is spent, want %d", spent, test.spent)
			}
		})
	}
}

func TestToCut(t *testing.T) {
	for _, test := range []struct {
		from    int
		stopped bool
		begun   []bool
		want    []int64
	}{
		{0, false, []bool{true, false}, []int64{0, 1}},
		{0, false, []bool{true, true}, []int64{0}},
		{1, false, []bool{true, true}, []int64{1}},
		{0, true, []bool{true, true}, []int64{0, 1}},
		{0, true, nil, nil},
	} {
		f := flight.Chunks[*chunk]{Stopped: test.stopped}
		for i, begun := range test.begun {
			c := newChunk(int64(i), 0)
			c.begun = begun
			f.List = append(f.List, c)
		}
		var got []int64
		for _, c := range f.ToCut(test.from, func(c *chunk) bool { return c.begun }) {
			got = append(got, c.ID)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("from %d, stopped %v, begun %v: cuts %v, want %v", test.from, test.stopped, test.begun, got, test.want)
		}
	}
}

func TestGiveBackAndEnd(t *testing.T) {
	var got []executor.Update
	queue := updates.New(func(u executor.Update) { got = append(got, u) })
	c := newChunk(1, 0)
	f := flight.Chunks[*chunk]{List: []*chunk{c, newChunk(2, 0)}, Updates: queue}
	f.GiveBack(c, 7)
	f.GiveBack(c, 8)
	c.Log(jobs.LogLine{Line: "one"})
	f.SendLogs(1000)
	f.SendLogs(0)
	f.SendLogs(0)
	c.Log(jobs.LogLine{Line: "two"})
	f.End(c, executor.Update{Lost: []executor.Span{{First: 10, Count: 7}}})
	queue.Close()
	if c.Cut != 7 || len(f.List) != 1 || f.List[0].ID != 2 {
		t.Errorf("cut at %d, %d chunks in flight", c.Cut, len(f.List))
	}
	for _, u := range got {
		for i := range u.Logs {
			u.Logs[i].At = jobs.Time{}
		}
	}
	want := []executor.Update{
		{Chunk: 1, Back: []executor.Span{{First: 17, Count: 3}}},
		{Chunk: 1, Logs: []jobs.LogLine{{Line: "one"}}},
		{Chunk: 1, Ended: true, Lost: []executor.Span{{First: 10, Count: 7}}, Logs: []jobs.LogLine{{Line: "two"}}},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A recorder is a session that records the calls of Run.
type recorder struct {
	mu     sync.Mutex
	status flight.Status
	calls  []string
}

// called records a call and what it changes.
func (r *recorder) called(name string, change func(*flight.Status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if name != "" {
		r.calls = append(r.calls, name)
	}
	change(&r.status)
}

// set changes the status.
func (r *recorder) set(change func(*flight.Status)) { r.called("", change) }

func (r *recorder) Status() flight.Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}
func (r *recorder) NextTick() time.Duration { return time.Second }
func (r *recorder) Take(c executor.Chunk) {
	r.called(fmt.Sprint("take ", c.ID), func(s *flight.Status) { s.InFlight++ })
}
func (r *recorder) Halt() { r.called("halt", func(s *flight.Status) { s.Stopped = true }) }
func (r *recorder) Recall(c executor.Recall) bool {
	r.called(fmt.Sprint("recall ", c.Chunk, " from ", c.First), func(*flight.Status) {})
	return r.Status().InFlight >= int(c.Chunk)
}
func (r *recorder) Cancel() { r.called("cancel", func(s *flight.Status) { s.Failed = true }) }
func (r *recorder) Handle() { r.called("handle", func(s *flight.Status) { s.InFlight-- }) }
func (r *recorder) Due()    { r.called("due", func(s *flight.Status) { s.Due = time.Time{} }) }
func (r *recorder) Tick()   { r.called("tick", func(*flight.Status) {}) }

// session runs a recorder in the background.
type session struct {
	*recorder
	in     chan executor.Chunk
	halt   chan struct{}
	recall chan executor.Recall
	events chan struct{}
	back   []int64
}

func begin(t *testing.T, ctx context.Context) *session {
	s := &session{recorder: &recorder{}, in: make(chan executor.Chunk), halt: make(chan struct{}), recall: make(chan executor.Recall), events: make(chan struct{})}
	s.status.Events = s.events
	queue := updates.New(func(u executor.Update) {
		if len(u.Back) > 0 && u.Ended {
			s.back = append(s.back, u.Chunk)
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		flight.Run(ctx, executor.Lane{Halt: s.halt, Recall: s.recall}, s.in, queue, s)
	}()
	t.Cleanup(func() {
		<-done
		queue.Close()
	})
	synctest.Wait()
	return s
}

// offer reports whether the session takes a chunk now.
func (s *session) offer(id int64) bool {
	synctest.Wait()
	select {
	case s.in <- executor.Chunk{ID: id, Count: 1}:
		synctest.Wait()
		return true
	default:
		return false
	}
}

func (s *session) expect(t *testing.T, calls ...string) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.calls, calls) {
		t.Errorf("calls %v, want %v", s.calls, calls)
	}
	s.calls = nil
}

func TestRunTakesWhatCanStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, t.Context())
		if !s.offer(1) || !s.offer(2) || s.offer(3) {
			t.Error("it takes other than two chunks")
		}
		s.expect(t, "take 1", "take 2")
		s.events <- struct{}{}
		s.expect(t, "handle")
		s.set(func(s *flight.Status) { s.Over = true })
		s.events <- struct{}{}
		if s.offer(3) {
			t.Error("it takes a chunk that could only wait")
		}
		s.expect(t, "handle")
		s.set(func(s *flight.Status) { s.Over = false })
		time.Sleep(time.Second)
		s.expect(t, "tick")
		close(s.in)
		synctest.Wait()
	})
}

func TestRunStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, t.Context())
		s.offer(1)
		close(s.halt)
		s.expect(t, "take 1", "halt")
		if !s.offer(2) {
			t.Error("it does not take what goes back")
		}
		s.expect(t)
		if !slices.Equal(s.back, []int64{2}) {
			t.Errorf("chunks %v went back, want 2", s.back)
		}
		s.events <- struct{}{}
		s.expect(t, "handle")
		close(s.in)
	})
}

// TestRunRecalls checks that a recall also reaches a chunk that the session has yet to
// take, and that it takes such a chunk at once.
func TestRunRecalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, t.Context())
		s.offer(1)
		s.recall <- executor.Recall{Chunk: 1, First: 7}
		s.expect(t, "take 1", "recall 1 from 7")
		s.set(func(s *flight.Status) { s.Over = true })
		s.events <- struct{}{}
		s.set(func(s *flight.Status) { s.InFlight++ })
		s.expect(t, "handle")
		if s.offer(2) {
			t.Error("it takes a chunk that could only wait")
		}
		s.recall <- executor.Recall{Chunk: 2, First: 9}
		s.recall <- executor.Recall{Chunk: 2, First: 8}
		if !s.offer(2) {
			t.Error("it does not take a recalled chunk")
		}
		s.expect(t, "recall 2 from 9", "recall 2 from 8", "take 2", "recall 2 from 8")
		close(s.in)
		for range 2 {
			s.events <- struct{}{}
		}
		s.expect(t, "handle", "handle")
	})
}

func TestRunCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := begin(t, ctx)
		s.offer(1)
		cancel()
		s.expect(t, "take 1", "cancel")
	})
}

func TestRunWakesWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, t.Context())
		s.offer(1)
		s.set(func(s *flight.Status) { s.Due = time.Now().Add(300 * time.Millisecond) })
		s.offer(2)
		s.expect(t, "take 1", "take 2")
		time.Sleep(299 * time.Millisecond)
		s.expect(t)
		time.Sleep(time.Millisecond)
		s.expect(t, "due")
		time.Sleep(time.Second)
		s.expect(t, "tick")
		s.set(func(s *flight.Status) { s.Failed = true })
		s.events <- struct{}{}
	})
}
