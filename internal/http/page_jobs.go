package http

import (
	"context"
	"net/http"
	"time"

	"github.com/allcores/allcores/internal/http/live"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

// listed is how many jobs the list shows at once.
const listed = 50

// A jobsModel fills the list of jobs. Counting may read 100,000 jobs, so an open
// page counts again only after twenty times as long as it took.
type jobsModel struct {
	site *Site
	r    *http.Request

	counts  map[jobs.State]int64
	recount time.Time // when counts are read again
}

func (m *jobsModel) count(ctx context.Context, f store.Filter) (map[jobs.State]int64, error) {
	begin := time.Now()
	if begin.Before(m.recount) {
		return m.counts, nil
	}
	counts, err := m.site.store.CountJobs(ctx, viewer(m.r), f)
	if err != nil {
		return nil, err
	}
	m.counts, m.recount = counts, time.Now().Add(20*time.Since(begin))
	return counts, nil
}

func (m *jobsModel) fill(ctx context.Context) (views.JobsPage, error) {
	s, r := m.site, m.r
	q := views.ParseListQuery(r.URL.Query(), store.ValidCursor)
	p := views.JobsPage{Page: s.base(r), Query: q}
	p.Live = q.LiveURL()
	if len(q.Wrong) > 0 {
		p.Live = ""
		return p, nil
	}
	f := store.Filter{Search: q.Search, Order: q.Order, Cursor: q.Cursor, Back: q.Back, Limit: listed}
	list, err := s.store.Jobs(ctx, viewer(r), f)
	if err != nil {
		return p, err
	}
	if q.Back && list.Prev == "" && len(list.Jobs) < listed { // the first page would not be full
		f.Cursor, f.Back = "", false
		p.Query = q.First()
		if list, err = s.store.Jobs(ctx, viewer(r), f); err != nil {
			return p, err
		}
	}
	if err := s.explainAll(ctx, list.Jobs, true); err != nil {
		return p, err
	}
	p.Next, p.Prev, p.Any = list.Next, list.Prev, len(list.Jobs) > 0
	for _, job := range list.Jobs {
		p.Jobs = append(p.Jobs, *job)
	}
	if p.Before, err = s.store.JobsBefore(ctx, viewer(r), f); err != nil {
		return p, err
	}
	if f.Back {
		p.Before = max(p.Before-int64(len(p.Jobs)), 0)
	}
	if p.Counts, err = m.count(ctx, f); err != nil || p.Any {
		p.More = p.All() >= store.MaxCounted
		return p, err
	}
	some, err := s.store.Jobs(ctx, viewer(r), store.Filter{Limit: 1})
	if err == nil {
		p.Any = len(some.Jobs) > 0
	}
	return p, err
}

func (s *Site) jobsPage(w http.ResponseWriter, r *http.Request) error {
	p, err := (&jobsModel{site: s, r: r}).fill(r.Context())
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.Jobs(p))
}

// Gaps between looks at a list of jobs that no index gives in order: one that is
// searched, and one that is sorted. Rows that move often are hard to read, too.
const (
	searchedGap = time.Second
	sortedGap   = 2 * time.Second
)

func (s *Site) jobsLive(r *http.Request) (live.Watch, fillFunc) {
	m := &jobsModel{site: s, r: r}
	gap, v := live.EventGap, r.URL.Query()
	if v.Get("q") != "" {
		gap = searchedGap
	}
	if order, _ := jobs.ParseOrder(v.Get("sort")); order.By() != jobs.ByCreated {
		gap = sortedGap
	}
	return live.Watch{Gap: gap, Tick: 2 * time.Second}, func(ctx context.Context) ([]views.Fragment, bool, error) {
		p, err := m.fill(ctx)
		return p.Fragments(), false, err
	}
}
