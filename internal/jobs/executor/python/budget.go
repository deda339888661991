package python

import (
	"time"

	"github.com/allcores/allcores/internal/jobs/executor"
)

// arm sets the timer to when the first chunk runs out of its time budget.
func (t *session) arm(timer *time.Timer) {
	var first time.Time
	for _, c := range t.flight {
		if c.Budget > 0 && !c.over && !c.begun.IsZero() {
			if end := c.begun.Add(c.Budget); first.IsZero() || end.Before(first) {
				first = end
			}
		}
	}
	if first.IsZero() {
		timer.Stop()
		return
	}
	timer.Reset(time.Until(first))
}

// exhausted cuts from the first chunk on whose budget is used up.
func (t *session) exhausted() {
	now := time.Now()
	for i, c := range t.flight {
		if c.Budget > 0 && !c.over && !c.begun.IsZero() && now.Sub(c.begun) >= c.Budget {
			t.cut(i)
			return
		}
	}
}

// cut sees to it that neither chunk i of the flight nor a later one that waits
// starts another task, and gives back what will not be started.
func (t *session) cut(i int) {
	if t.w == nil || i >= len(t.flight) {
		return
	}
	high := t.high()
	for j, c := range t.flight[i:] {
		// A later one that has begun has a budget of its own.
		if t.stopped || j == 0 || high <= c.base {
			c.over = true
			t.w.shared.store(wordLimit+c.cell, c.base)
		}
	}
	time.Sleep(settle)
	t.reclaim()
	t.w.flush() // a batch that has begun is cut short
}

// reclaim gives back the tasks that a cut chunk will not start.
func (t *session) reclaim() {
	high := t.high()
	kept := t.flight[:0]
	for _, c := range t.flight {
		if c.over {
			t.giveBack(c, max(high, c.base))
		}
		if c.over && c.cut == c.base {
			t.end(c, executor.Usage{})
			continue
		}
		kept = append(kept, c)
	}
	t.flight = kept
}

// giveBack returns the tasks of a chunk from a number on.
func (t *session) giveBack(c *chunk, from int64) {
	if from >= c.cut {
		return
	}
	t.updates.Add(executor.Update{Chunk: c.ID, Back: []executor.Span{{First: c.index(from), Count: int(c.cut - from)}}})
	c.cut = from
}
