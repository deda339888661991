package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// TurnKind is the kind of the River jobs that are turns.
const TurnKind = "turn"

// A Turn holds the arguments of a River job of TurnKind.
type Turn struct {
	Job      string
	Lane     int
	Queue    string
	Priority int
}

// The other files of the store read River's tables by these names; only this file has
// their columns.

// pausesInRiver joins River's row r of a queue q: an admin may pause the queue in
// River's pages.
const pausesInRiver = ` left join river_queue r on r.name = q.name `

// paused reports whether a queue q is paused here or in River r.
const paused = ` (q.paused or r.paused_at is not null) `

// turnCounts counts each queue's turns. It reads only those that have not ended,
// which are few beside those that River keeps after their end.
const turnCounts = `
	select queue, count(*) filter (where state <> 'running') as waiting, count(*) filter (where state = 'running') as running,
		min(scheduled_at) filter (where state = 'available') as oldest
	from river_job where state in ('available', 'running', 'scheduled', 'retryable', 'pending') group by queue`

// turnHolders reads the ids, as text, of the nodes that hold turns.
const turnHolders = `
	select attempted_by[array_upper(attempted_by, 1)] from river_job
	where state = 'running' and kind = '` + TurnKind + `' and attempted_by <> '{}'`

// turnsFetched reads the turns of a queue that nodes have fetched, in any order.
// Both parameters are SQL expressions.
func turnsFetched(queue, limit string) string {
	return `
		select priority, scheduled_at, id, args->>'job' as job from river_job
		where state = 'running' and queue = ` + queue + ` limit ` + limit
}

// turnsInLine reads the turns of a queue that can be fetched, in the order in
// which River fetches them. Both parameters are SQL expressions.
func turnsInLine(queue, limit string) string {
	return `
		select priority, scheduled_at, id, args->>'job' as job from river_job
		where state = 'available' and queue = ` + queue + ` and scheduled_at <= now()
		order by priority, scheduled_at, id limit ` + limit
}

// turnsFailing reads how many turns of the job $1 have failed on their node's
// account, how many of them run again, when the next of the others is due, and
// the newest error. $2 is the job's queue, $4 its priority; at most $3 turns of
// each state are read.
const turnsFailing = `
	select count(*), count(*) filter (where state = 'running'), min(scheduled_at) filter (where state <> 'running'),
		coalesce((array_agg(errors[array_upper(errors, 1)]->>'error' order by attempted_at desc) filter (where errors <> '{}'))[1], '')
	from (
		(select state, args, errors, scheduled_at, attempted_at from river_job
		where state in ('retryable', 'scheduled') and queue = $2 limit $3)
		union all
		(select state, args, errors, scheduled_at, attempted_at from river_job
		where state = 'available' and queue = $2 and priority = $4 and scheduled_at > now() limit $3)
		union all
		(select state, args, errors, scheduled_at, attempted_at from river_job
		where state = 'running' and queue = $2 and errors <> '{}' limit $3)
	) r where args->>'job' = $1`

// clampTurns and clampLeader are the clamps of River's tables: see ClampFuture.
// A leader's term that ends more than a minute ahead is longer than any that
// River grants.
const (
	clampTurns = `update river_job set attempted_at = clock_timestamp() where id in (
		select id from river_job where state = 'running' and attempted_at > clock_timestamp() + ` + clockSlack + ` limit $1)`
	clampLeader = `update river_leader set expires_at = now() where expires_at > now() + interval '1 minute' and $1 > 0`
)

// insertFetchedTurn inserts a turn as one that the node $7 has fetched: of kind
// $1, of the job $3 and its lane $4, in queue $5 with priority $6, to be tried $2
// times. It returns the turn's id.
const insertFetchedTurn = `
	insert into river_job (kind, args, queue, priority, max_attempts, state, attempt, attempted_at, attempted_by, created_at, scheduled_at)
	values ($1, jsonb_build_object('job', $3::text, 'lane', $4::int), $5, $6, $2, 'running', 1, clock_timestamp(), array[$7::text], clock_timestamp(), clock_timestamp())
	returning id`

