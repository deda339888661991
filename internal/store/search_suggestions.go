package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// Bounds of suggestions.
const (
	suggestJobs = 10_000 // newest jobs whose tags are read
	suggestMost = 12     // values
)

// Suggest lists values of a qualifier that begin with typed, which is folded, and
// that the viewer may see: tags by how many of the newest jobs have them, queues and
// owners by name.
func (s *Store) Suggest(ctx context.Context, v Viewer, key, typed string) ([]jobs.Suggestion, error) {
	prefix := contains(typed)[1:]
	var sql string
	args := []any{prefix, suggestMost}
	switch key {
	case jobs.SearchTag:
		sql = `
			select t.tag, count(*) || case when count(*) = 1 then ' job' else ' jobs' end
			from (select tags, folded_tags from jobs where $3 or owner_id = $4 order by id desc limit $5) j,
				unnest(j.tags, j.folded_tags) t (tag, folded)
			where t.folded like $1 group by t.tag order by count(*) desc, t.tag limit $2`
		args = append(args, v.All, v.UserID, suggestJobs)
	case jobs.SearchQueue:
		sql = `select name, '' from queues where not deleted and name like $1 order by name limit $2`
	case jobs.SearchOwner:
		sql = `select name, role from users where lower(name) like $1 and ($3 or id = $4) order by name limit $2`
		args = append(args, v.All, v.UserID)
	default:
		return nil, nil
	}
	rows, err := s.Pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, wrap("suggest", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[jobs.Suggestion])
	return found, wrap("suggest", err)
}
