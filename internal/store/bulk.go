package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// A NewBulk is a bulk operation to begin, on the jobs with the ids or on those that
// the search selects.
type NewBulk struct {
	ID     string
	Node   string // that performs it
	Action jobs.BulkAction
	Tags   []string
	IDs    []string
	Search *jobs.Search
	Text   string // the search as given
}

// BeginBulk writes a bulk operation on the jobs that exist now, with a key once: when
// the key is Replayed it returns the id of the earlier operation. Ids of jobs that
// the viewer does not see are refused at once. A search that selects more than
// jobs.MaxBulkJobs is a violation at location.
func (s *Store) BeginBulk(ctx context.Context, v Viewer, n NewBulk, key *Key, location string) (id string, err error) {
	id = n.ID
	err = s.Tx(ctx, func(tx pgx.Tx) error {
		if key != nil {
			earlier, err := s.ClaimKey(ctx, tx, key, n.ID)
			if err != nil || key.Replayed {
				id = earlier
				return err
			}
		}
		targets, refusals, err := n.targets(ctx, tx, v, location)
		if err != nil {
			return err
		}
		var search *string
		if n.Search != nil {
			search = &n.Text
		}
		_, err = tx.Exec(ctx, `
			insert into bulk_operations (id, user_id, action, tags, search, jobs, total, refused, reasons, refusals, node_id, finished_at)
			values (@id, @user, @action, @tags, @search, @jobs, @total, @refused, @reasons, @refusals, @node,
				case when cardinality(@jobs::uuid[]) = 0 then clock_timestamp() end)`, pgx.NamedArgs{
			"id": n.ID, "user": v.UserID, "node": n.Node, "action": n.Action, "tags": append([]string{}, n.Tags...), "search": search,
			"jobs": targets, "total": int64(len(targets)) + refusals.Refused,
			"refused": refusals.Refused, "reasons": refusals.Reasons, "refusals": refusals.Refusals,
		})
		return wrap("begin bulk operation", err)
	})
	return id, err
}

// targets returns the requested jobs that the viewer sees, and the refusals of the
// others.
func (n NewBulk) targets(ctx context.Context, tx pgx.Tx, v Viewer, location string) (targets []string, refusals jobs.BulkRefusals, err error) {
	refusals.Reasons, refusals.Refusals = []jobs.BulkReason{}, []jobs.BulkRefusal{}
	if n.Search != nil {
		q := Filter{Search: *n.Search}.query(v)
		targets, err = collect(tx.Query(ctx, `select j.id::text from jobs j where `+q.where()+
			fmt.Sprintf(` order by j.id limit %d`, jobs.MaxBulkJobs+1), q.args...))
		if len(targets) > jobs.MaxBulkJobs {
			return nil, refusals, jobs.Invalid{{Location: location, Message: fmt.Sprintf("selects more than %d jobs; narrow it", jobs.MaxBulkJobs)}}
		}
		return targets, refusals, err
	}
	asked := make([]string, 0, len(n.IDs))
	for _, id := range n.IDs {
		if ValidID(id) {
			asked = append(asked, id)
		}
	}
	found, err := collect(tx.Query(ctx, `select id::text from jobs where id = any($1) and ($2 or owner_id = $3)`, asked, v.All, v.UserID))
	if err != nil {
		return nil, refusals, err
	}
	visible := make(map[string]bool, len(found))
	for _, id := range found {
		visible[id] = true
	}
	twice := make(map[string]bool, len(n.IDs))
	targets = []string{}
	for _, id := range n.IDs {
		switch {
		case twice[id]:
		case visible[id]:
			targets = append(targets, id)
		default:
			refusals.Refuse(id, jobs.NotFoundSentence)
		}
		twice[id] = true
	}
	return targets, refusals, nil
}

