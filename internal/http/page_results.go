package http

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/allcores/allcores/internal/http/live"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

// pageBytes bounds the outputs that a page of results reads.
const pageBytes = 64 << 20

// typedIndex reads the index of a task as people type it.
func typedIndex(parameter, typed string) (int64, error) {
	digits := strings.NewReplacer(",", "", " ", "", "_", "").Replace(typed)
	index, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || index < 0 {
		return 0, jobs.Invalid{{Location: "query." + parameter, Message: "must be the index of a task, counted from 0", Value: typed}}
	}
	return index, nil
}

// readResultsFilter reads the filter of a page of results.
func readResultsFilter(r *http.Request) (f views.ResultsFilter, err error) {
	q := r.URL.Query()
	f.State, f.Group = jobs.TaskState(q.Get("state")), q.Get("group")
	switch f.State {
	case "", jobs.TaskSucceeded, jobs.TaskFailed, jobs.TaskCancelled:
	default:
		return f, jobs.Invalid{{Location: "query.state", Message: "must be one of succeeded, failed, cancelled", Value: string(f.State)}}
	}
	if f.Group != "" {
		f.State = jobs.TaskFailed
		if _, err := jobs.ParseGroupID(f.Group); err != nil {
			return f, badGroup(f.Group)
		}
	}
	if to := q.Get("to"); to != "" {
		f.Back = true
		f.To, err = typedIndex("to", to)
	} else if from := strings.TrimSpace(q.Get("from")); from != "" {
		f.From, err = typedIndex("from", from)
	}
	return f, err
}

// A resultsModel fills a page of results. It keeps rows that will not change any
// more.
type resultsModel struct {
	site    *Site
	r       *http.Request
	page    store.TaskPage
	settled bool
}

func (m *resultsModel) fill(ctx context.Context) (views.ResultsPage, error) {
	s := m.site
	p := views.ResultsPage{Page: s.base(m.r), Prev: -1, Next: -1}
	filter, err := readResultsFilter(m.r)
	if err != nil {
		return p, err
	}
	job, err := s.store.Job(ctx, viewer(m.r), chi.URLParam(m.r, "id"))
	if err != nil {
		return p, err
	}
	p.Job, p.Filter = *job, filter
	p.Steer = steers(p.User, job)
	if !job.State.Ended() {
		p.Live = filter.LiveURL(job.ID)
	}
	q := store.TaskQuery{From: filter.From, State: filter.State, Limit: views.ResultsShown, Bytes: pageBytes}
	if filter.Back {
		q.From, q.Back = filter.To, true
	}
	if filter.Group != "" {
		if p.Group, q.Group, err = m.group(ctx, job.ID); err != nil || p.Group == nil {
			return p, err
		}
	}
	if !m.settled {
		if m.page, err = s.store.TaskPage(ctx, job, q); err != nil {
			return p, err
		}
		m.settled = filter.State == "" && !filter.Back && len(m.page.Rows) == q.Limit && m.page.More >= 0 && settled(m.page.Rows, q.From)
	}
	p.Rows = m.page.Rows
	return p, m.neighbours(ctx, job, q, &p)
}

// group reads the group of the filter. It returns nil if no task fails in it any
// more.
func (m *resultsModel) group(ctx context.Context, job string) (*jobs.FailureGroup, *store.GroupPick, error) {
	id, err := jobs.ParseGroupID(m.r.URL.Query().Get("group"))
	if err != nil {
		return nil, nil, err
	}
	g, err := m.site.store.FailureGroup(ctx, job, id)
	if errors.Is(err, jobs.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	groups, err := m.site.store.Groups(ctx, job)
	return g, &store.GroupPick{ID: id, Groups: groups}, err
}

// neighbours sets where the pages before and after this one begin.
func (m *resultsModel) neighbours(ctx context.Context, job *jobs.Job, q store.TaskQuery, p *views.ResultsPage) error {
	ahead, behind := &p.Next, &p.Prev
	edge := q.From
	if n := len(p.Rows); n > 0 {
		edge = p.Rows[0].Index
		if q.Back {
			edge = p.Rows[n-1].Index + 1
		}
	}
	if q.Back {
		ahead, behind = behind, ahead
	}
	*ahead = m.page.More
	// One task on the other side shows that there is a page.
	q.From, q.Back, q.Limit, q.Bytes = edge, !q.Back, 1, 1
	if q.Back && edge == 0 {
		return nil
	}
	other, err := m.site.store.TaskPage(ctx, job, q)
	if err == nil && len(other.Rows) > 0 {
		*behind = edge
	}
	return err
}

func (s *Site) resultsPage(w http.ResponseWriter, r *http.Request) error {
	p, err := (&resultsModel{site: s, r: r}).fill(r.Context())
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.Results(p))
}

func (s *Site) resultsLive(r *http.Request) (live.Watch, fillFunc) {
	m := &resultsModel{site: s, r: r}
	return live.Watch{Job: chi.URLParam(r, "id"), Gap: live.EventGap, Tick: time.Second}, func(ctx context.Context) ([]views.Fragment, bool, error) {
		p, err := m.fill(ctx)
		return p.Fragments(), p.Live == "", err
	}
}

// steers reports whether a user may change a job: its owner and admins may.
func steers(u *jobs.User, job *jobs.Job) bool {
	return u.Role.Allows(jobs.Submitter) && (u.Role.Allows(jobs.Admin) || u.Name == job.Owner)
}
