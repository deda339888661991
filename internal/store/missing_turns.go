package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// Missing returns how many turns a job lacks, as part of tx, and adds them to its
// count. The caller must insert them in the same transaction, for the lanes from
// first on.
func (s *Store) Missing(ctx context.Context, tx pgx.Tx, job string) (first, n int, err error) {
	err = tx.QueryRow(ctx, `
		with p as materialized (
			select * from progress where job_id = $1 and halt is null and not ended for update
		), need as (
			select least(p.lanes, p.total - p.cursor + coalesce((
				select sum(b.count) from backlog b where b.job_id = $1 and `+claimable+`), 0)
				+ p.leased) as n from p
		)
		update progress set turns = greatest(turns, need.n) from need
		where job_id = $1 and need.n > turns and (cursor < total or exists (
			select from backlog b where b.job_id = $1 and `+claimable+`))
		returning (select turns from p), need.n - (select turns from p)`, job).Scan(&first, &n)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, 0, nil
	}
	return first, n, wrap("count missing turns", err)
}