// resumeInRiver resumes a queue that an admin paused in River's pages, as part of
// tx, and notifies River's producers as its client does.
func resumeInRiver(ctx context.Context, tx pgx.Tx, queue string) error {
	_, err := tx.Exec(ctx, `update river_queue set paused_at = null, updated_at = now() where name = $1 and paused_at is not null`, queue)
	if err != nil {
		return wrap("resume River's queue", err)
	}
	_, err = tx.Exec(ctx, `select pg_notify(current_schema() || '.river_control', json_build_object('action', 'resume', 'queue', $1::text)::text)`, queue)
	return wrap("notify River", err)
}

// discardTurns ends the turns that a dead node was running and returns them.
func (s *Store) discardTurns(ctx context.Context, tx pgx.Tx, node string) ([]Turn, error) {
	rows, err := tx.Query(ctx, `
		update river_job set state = 'discarded', finalized_at = now()
		where state = 'running' and kind = $1 and attempted_by[array_upper(attempted_by, 1)] = $2
		returning args->>'job', (args->>'lane')::int, queue, priority`, TurnKind, node)
	if err != nil {
		return nil, wrap("discard turns", err)
	}
	turns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Turn])
	return turns, wrap("discard turns", err)
}

// InsertTurns inserts turns at the end of their queues' lines, as part of tx. It writes
// River's table itself, by the database's clock: see engine/turns.
func (s *Store) InsertTurns(ctx context.Context, tx pgx.Tx, turns []Turn) error {
	if len(turns) == 0 {
		return nil
	}
	var b pgx.Batch
	addTurns(&b, turns)
	return wrap("insert turns", tx.SendBatch(ctx, &b).Close())
}

func addTurns(b *pgx.Batch, turns []Turn) { addTurnsAfter(b, turns, 0) }

// addTurnsAfter adds the statements that insert turns, to be fetched after wait.
func addTurnsAfter(b *pgx.Batch, turns []Turn, wait time.Duration) {
	if len(turns) == 0 {
		return
	}
	var (
		ids        = make([]string, len(turns))
		lanes      = make([]int32, len(turns))
		queues     = make([]string, len(turns))
		priorities = make([]int16, len(turns))
	)
	for i, t := range turns {
		ids[i], lanes[i], queues[i], priorities[i] = t.Job, int32(t.Lane), t.Queue, int16(t.Priority)
	}
	b.Queue(`
		insert into river_job (kind, args, queue, priority, max_attempts, state, created_at, scheduled_at)
		select $1, jsonb_build_object('job', job, 'lane', lane), queue, priority, $2, 'available', clock_timestamp(), clock_timestamp() + $7::bigint * interval '1 microsecond'
		from unnest($3::text[], $4::int[], $5::text[], $6::smallint[]) as t (job, lane, queue, priority)`,
		TurnKind, maxTurnAttempts, ids, lanes, queues, priorities, wait.Microseconds())
	b.Queue(wakeSQL, queues)
}

// wakeSQL notifies River's producers of queues, as its client does after an insert.
const wakeSQL = `
	select pg_notify(current_schema() || '.river_insert', json_build_object('queue', queue)::text)
	from (select distinct unnest($1::text[]) as queue) q`

// WakeQueue makes the nodes fetch turns of a queue.
func (s *Store) WakeQueue(ctx context.Context, queue string) error {
	_, err := s.Pool.Exec(ctx, wakeSQL, []string{queue})
	return wrap("wake queue", err)
}

// maxTurnError is how many bytes of a turn's error are kept.
const maxTurnError = 4 << 10

// completeTurn ends a turn, unless it has ended otherwise.
const completeTurn = `update river_job set state = 'completed', finalized_at = clock_timestamp() where id = $1 and state = 'running'`

