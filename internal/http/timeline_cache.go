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

// timelineGap is the least time between two reads of the same timeline.
const timelineGap = 500 * time.Millisecond

// latestTimeline returns the timeline of all jobs up to now, read once for all
// viewers that may see the same jobs and draw it with the same resolution.
func (s *Site) latestTimeline(ctx context.Context, v store.Viewer, q timeline.Query) (*timeline.Timeline, error) {
	key := fmt.Sprint(audience(v), q.Last, timeline.Unit(q.Last, q.Width))
	return s.timelines.Get(ctx, key, timelineGap, func(ctx context.Context) (*timeline.Timeline, error) {
		return s.store.Timeline(ctx, v, q)
	})
}

// audience returns a viewer that is equal for all that may see the same jobs.
func audience(v store.Viewer) store.Viewer {
	if v.All {
		v.UserID = ""
	}
	return v
}

// timelineTables hold the timeline of all jobs as a table, one for all pages of
// viewers that may see the same jobs.
type timelineTables struct {
	mu sync.Mutex
	of map[store.Viewer]*sharedTimelineTable
}

type sharedTimelineTable struct {
	asked time.Time

	exclusive // held while the table is filled
	timelineTable
}

// forgetTable is how long an unused table is kept.
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
		table = &sharedTimelineTable{exclusive: newExclusive()}
		t.of[audience(v)] = table
	}
	table.asked = now
	t.mu.Unlock()
	if err := table.acquire(ctx); err != nil {
		return views.TimelineView{}, err
	}
	defer table.release()
	return table.fill(ctx, s, v, nil)
}
