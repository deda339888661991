package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// Bars reads at most limit chunks of a job in the order of their claims, from the
// chunk behind the one numbered after on.
func (s *Store) Bars(ctx context.Context, job string, after int64, limit int) ([]jobs.Bar, error) {
	rows, err := s.Pool.Query(ctx, `
		select c.id, c.node_id::text, coalesce(n.host, ''), c.core, c.lane, c.first, c.count + c.recorded, c.state, c.failed,
			coalesce(c.started_at, c.leased_at), c.finished_at,
			c.user_us, c.system_us, c.tasks_us, c.moving_us, c.waiting_us, c.peak_memory
		from chunks c left join nodes n on n.id = c.node_id
		where c.job_id = $1 and c.id > $2 and c.count + c.recorded > 0 order by c.id limit $3`, job, after, limit)
	if err != nil {
		return nil, wrap("read bars", err)
	}
	bars, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (b jobs.Bar, err error) {
		var finished *time.Time
		var user, system, tasks, moving, waiting int64
		err = row.Scan(&b.Chunk, &b.NodeID, &b.Node, &b.Core, &b.Lane, &b.First, &b.Count, &b.State, &b.Failed,
			&b.StartedAt.Time, &finished, &user, &system, &tasks, &moving, &waiting, &b.PeakMemory)
		b.FinishedAt = jobTime(finished)
		b.UserMS, b.SystemMS = float64(user)/1000, float64(system)/1000
		b.TasksMS, b.MovingMS, b.WaitingMS = float64(tasks)/1000, float64(moving)/1000, float64(waiting)/1000
		return b, err
	})
	return bars, wrap("read bars", err)
}