// CompleteTurn ends a turn of a job that has ended. Its commit does not wait for the
// disk: a turn that a crash of Postgres restores finds nothing to do.
func (s *Store) CompleteTurn(ctx context.Context, turn int64) error {
	_, err := s.River.Exec(ctx, completeTurn, turn)
	return wrap("complete turn", err)
}

// RequeueTurn ends a turn and inserts another one for it at the end of the line, to be
// fetched after wait.
func (s *Store) RequeueTurn(ctx context.Context, turn int64, again Turn, wait time.Duration) error {
	var b pgx.Batch
	b.Queue(completeTurn, turn)
	addTurnsAfter(&b, []Turn{again}, wait)
	return wrap("requeue turn", s.Pool.SendBatch(ctx, &b).Close())
}

// AdoptTurn completes a turn that River runs, and inserts another one for it as if the
// node had fetched it. It returns 0 when the old one has ended before.
func (s *Store) AdoptTurn(ctx context.Context, turn int64) (id int64, err error) {
	err = s.Pool.QueryRow(ctx, `
		with old as (
			update river_job set state = 'completed', finalized_at = clock_timestamp() where id = $1 and state = 'running'
			returning kind, args, queue, priority, max_attempts, attempted_at, attempted_by, created_at, scheduled_at
		)
		insert into river_job (kind, args, queue, priority, max_attempts, state, attempt, attempted_at, attempted_by, created_at, scheduled_at)
		select kind, args, queue, priority, max_attempts, 'running', 1, attempted_at, attempted_by, created_at, scheduled_at from old
		returning id`, turn).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return id, wrap("adopt turn", err)
}

// ReturnTurn ends a turn that has not begun and inserts another one for it at its place
// in the line. It is another row, because River's completion of the old one must not
// meet the next fetch.
func (s *Store) ReturnTurn(ctx context.Context, turn int64, queue string) error {
	var b pgx.Batch
	b.Queue(`
		with ended as (
			update river_job set state = 'completed', finalized_at = clock_timestamp()
			where id = $1 and state = 'running' returning kind, args, queue, priority, max_attempts, scheduled_at
		)
		insert into river_job (kind, args, queue, priority, max_attempts, state, created_at, scheduled_at)
		select kind, args, queue, priority, max_attempts, 'available', clock_timestamp(), scheduled_at from ended`, turn)
	b.Queue(wakeSQL, []string{queue})
	return wrap("return turn", s.Pool.SendBatch(ctx, &b).Close())
}

// PostponeTurn puts a turn that failed on its node's account back into the line, to be
// fetched after wait, and keeps why as its error.
func (s *Store) PostponeTurn(ctx context.Context, turn int64, wait time.Duration, why error) error {
	_, err := s.Pool.Exec(ctx, `
		update river_job set state = 'available', scheduled_at = clock_timestamp() + $2::bigint * interval '1 microsecond',
			errors = array_append(errors, jsonb_build_object('at', clock_timestamp(), 'attempt', attempt, 'error', $3::text, 'trace', ''))
		where id = $1 and state = 'running'`, turn, wait.Microseconds(), cut(why.Error(), maxTurnError))
	return wrap("postpone turn", err)
}

// LeaveTurn ends a turn that has nothing to claim and subtracts it from the job's turns.
// It reports false, and changes nothing, where something can be claimed. A statement of
// its own locks the progress row, so that the next one sees all that was given back
// before. Its commit does not wait for the disk: a turn that a crash of Postgres restores
// is found unseen, and leaves again.
func (s *Store) LeaveTurn(ctx context.Context, turn int64, job string) (left bool, err error) {
	var b pgx.Batch
	b.Queue(asyncCommit)
	b.Queue(`select from progress where job_id = $1 for update`, job)
	b.Queue(`
		with off as (
			update progress p set turns = greatest(turns - 1, 0)
			where job_id = $1 and (halt is not null or ended or not (cursor < total or exists (
				select from backlog b where b.job_id = $1 and `+claimable+`)))
			returning job_id
		), so as materialized (
			select exists (select from off) or not exists (select from progress where job_id = $1) as left
		), done as (
			update river_job set state = 'completed', finalized_at = clock_timestamp()
			from so where so.left and id = $2 and state = 'running'
		)
		select so.left from so`, job, turn).
		QueryRow(func(row pgx.Row) error { return row.Scan(&left) })
	return left, wrap("leave job", s.Pool.SendBatch(ctx, &b).Close())
}

