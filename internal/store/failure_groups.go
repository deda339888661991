package store

import (
	"context"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// FailureGroups reads the groups of a job's failures, those with the most tasks first.
func (s *Store) FailureGroups(ctx context.Context, job string, limit int) ([]jobs.FailureGroup, error) {
	return s.FailureGroupsAfter(ctx, job, math.MaxInt64, 0, limit)
}

// FailureGroupsAfter is FailureGroups from behind the group with count tasks whose
// first task is first. No two groups have a task in common.
func (s *Store) FailureGroupsAfter(ctx context.Context, job string, count, first int64, limit int) ([]jobs.FailureGroup, error) {
	if err := s.regroup(ctx, job); err != nil {
		return nil, err
	}
	rows, err := s.Pool.Query(ctx, `
		select id, kind, type, message, pattern, frame, count, first_index, example, messages from failure_groups
		where job_id = $1 and (count < $2 or count = $2 and first_index > $3)
		order by count desc, first_index limit $4`, job, count, first, limit)
	if err != nil {
		return nil, wrap("read failures", err)
	}
	groups, err := pgx.CollectRows(rows, scanGroup)
	return groups, wrap("read failures", err)
}

func scanGroup(row pgx.CollectableRow) (g jobs.FailureGroup, err error) {
	var id int64
	err = row.Scan(&id, &g.Kind, &g.Type, &g.Message, &g.Pattern, &g.Frame, &g.Count, &g.FirstIndex, &g.Example, &g.Messages)
	g.ID = jobs.GroupID(id)
	return g, err
}

// Groups is the set of groups of a job's failures.
type Groups map[jobs.GroupID]bool

// Groups reads the set of groups of a job's failures.
func (s *Store) Groups(ctx context.Context, job string) (Groups, error) {
	if err := s.regroup(ctx, job); err != nil {
		return nil, err
	}
	rows, err := s.Pool.Query(ctx, `select id from failure_groups where job_id = $1`, job)
	if err != nil {
		return nil, wrap("read groups", err)
	}
	groups := make(Groups)
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error { groups[jobs.GroupID(id)] = true; return nil })
	return groups, wrap("read groups", err)
}

// Of returns the group that counts a failure with the id: its own, the others at its
// place, or 0, all others.
func (g Groups) Of(id jobs.GroupID) jobs.GroupID {
	for _, id := range [...]jobs.GroupID{id, id.Other()} {
		if g[id] {
			return id
		}
	}
	return 0
}

// Pick selects the blocks that have failures of a group.
func (g Groups) Pick(id jobs.GroupID) Pick {
	if id == id.Other() { // counts failures with ids of many groups
		return Pick{Failed: true}
	}
	return Pick{Failed: true, Group: id}
}

// FailureGroup reads one group of a job's failures.
func (s *Store) FailureGroup(ctx context.Context, job string, id jobs.GroupID) (*jobs.FailureGroup, error) {
	if err := s.regroup(ctx, job); err != nil {
		return nil, err
	}
	rows, err := s.Pool.Query(ctx, `
		select id, kind, type, message, pattern, frame, count, first_index, example, messages from failure_groups
		where job_id = $1 and id = $2`, job, int64(id))
	if err != nil {
		return nil, wrap("read group", err)
	}
	g, err := pgx.CollectExactlyOneRow(rows, scanGroup)
	if err != nil {
		return nil, wrap("read group", err)
	}
	return &g, nil
}

// maxRegroupRows is how many rows of outcomes regroupRows holds in memory.
const maxRegroupRows = 64

// regroup rebuilds the groups of a job that an earlier version built by another
// rule.
func (s *Store) regroup(ctx context.Context, job string) error {
	const stale = `select exists (select from failure_groups where job_id = $1 and version <> $2)`
	var old bool
	if err := s.Pool.QueryRow(ctx, stale, job, jobs.GroupingVersion).Scan(&old); err != nil || !old {
		return wrap("read groups", err)
	}
	return s.Tx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select from progress where job_id = $1 for update`, job); err != nil {
			return wrap("lock job", err)
		}
		if err := tx.QueryRow(ctx, stale, job, jobs.GroupingVersion).Scan(&old); err != nil || !old {
			return wrap("read groups", err)
		}
		if _, err := tx.Exec(ctx, `delete from failure_groups where job_id = $1`, job); err != nil {
			return wrap("delete groups", err)
		}
		for next := int64(0); ; {
			more, err := s.regroupRows(ctx, tx, job, &next)
			if err != nil || !more {
				return err
			}
		}
	})
}

// regroupRows groups the failures in the next rows of outcomes.
func (s *Store) regroupRows(ctx context.Context, tx pgx.Tx, job string, next *int64) (more bool, err error) {
	rows, err := tx.Query(ctx, `
		select first, count, outputs from outcomes where job_id = $1 and first >= $2 and failed <> '{}' order by first limit $3`,
		job, *next, maxRegroupRows)
	if err != nil {
		return false, wrap("read failures", err)
	}
	failed, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o outcomes.Encoded, err error) {
		err = row.Scan(&o.First, &o.Count, &o.Outputs)
		o.Failed = []int32{0} // not read: all that matters is that there are some
		return o, err
	})
	if err != nil || len(failed) == 0 {
		return false, wrap("read failures", err)
	}
	var b pgx.Batch
	f := newFailures()
	for _, o := range failed {
		b.Queue(`update outcomes set groups = $3 where job_id = $1 and first = $2`, job, o.First, signed(f.add(o)))
		*next = o.First + int64(o.Count)
	}
	if err := f.addTo(&b, job, 0); err != nil {
		return false, err
	}
	return true, wrap("group failures", tx.SendBatch(ctx, &b).Close())
}
