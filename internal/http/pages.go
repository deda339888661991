package http

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/static"
	"github.com/allcores/allcores/views"
)

// base is what every page has.
func (s *Site) base(r *http.Request) views.Page {
	p := views.Page{
		BaseURL: scheme(r) + "://" + r.Host,
		Version: s.version,
		Now:     time.Now(),
		User:    callOf(r.Context()).user,
	}
	if cookie, err := r.Cookie(views.ThemeCookie); err == nil {
		p.Theme = cookie.Value
	}
	return p
}

// render writes a page, once it is known to be whole.
func (s *Site) render(w http.ResponseWriter, r *http.Request, status int, page templ.Component) error {
	var b bytes.Buffer
	if err := page.Render(r.Context(), &b); err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Add("Vary", "Accept-Encoding")
	if static.AcceptsGzip(r.Header.Get("Accept-Encoding")) {
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		_, err := b.WriteTo(z)
		if err := errors.Join(err, z.Close()); err != nil {
			return fmt.Errorf("compress page: %w", err)
		}
		h.Set("Content-Encoding", "gzip")
		b = zipped
	}
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // whoever does not get it is gone
	return nil
}

func viewer(r *http.Request) store.Viewer { return store.As(callOf(r.Context()).user) }

// listed is how many jobs the list shows at once.
const listed = 50

// A jobsModel fills the page of the list of jobs. Counting may look at 100,000
// jobs, so a live page counts again only after twenty times as long as it took.
type jobsModel struct {
	site *Site
	r    *http.Request

	counts  map[jobs.State]int64
	recount time.Time // when counts are to be read anew
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
	if q.Back && list.Prev == "" && len(list.Jobs) < listed { // what is left before it is no whole page
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

// A jobModel fills the page of a job. It keeps what cannot change any more.
type jobModel struct {
	site *Site
	r    *http.Request
	id   string

	results []jobs.TaskRow
	settled bool // results cannot change any more

	report    reportModel
	waiting   *jobs.Waiting // as last found out
	explained time.Time
	stream    streamTable
}

func (m *jobModel) fill(ctx context.Context) (views.JobPage, error) {
	s := m.site
	p := views.JobPage{Page: s.base(m.r)}
	job, err := s.store.Job(ctx, viewer(m.r), m.id)
	if err != nil {
		return p, err
	}
	if err := m.explain(ctx, job); err != nil {
		return p, err
	}
	p.Job = *job
	if !job.State.Ended() {
		p.Live = "/jobs/" + job.ID + "/live"
		if query := m.r.URL.RawQuery; query != "" {
			p.Live += "?" + query
		}
	}
	p.Steer = steers(p.User, job)
	if job.Counts.Failed > 0 {
		if p.Failures, err = s.store.FailureGroups(ctx, job.ID, groupsShown+1); err != nil {
			return p, err
		}
		if p.MoreFailures = len(p.Failures) > groupsShown; p.MoreFailures {
			p.Failures = p.Failures[:groupsShown]
		}
	}
	if p.Cells, err = m.cells(ctx, job); err != nil {
		return p, err
	}
	if err := m.fillRun(ctx, job, &p); err != nil {
		return p, err
	}
	if p.Results, err = m.firstResults(ctx, job); err != nil {
		return p, err
	}
	tail, err := s.store.LogWindow(ctx, job.ID, store.LogFilter{}, store.LogsEnd, false, views.LogLinesShown)
	if err != nil {
		return p, err
	}
	p.Logs, p.LogsOlder = tail.Lines, tail.Older
	if p.LogsCut, err = s.store.LogsCut(ctx, job.ID); err != nil {
		return p, err
	}
	now, err := s.fleet.now(ctx)
	if err != nil {
		return p, err
	}
	if !job.State.Ended() {
		p.Nodes, p.Ink = now.nodes, now.inks[job.ID]
	}
	for _, n := range now.nodes {
		if n.Alive {
			p.Cores += len(n.Cores)
		}
	}
	return p, nil
}

// groupsShown is how many groups of failures the page of a job shows.
const groupsShown = 20

func (m *jobModel) cells(ctx context.Context, job *jobs.Job) ([]views.Cell, error) {
	size := views.CellSize(job.Counts.Total)
	strip, err := m.site.store.Strip(ctx, job, views.MaxCells)
	if err != nil {
		return nil, err
	}
	var failures map[int64]int64
	if job.Counts.Failed > 0 {
		if failures, err = m.site.store.FirstFailures(ctx, job.ID, size); err != nil {
			return nil, err
		}
	}
	cells := make([]views.Cell, len(strip))
	for i, c := range strip {
		cells[i] = views.Cell{Succeeded: c.Succeeded, Failed: c.Failed, Running: c.Running, Cancelled: c.Cancelled, FirstFailed: failures[int64(i)]}
	}
	return cells, nil
}

// firstBytes bounds the outputs that are read for the first results.
const firstBytes = 4 << 20

// firstResults are the first outcomes in index order.
func (m *jobModel) firstResults(ctx context.Context, job *jobs.Job) ([]jobs.TaskRow, error) {
	if m.settled || job.Counts.Succeeded+job.Counts.Failed == 0 {
		return m.results, nil
	}
	page, err := m.site.store.TaskPage(ctx, job, store.TaskQuery{Limit: views.ResultsShown, Bytes: firstBytes})
	if err != nil {
		return nil, err
	}
	m.results = page.Rows
	m.settled = settled(m.results, 0) && len(m.results) == views.ResultsShown || job.State.Ended()
	return m.results, nil
}

// settled reports whether nothing can come between tasks any more that begin at
// an index.
func settled(rows []jobs.TaskRow, from int64) bool {
	return len(rows) > 0 && rows[0].Index == from && rows[len(rows)-1].Index == from+int64(len(rows))-1
}

func (s *Site) jobPage(w http.ResponseWriter, r *http.Request) error {
	m := jobModel{site: s, r: r, id: chi.URLParam(r, "id")}
	p, err := m.fill(r.Context())
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.Job(p))
}

// fromPage makes a form's handler of a call that changes a job, and leads back
// to the job's page.
func (s *Site) fromPage(call func(context.Context, *verbInput) (*verbOutput, error)) handlerFunc {
	return fromForm(jobs.Submitter, "id", "/jobs/", func(ctx context.Context, id string) error {
		_, err := call(ctx, &verbInput{JobPath: JobPath{id}})
		return err
	})
}

// deleteFromPage deletes an ended job and leads to the list.
func (s *Site) deleteFromPage(w http.ResponseWriter, r *http.Request) error {
	if err := require(r, jobs.Submitter); err != nil {
		return err
	}
	if _, err := s.deleteJob(r.Context(), &JobPath{chi.URLParam(r, "id")}); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// fromForm makes a form's handler of a call that changes what the parameter of the
// address names, and leads back to where page and that name point.
func fromForm(role jobs.Role, param, page string, call func(ctx context.Context, name string) error) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := require(r, role); err != nil {
			return err
		}
		name := chi.URLParam(r, param)
		if err := call(r.Context(), name); err != nil {
			return err
		}
		http.Redirect(w, r, page+name, http.StatusSeeOther)
		return nil
	}
}