// maxTurnAttempts is how often River tries a turn that fails on its node's account.
// Recovery inserts a fresh one then.
const maxTurnAttempts = 100

// ReleaseUnseen makes the turns available again that have run on a node for more than
// 12 s by River's table, but are not among the ids that the node has seen: the answer to
// its fetch was lost.
func (s *Store) ReleaseUnseen(ctx context.Context, node string, seen []int64) (int64, error) {
	tag, err := s.Pool.Exec(ctx, `
		update river_job set state = 'available', scheduled_at = least(scheduled_at, now())
		where state = 'running' and kind = $1 and attempted_by[array_upper(attempted_by, 1)] = $2
			and attempted_at < clock_timestamp() - interval '12 seconds' and id <> all($3)`, TurnKind, node, seen)
	return tag.RowsAffected(), wrap("release unseen turns", err)
}

// RouseTurns makes the turns available that are due later than the longest wait from
// now, or were due longer ago than it, and reports how many. River writes when a failed
// turn is due by the clock of the node that ran it, and looks for due turns by its
// leader's clock. Where one of them is wrong, a turn would wait as long as it is off.
func (s *Store) RouseTurns(ctx context.Context, longest time.Duration) (int64, error) {
	// Queue, priority and now(), which is constant within the statement, let it use
	// the index by which River fetches.
	tag, err := s.Pool.Exec(ctx, `
		with put_off as (
			select id from river_job
			where state = 'available' and queue = any(array(select name from queues)) and priority = any('{1,2,3,4}')
				and scheduled_at > now() + $2::bigint * interval '1 microsecond'
			union all
			select id from river_job
			where state in ('retryable', 'scheduled') and abs(extract(epoch from now() - scheduled_at)) * 1000000 > $2
			limit 1000
		)
		update river_job r set state = 'available', scheduled_at = clock_timestamp()
		from put_off where r.id = put_off.id and r.kind = $1 and r.state in ('available', 'retryable', 'scheduled')`,
		TurnKind, longest.Microseconds())
	return tag.RowsAffected(), wrap("rouse turns", err)
}

// Idle lists at most 100 jobs that have something to claim but fewer turns than they may
// have.
func (s *Store) Idle(ctx context.Context) ([]string, error) {
	rows, err := s.Pool.Query(ctx, `
		select job_id from progress p
		where not ended and halt is null and turns < lanes
			and (cursor < total and turns < total - cursor + leased or exists (
				select from backlog b where b.job_id = p.job_id and `+claimable+`
				having sum(b.count) + p.leased > p.turns))
		limit 100`)
	if err != nil {
		return nil, wrap("find idle jobs", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return ids, wrap("find idle jobs", err)
}

// Recount sets the number of turns of every job that has not ended to what River has,
// and reports how many were wrong: an admin may have cancelled or deleted turns in
// River's pages.
func (s *Store) Recount(ctx context.Context) (int64, error) {
	tag, err := s.Pool.Exec(ctx, `
		with live as (
			select (args->>'job')::uuid as job_id, count(*)::int as n from river_job
			where kind = $1 and state in ('available', 'running', 'scheduled', 'retryable', 'pending')
			group by 1
		), wrong as (
			select p.job_id, coalesce(live.n, 0) as n from progress p left join live using (job_id)
			where not p.ended and p.turns <> coalesce(live.n, 0)
		)
		update progress p set turns = wrong.n from wrong where p.job_id = wrong.job_id and not p.ended`, TurnKind)
	return tag.RowsAffected(), wrap("recount turns", err)
}
