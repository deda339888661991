package http

import (
	"context"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

type retryInput struct {
	JobPath
	Key   string `header:"Idempotency-Key" doc:"What comes again with the same key within 24 hours is not done again."`
	Group string `query:"group" doc:"Only the tasks that failed in this group: id of one of the job's errors. Other failed and cancelled tasks stay as they are."`
}

// retry begins another run of a job: with all its failed and cancelled tasks, or
// with the failures of a group.
func (s *Site) retry(ctx context.Context, in *retryInput) (*verbOutput, error) {
	call := verbInput{JobPath: in.JobPath, Key: in.Key}
	if in.Group == "" {
		all := func(ctx context.Context, v store.Viewer, job string, key *store.Key) (*jobs.Job, error) {
			return s.engine.Retry(ctx, v, job, key, nil)
		}
		return s.verb("retry", all, jobs.BulkRetry.Conflict())(ctx, &call)
	}
	id, err := jobs.ParseGroupID(in.Group)
	if err != nil {
		return nil, badGroup(in.Group)
	}
	retry := func(ctx context.Context, v store.Viewer, job string, key *store.Key) (*jobs.Job, error) {
		if _, err := s.store.Job(ctx, v, job); err != nil {
			return nil, err
		}
		groups, err := s.store.Groups(ctx, job)
		if err != nil {
			return nil, err
		}
		return s.engine.Retry(ctx, v, job, key, func(_ int64, e *jobs.TaskError) bool {
			return groups[id] && groups.Of(jobs.Group(e).ID) == id
		})
	}
	return s.verb("retry "+in.Group, retry, "The job has not ended, or no task of it fails in that group.")(ctx, &call)
}

func badGroup(given string) jobs.Invalid {
	return jobs.Invalid{{Location: "query.group", Message: "must be the id of a group of the job's errors, of 16 hexadecimal digits", Value: given}}
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
