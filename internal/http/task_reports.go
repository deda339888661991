package http

import (
	"cmp"
	"context"
	"slices"

	"github.com/allcores/allcores/internal/jobs"
)

// reports returns what the running tasks of a job last reported of their progress, by
// task. A heartbeat is up to a second old, so it leaves out tasks that have ended.
func (s *Site) reports(ctx context.Context, job *jobs.Job) ([]jobs.TaskProgress, error) {
	if job.State.Ended() {
		return nil, nil
	}
	now, err := s.cluster.now(ctx)
	if err != nil {
		return nil, err
	}
	latest := make(map[int64]jobs.TaskProgress)
	var tasks []int64
	for _, n := range now.nodes {
		if !n.Alive {
			continue
		}
		for _, p := range n.Progress {
			if p.Job != job.ID {
				continue
			}
			known, twice := latest[p.Task]
			if !twice {
				tasks = append(tasks, p.Task)
			}
			if !twice || p.At.After(known.At.Time) {
				latest[p.Task] = p
			}
		}
	}
	unfinished, err := s.store.Unfinished(ctx, job.ID, tasks)
	if err != nil {
		return nil, err
	}
	var list []jobs.TaskProgress
	for task, p := range latest {
		if unfinished[task] {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b jobs.TaskProgress) int { return cmp.Compare(a.Task, b.Task) })
	return list, nil
}

type reportsOutput struct {
	Body struct {
		Items []jobs.TaskProgress `json:"items" nullable:"false"`
	}
}

func (s *Site) listReports(ctx context.Context, in *JobPath) (*reportsOutput, error) {
	job, err := s.one(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	list, err := s.reports(ctx, job)
	out := &reportsOutput{}
	out.Body.Items = slices.Concat([]jobs.TaskProgress{}, list)
	return out, err
}