// gotoTask leads from the field for a task's index to the task. An index that no
// task has is refused on the job's page, at the field.
func (s *Site) gotoTask(w http.ResponseWriter, r *http.Request) error {
	m := jobModel{site: s, r: r, id: chi.URLParam(r, "id")}
	typed := strings.TrimSpace(r.URL.Query().Get("index"))
	index, err := strconv.ParseInt(strings.NewReplacer(",", "", " ", "", "_", "").Replace(typed), 10, 64)
	wrong := err != nil
	job, err := s.store.Job(r.Context(), viewer(r), m.id)
	if err != nil {
		return err
	}
	if !wrong && index >= 0 && index < job.Counts.Total {
		http.Redirect(w, r, fmt.Sprintf("/jobs/%s/tasks/%d", job.ID, index), http.StatusSeeOther)
		return nil
	}
	p, err := m.fill(r.Context())
	if err != nil {
		return err
	}
	p.Goto = strings.ToValidUTF8(typed, "\uFFFD")
	p.GotoError = "There are no tasks yet."
	if total := job.Counts.Total; total > 0 {
		p.GotoError = views.NoSuchTask(p.Goto, total)
	}
	return s.render(w, r, http.StatusUnprocessableEntity, views.Job(p))
}

func (s *Site) taskModel(ctx context.Context, r *http.Request) (views.TaskPage, error) {
	p := views.TaskPage{Page: s.base(r)}
	job, task, err := s.task(ctx, chi.URLParam(r, "id"), chi.URLParam(r, "index"))
	if err != nil {
		return p, err
	}
	p.Job, p.Task = *job, *task
	switch task.State {
	case jobs.TaskWaiting, jobs.TaskRunning:
		p.Live = fmt.Sprintf("/jobs/%s/tasks/%d/live", job.ID, task.Index)
	}
	if job.Counts.Failed > 0 {
		next, err := s.store.NextFailed(ctx, job.ID, task.Index+1)
		if err != nil {
			return p, err
		}
		if next >= 0 {
			p.NextFailed = &next
		}
	}
	p.LogsCut, err = s.store.LogsCut(ctx, job.ID)
	return p, err
}

func (s *Site) taskPage(w http.ResponseWriter, r *http.Request) error {
	p, err := s.taskModel(r.Context(), r)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.Task(p))
}

func (s *Site) queuesModel(ctx context.Context, r *http.Request) (views.QueuesPage, error) {
	p := views.QueuesPage{Page: s.base(r)}
	p.Live = "/queues/live"
	now, err := s.fleet.now(ctx)
	p.Queues, p.Nodes, p.History = now.queues, now.nodes, now.queueHistory
	return p, err
}

func (s *Site) queuesPage(w http.ResponseWriter, r *http.Request) error {
	p, err := s.queuesModel(r.Context(), r)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.Queues(p))
}

func (s *Site) nodesModel(ctx context.Context, r *http.Request) (views.NodesPage, error) {
	p := views.NodesPage{Page: s.base(r)}
	p.Live = "/nodes/live"
	now, err := s.fleet.now(ctx)
	if err != nil {
		return p, err
	}
	p.Nodes, p.History, p.Names = now.nodes, now.nodeHistory, now.names(viewer(r))
	p.Inks = now.inks
	p.Stream, err = s.tables.fill(ctx, s, viewer(r))
	return p, err
}

func (s *Site) nodesPage(w http.ResponseWriter, r *http.Request) error {
	p, err := s.nodesModel(r.Context(), r)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.Nodes(p))
}

func (s *Site) docsPage(w http.ResponseWriter, r *http.Request) error {
	return s.render(w, r, http.StatusOK, views.Docs(views.DocsPage{Page: s.base(r)}))
}
