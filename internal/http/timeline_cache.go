package http

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs/timeline"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

// streamGap is between two readings of the same stream for those who look on.
const streamGap = 500 * time.Millisecond

// latestStream is the task stream of all jobs up to now, read once for all who
// may see the same and draw it as finely.
func (s *Site) latestStream(ctx context.Context, v store.Viewer, q timeline.Query) (*timeline.Timeline, error) {
	key := fmt.Sprint(audience(v), q.Last, timeline.Unit(q.Last, q.Width))
	return s.timelines.Get(ctx, key, streamGap, func(ctx context.Context) (*timeline.Timeline, error) {
		return s.store.Timeline(ctx, v, q)
	})
}

// audience is what those have in common who may see the same jobs.
func audience(v store.Viewer) store.Viewer {
	if v.All {
		v.UserID = ""
	}
	return v
}

// timelineTables are the task stream of all jobs as a table, one for all pages of
// those who may see the same.
type timelineTables struct {
	mu sync.Mutex
	of map[store.Viewer]*sharedTimelineTable
}

type sharedTimelineTable struct {
	asked time.Time

	mu sync.Mutex // held while the table is filled
	timelineTable
}

// forgetTable is how long a table is kept that nobody asks for.
const forgetTable = time.Minute

func (t *timelineTables) fill(ctx context.Context, s *Site, v store.Viewer) (views.TimelineView, error) {
	t.mu.Lock()
	now := time.Now()
	for who, table := range t.of {
		if now.Sub(table.asked) > forgetTable {
			delete(t.of, who)
		}
	}
	table := t.of[audience(v)]
	if table == nil {
		if t.of == nil {
			t.of = make(map[store.Viewer]*sharedTimelineTable)
		}
		table = new(sharedTimelineTable)
		t.of[audience(v)] = table
	}
	table.asked = now
	t.mu.Unlock()
	table.mu.Lock()
	defer table.mu.Unlock()
	return table.fill(ctx, s, v, nil)
}
