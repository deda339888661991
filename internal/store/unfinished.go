package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Unfinished returns those of the given tasks of a job that have no outcome.
func (s *Store) Unfinished(ctx context.Context, job string, tasks []int64) (map[int64]bool, error) {
	if len(tasks) == 0 {
		return nil, nil
	}
	rows, err := s.Pool.Query(ctx, `
		select task from unnest($2::bigint[]) task left join lateral (
			select first + count as upto from outcomes where job_id = $1 and first <= task order by first desc limit 1
		) o on true
		where o.upto is null or o.upto <= task`, job, tasks)
	if err != nil {
		return nil, wrap("read unfinished tasks", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	unfinished := make(map[int64]bool, len(list))
	for _, task := range list {
		unfinished[task] = true
	}
	return unfinished, wrap("read unfinished tasks", err)
}
