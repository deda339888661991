package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// A SharedScope identifies a scope of shared objects: by its job, or by its owner and
// name.
type SharedScope struct{ Job, Owner, Name string }

// A SharedHome is a scope as it is in the database.
type SharedHome struct {
	ID    int64
	Node  string // the home
	Epoch int64
	Taken bool // the caller became the home just now, under this epoch
}

// MaxSharedScopes is how many named scopes an owner may have.
const MaxSharedScopes = 1000

// ErrTooManyScopes is the error of a named scope past MaxSharedScopes.
var ErrTooManyScopes = fmt.Errorf("an owner may have %d scopes of shared objects; delete one", MaxSharedScopes)

// find is the condition that selects a scope by $1 to $3. Empty texts stand for null.
const findScope = ` (s.job_id = nullif($1, '')::uuid or s.owner_id = nullif($2, '')::uuid and s.name = nullif($3, '')) `

// SharedHome finds the home of a scope. Where the scope has none, or a node that is not
// alive, or the node itself, the node becomes its home under a new epoch. It must load
// the scope then. SharedHome returns ErrNotFound where there is no such scope and create
// is false, or no such job.
//
// A node that is merely silent keeps its scopes until it was declared dead, which takes
// its leases with them.
func (s *Store) SharedHome(ctx context.Context, scope SharedScope, node string, create bool) (h SharedHome, err error) {
	if create {
		if err := s.createScope(ctx, scope); err != nil {
			return h, err
		}
	}
	err = s.Tx(ctx, func(tx pgx.Tx) error {
		var home *string
		var alive bool
		err := tx.QueryRow(ctx, `
			select s.id, s.node_id::text, s.epoch, exists (select from nodes n where n.id = s.node_id and n.state = 'alive')
			from shared_scopes s where `+findScope+` for update of s`, scope.Job, scope.Owner, scope.Name).
			Scan(&h.ID, &home, &h.Epoch, &alive)
		if err != nil {
			return wrap("find shared scope", err)
		}
		if home != nil && *home != node && alive {
			h.Node = *home
			return nil
		}
		h.Node, h.Taken = node, true
		err = tx.QueryRow(ctx, `update shared_scopes set node_id = $2, epoch = epoch + 1 where id = $1 returning epoch`, h.ID, node).Scan(&h.Epoch)
		return wrap("take shared scope", err)
	})
	return h, err
}

func (s *Store) createScope(ctx context.Context, scope SharedScope) error {
	if scope.Job != "" {
		_, err := s.Pool.Exec(ctx, `
			insert into shared_scopes (job_id) select id from jobs where id = $1 on conflict do nothing`, scope.Job)
		return wrap("create shared scope", err)
	}
	var room bool
	err := s.Pool.QueryRow(ctx, `
		with others as (
			select count(*) < $3 as room from shared_scopes where owner_id = $1 and name <> $2
		), made as (
			insert into shared_scopes (owner_id, name) select $1, $2 from others where room on conflict do nothing
		)
		select room from others`, scope.Owner, scope.Name, MaxSharedScopes).Scan(&room)
	if err == nil && !room {
		return ErrTooManyScopes
	}
	return wrap("create shared scope", err)
}

// SharedExists reports whether a scope exists.
func (s *Store) SharedExists(ctx context.Context, scope SharedScope) (exists bool, err error) {
	err = s.Pool.QueryRow(ctx, `select exists (select from shared_scopes s where `+findScope+`)`, scope.Job, scope.Owner, scope.Name).Scan(&exists)
	return exists, wrap("find shared scope", err)
}

