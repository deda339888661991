package http

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/allcores/allcores/internal/http/live"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/shared"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

// A jobModel fills the page of a job. It keeps what will not change any more.
type jobModel struct {
	site *Site
	r    *http.Request
	id   string

	results []jobs.TaskRow
	settled bool // results will not change any more

	report    reportModel
	waiting   *jobs.Waiting // as last read
	explained time.Time
	stream    timelineTable
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
	if err := m.fillReports(ctx, job, &p); err != nil {
		return p, err
	}
	if err := m.fillShared(ctx, job, &p); err != nil {
		return p, err
	}
	now, err := s.cluster.now(ctx)
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

// fillReports fills in the progress that running tasks report.
func (m *jobModel) fillReports(ctx context.Context, job *jobs.Job, p *views.JobPage) error {
	list, err := m.site.reports(ctx, job)
	shown := min(len(list), views.ReportsShown)
	p.Reports, p.MoreReports = list[:shown], len(list)-shown
	return err
}

// fillShared fills in the objects that the tasks share.
func (m *jobModel) fillShared(ctx context.Context, job *jobs.Job, p *views.JobPage) error {
	list, err := m.site.engine.Shared().Snapshot(ctx, shared.Scope{Job: job.ID})
	shown := min(len(list), views.SharedShown)
	p.Shared, p.MoreShared = list[:shown], len(list)-shown
	return err
}

// fillRun fills in what the page shows of one run: the run that the address names,
// else the newest.
func (m *jobModel) fillRun(ctx context.Context, job *jobs.Job, p *views.JobPage) (err error) {
	s := m.site
	shown := job.Run
	if text := m.r.URL.Query().Get("run"); text != "" {
		if shown, err = strconv.Atoi(text); err != nil || shown < 1 || shown > job.Run {
			return fmt.Errorf("the job has no run %q: %w", text, jobs.ErrNotFound)
		}
	}
	if job.Run > 1 {
		if p.Runs, err = s.store.Runs(ctx, job, max(job.Run-views.RunsShown, 0), views.RunsShown); err != nil {
			return err
		}
	}
	then := job
	if shown == job.Run {
		p.Report, err = m.report.of(ctx, s, job)
	} else {
		var found []jobs.Run
		if found, err = s.store.Runs(ctx, job, shown-1, 1); err != nil {
			return err
		}
		if len(found) == 0 {
			return fmt.Errorf("the job has no run %d: %w", shown, jobs.ErrNotFound)
		}
		p.Run, then = &found[0], duringRun(job, found[0])
		p.Report, err = s.store.RunReport(ctx, job, shown)
	}
	if err != nil {
		return err
	}
	if p.Timeline, err = m.stream.fill(ctx, s, viewer(m.r), then); err == nil && p.Run != nil {
		p.Timeline.Run = shown
	}
	return err
}

// explain is Site.explain for the page of a job.
func (m *jobModel) explain(ctx context.Context, job *jobs.Job) error {
	if !job.Unexplained() {
		return nil
	}
	if time.Since(m.explained) >= explainEvery {
		w, err := m.site.store.Waiting(ctx, job)
		if err != nil {
			return err
		}
		m.waiting, m.explained = w, time.Now()
	}
	job.Explain(m.waiting)
	return nil
}

// explainEvery is how long the page of a job shows the same reason for waiting: it
// is read with each tick of the stream, not on each news of the job.
const explainEvery = 900 * time.Millisecond

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

// firstBytes bounds the outputs that the first results read.
const firstBytes = 4 << 20

// firstResults returns the first outcomes in index order.
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

// settled reports whether rows are consecutive from an index on, so that no row can
// come between them.
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

// fromPage makes a form's handler of a call that changes a job. It leads back to the
// job's page.
func (s *Site) fromPage(call jobAction) handlerFunc {
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

// retryFromPage is retry for the buttons of pages.
func (s *Site) retryFromPage(w http.ResponseWriter, r *http.Request) error {
	if err := require(r, jobs.Submitter); err != nil {
		return err
	}
	id := chi.URLParam(r, "id")
	in := &retryInput{JobPath: JobPath{id}, Group: r.URL.Query().Get("group")}
	if _, err := s.retry(r.Context(), in); err != nil {
		return err
	}
	http.Redirect(w, r, "/jobs/"+id, http.StatusSeeOther)
	return nil
}

func (s *Site) jobLive(r *http.Request) (live.Watch, fillFunc) {
	m := jobModel{site: s, r: r, id: chi.URLParam(r, "id")}
	return live.Watch{Job: m.id, Gap: live.EventGap, Tick: time.Second}, func(ctx context.Context) ([]views.Fragment, bool, error) {
		p, err := m.fill(ctx)
		return p.Fragments(), p.Job.State.Ended(), err
	}
}