// collect reads rows of one text.
func collect(rows pgx.Rows, err error) ([]string, error) {
	if err != nil {
		return nil, wrap("find jobs", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return ids, wrap("find jobs", err)
}

const bulkColumns = `
	b.id, b.action, b.tags, b.search, b.total, b.done, b.refused, b.reasons, b.refusals, b.created_at, b.finished_at`

func scanBulk(row pgx.Row, beside ...any) (*jobs.Bulk, error) {
	var b jobs.Bulk
	var created time.Time
	var finished *time.Time
	into := []any{&b.ID, &b.Action, &b.Tags, &b.Search, &b.Total, &b.Done, &b.Refused, &b.Reasons, &b.Refusals, &created, &finished}
	if err := row.Scan(append(into, beside...)...); err != nil {
		return nil, wrap("read bulk operation", err)
	}
	b.More = b.Refused - int64(len(b.Refusals))
	b.CreatedAt, b.FinishedAt = jobs.Time{Time: created}, jobTime(finished)
	b.State = "running"
	if finished != nil {
		b.State = "done"
	}
	return &b, nil
}

// Bulk reads a bulk operation of the viewer, or of anyone where the viewer sees all.
func (s *Store) Bulk(ctx context.Context, v Viewer, id string) (*jobs.Bulk, error) {
	if !ValidID(id) {
		return nil, fmt.Errorf("read bulk operation %q: %w", id, jobs.ErrNotFound)
	}
	return scanBulk(s.Pool.QueryRow(ctx, `select `+bulkColumns+` from bulk_operations b where b.id = $1 and ($2 or b.user_id = $3)`, id, v.All, v.UserID))
}

// BulkWork is the rest of a bulk operation, for the node that performs it.
type BulkWork struct {
	jobs.Bulk
	User jobs.User // who asked for it, with the present role
	Jobs []string  // not done yet
	Next int       // number of jobs before them
}

// BulkWork reads the rest of a bulk operation. It returns ErrNotFound when the node
// does not perform it.
func (s *Store) BulkWork(ctx context.Context, node, id string) (*BulkWork, error) {
	w := new(BulkWork)
	b, err := scanBulk(s.Pool.QueryRow(ctx, `
		select `+bulkColumns+`, u.id, u.name, u.role, b.jobs[b.next + 1:]::text[], b.next
		from bulk_operations b join users u on u.id = b.user_id
		where b.id = $1 and b.node_id = $2 and b.finished_at is null`, id, node), &w.User.ID, &w.User.Name, &w.User.Role, &w.Jobs, &w.Next)
	if err != nil {
		return nil, err
	}
	w.Bulk = *b
	return w, nil
}

// RecordBulk writes the progress of a bulk operation, which counts the first w.Next
// of its jobs. It reports false when another node has taken the operation.
func (s *Store) RecordBulk(ctx context.Context, node string, w *BulkWork, finished bool) (mine bool, err error) {
	tag, err := s.Pool.Exec(ctx, `
		update bulk_operations set next = @next, done = @done, refused = @refused, reasons = @reasons, refusals = @refusals,
			beat_at = clock_timestamp(), finished_at = case when @finished then clock_timestamp() end
		where id = @id and node_id = @node and finished_at is null`, pgx.NamedArgs{
		"id": w.ID, "node": node, "next": w.Next, "done": w.Done,
		"refused": w.Refused, "reasons": w.Reasons, "refusals": w.Refusals, "finished": finished,
	})
	return tag.RowsAffected() > 0, wrap("record bulk operation", err)
}

// bulkLease is how long an operation without a record belongs to its node.
const bulkLease = 30 * time.Second

// TakeBulks gives the node a few operations whose node is gone or gave up, and
// returns their ids.
func (s *Store) TakeBulks(ctx context.Context, node string) ([]string, error) {
	return collect(s.Pool.Query(ctx, `
		update bulk_operations set node_id = $1, beat_at = clock_timestamp() where id in (
			select id from bulk_operations b where finished_at is null
				and (beat_at not between clock_timestamp() - $2::bigint * interval '1 microsecond' and clock_timestamp() + interval '1 minute'
					or not exists (select from nodes n where n.id = b.node_id and n.state = 'alive'
						and n.heartbeat_at > clock_timestamp() - $3::bigint * interval '1 microsecond'))
			order by beat_at limit 4 for update skip locked)
		returning id::text`, node, bulkLease.Microseconds(), NodeLease.Microseconds()))
}

// ForgetBulks deletes at most limit bulk operations older than a week and returns
// their number.
func (s *Store) ForgetBulks(ctx context.Context, limit int) (int, error) {
	tag, err := s.Pool.Exec(ctx, `
		delete from bulk_operations where id in (
			select id from bulk_operations where created_at < now() - interval '7 days' and finished_at is not null
			order by created_at limit $1 for update skip locked)`, limit)
	return int(tag.RowsAffected()), wrap("forget bulk operations", err)
}

// Tag adds tags to a job and removes others. It returns ErrConflict when the job
// would have more than jobs.MaxTags.
func (s *Store) Tag(ctx context.Context, v Viewer, id string, key *Key, add, remove []string) error {
	return s.change(ctx, v, id, key, func(tx pgx.Tx, _ jobs.State) error {
		var had []string
		if err := tx.QueryRow(ctx, `select tags from jobs where id = $1`, id).Scan(&had); err != nil {
			return wrap("read tags", err)
		}
		tags := []string{}
		for _, tag := range slices.Concat(had, add) {
			if !slices.Contains(tags, tag) && !slices.Contains(remove, tag) {
				tags = append(tags, tag)
			}
		}
		if len(tags) > max(jobs.MaxTags, len(had)) {
			return fmt.Errorf("%d tags: %w", len(tags), jobs.ErrConflict)
		}
		_, err := tx.Exec(ctx, `update jobs set tags = $2, folded_tags = $3 where id = $1`, id, tags, jobs.FoldAll(tags))
		if err == nil {
			_, err = tx.Exec(ctx, `select pg_notify($1, $2)`, channel, id)
		}
		return wrap("tag job", err)
	})
}