// SharedNames lists the names of an owner's scopes, at most MaxSharedScopes.
func (s *Store) SharedNames(ctx context.Context, owner string) ([]string, error) {
	rows, err := s.Pool.Query(ctx, `select name from shared_scopes where owner_id = $1 order by name limit $2`, owner, MaxSharedScopes)
	if err != nil {
		return nil, wrap("list shared scopes", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, wrap("list shared scopes", err)
}

// DeleteShared deletes a scope with all that it holds. Its home learns of it with its
// next append. DeleteShared returns ErrNotFound where there is none.
func (s *Store) DeleteShared(ctx context.Context, scope SharedScope) error {
	tag, err := s.Pool.Exec(ctx, `delete from shared_scopes s where `+findScope, scope.Job, scope.Owner, scope.Name)
	if err == nil && tag.RowsAffected() == 0 {
		return fmt.Errorf("delete shared scope: %w", jobs.ErrNotFound)
	}
	return wrap("delete shared scope", err)
}

// ReleaseShared ends that a node is the home of a scope, if it is under the epoch.
func (s *Store) ReleaseShared(ctx context.Context, id int64, node string, epoch int64) error {
	_, err := s.Pool.Exec(ctx, `update shared_scopes set node_id = null where id = $1 and node_id = $2 and epoch = $3`, id, node, epoch)
	return wrap("release shared scope", err)
}

// SharedFacts are the facts of a job that decide whether somebody could wake tasks
// that wait.
type SharedFacts struct {
	Open      bool   // more tasks may be appended
	Halt      string // why nothing is claimed
	Ended     bool
	Unclaimed int64 // tasks at the cursor and in the backlog, due or not
	Lanes     int   // that the job may have
	Threads   int   // tasks at once in a lane
	Leases    []SharedLease
}

// A SharedLease is a leased chunk.
type SharedLease struct {
	ID    int64
	Node  string
	Lane  int
	Count int // tasks still under the lease
}

// SharedFacts reads the facts of a job.
func (s *Store) SharedFacts(ctx context.Context, job string) (f SharedFacts, err error) {
	var b pgx.Batch
	b.Queue(`
		select not sealed, coalesce(halt, ''), ended, lanes,
			coalesce((select (j.policy->>'threads')::int from jobs j where j.id = $1), 1),
			total - cursor + coalesce((select sum(b.count) from backlog b where b.job_id = $1), 0)
		from progress where job_id = $1`, job).QueryRow(func(row pgx.Row) error {
		return row.Scan(&f.Open, &f.Halt, &f.Ended, &f.Lanes, &f.Threads, &f.Unclaimed)
	})
	b.Queue(`
		select id, node_id::text, lane, count from chunks c where state = 'leased' and job_id = $1
		order by id limit 10000`, job).Query(func(rows pgx.Rows) error {
		f.Leases, err = pgx.CollectRows(rows, pgx.RowToStructByPos[SharedLease])
		return err
	})
	return f, wrap("read who could wake tasks", s.Pool.SendBatch(ctx, &b).Close())
}

// LostExecutions returns the positions of those of the executions, each a task under a
// lease, that have ended: the task is not under the lease any more, or the lease is held
// only by a node whose own has run out.
func (s *Store) LostExecutions(ctx context.Context, leases, tasks []int64) ([]int, error) {
	rows, err := s.Pool.Query(ctx, `
		select x.position - 1 from unnest($1::bigint[], $2::bigint[]) with ordinality as x (lease, task, position)
		where not exists (
			select from chunks c join nodes n on n.id = c.node_id`+spansLeft+`
			where c.id = x.lease and c.state = 'leased' and n.heartbeat_at > clock_timestamp() - $3::bigint * interval '1 microsecond'
				and x.task >= span.first and x.task < span.first + span.count)`,
		leases, tasks, NodeLease.Microseconds())
	if err != nil {
		return nil, wrap("read lost executions", err)
	}
	positions, err := pgx.CollectRows(rows, pgx.RowTo[int])
	return positions, wrap("read lost executions", err)
}

// EndedTasks returns those of the tasks of a job that will not run again in its present
// run: they have outcomes, or the job has ended or is gone.
func (s *Store) EndedTasks(ctx context.Context, job string, tasks []int64) ([]EndedTask, error) {
	rows, err := s.Pool.Query(ctx, `
		select t.index, o.first is not null and not ((t.index - o.first)::int = any(o.failed))
		from unnest($2::bigint[]) as t (index) left join lateral (
			select first, count, failed from outcomes o where o.job_id = $1 and o.first <= t.index order by o.first desc limit 1
		) o on t.index < o.first + o.count
		where o.first is not null or not exists (select from progress p where p.job_id = $1 and not p.ended)`, job, tasks)
	if err != nil {
		return nil, wrap("read ended tasks", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[EndedTask])
	return list, wrap("read ended tasks", err)
}

// An EndedTask is a task that will not run again.
type EndedTask struct {
	Index     int64
	Succeeded bool
}

// isGone reports whether err says that a row does not exist.
func isGone(err error) bool { return errors.Is(err, pgx.ErrNoRows) }
