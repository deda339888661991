package store

import (
	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// finishSQL ends a job that has nothing left to do. It runs in every transaction
// that may write a job's last outcome, under the progress row's lock. Until a job
// ends, cancelled counts the tasks that its newest run leaves out.
const finishSQL = `
with e as (
	update progress set ended = true, cancelled = total - succeeded - failed
	where job_id = $1 and not ended and leased = 0
		and (halt in ('failed', 'cancelled') or sealed and succeeded + failed + cancelled = total)
	returning *
), j as (
	update jobs set
		state = case when e.halt = 'cancelled' then 'cancelled' when e.halt = 'failed' or e.failed > 0 then 'failed'
			when e.cancelled > 0 then 'cancelled' else 'succeeded' end,
		started_at = least(started_at, clock_timestamp()),
		finished_at = clock_timestamp(),
		reason = case
			when reason <> '' then reason
			when e.halt = 'cancelled' then ''
			when e.halt = 'failed' then format('stopped after %s failed tasks: max_failures allows %s', e.failed - e.earlier_failed, e.failures_allowed)
			when e.failed > 0 then format('%s of %s tasks failed', e.failed, e.total)
			when e.cancelled > 0 then format('%s of %s tasks were cancelled', e.cancelled, e.total)
			else '' end
	from e where jobs.id = e.job_id returning jobs.id, jobs.state, e.cancelled - jobs.earlier_cancelled as cancelled
), gone as (
	delete from backlog where job_id in (select id from j)
)
select state, cancelled, pg_notify('` + channel + `', id::text) from j`

func (s *Store) addFinish(b *pgx.Batch, job string, ended *bool) {
	*ended = false
	b.Queue(finishSQL, job).Query(func(rows pgx.Rows) error {
		var state jobs.State
		var cancelled int64
		_, err := pgx.ForEachRow(rows, []any{&state, &cancelled, nil}, func() error {
			*ended = true
			s.counter.ended(state, cancelled)
			return nil
		})
		return err
	})
}
