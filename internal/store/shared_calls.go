package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// A SharedCall is a call of another node to a scope's home.
type SharedCall struct {
	ID    int64
	Scope int64
	Node  string // from which it comes
	Data  []byte
	Dead  bool // the node was declared dead: its tasks run elsewhere, and may have their outcomes
}

// SendShared writes calls of a node to a scope, and notifies its home. It returns their
// ids, in order, and whether the scope has no living home. Where the scope does not
// exist there are no ids.
func (s *Store) SendShared(ctx context.Context, scope int64, node string, calls [][]byte) (ids []int64, homeless bool, err error) {
	rows, err := s.Pool.Query(ctx, `
		with h as materialized (
			select n.id as node_id from shared_scopes s left join nodes n on n.id = s.node_id and n.state = 'alive'
			where s.id = $1 for key share of s
		), c as (
			insert into shared_calls (scope_id, node_id, data)
			select $1, $2, c.data from h, unnest($3::bytea[]) with ordinality as c (data, n) order by c.n
			returning id
		)
		select c.id, h.node_id is null, case when row_number() over () = 1 and h.node_id is not null then pg_notify('`+channel+`', '`+sharedMark+`' || h.node_id)::text end
		from c, h order by c.id`, scope, node, calls)
	if err != nil {
		return nil, false, wrap("send shared calls", err)
	}
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&id, &homeless, nil}, func() error {
		ids = append(ids, id)
		return nil
	})
	return ids, homeless, wrap("send shared calls", err)
}

// TakeSharedCalls returns the calls to scopes whose home is the node, in order, each once
// in an epoch, at most limit. They stay until they are answered.
func (s *Store) TakeSharedCalls(ctx context.Context, node string, limit int) ([]SharedCall, error) {
	rows, err := s.Pool.Query(ctx, `
		with due as materialized (
			select c.id, s.epoch, coalesce(n.state = 'dead', true) as dead
			from shared_scopes s join shared_calls c on c.scope_id = s.id left join nodes n on n.id = c.node_id
			where s.node_id = $1 and c.epoch < s.epoch order by c.id limit $2
		), taken as (
			update shared_calls c set epoch = due.epoch from due where c.id = due.id
			returning c.id, c.scope_id, c.node_id::text, c.data, due.dead
		)
		select * from taken order by id`, node, limit)
	if err != nil {
		return nil, wrap("take shared calls", err)
	}
	calls, err := pgx.CollectRows(rows, pgx.RowToStructByPos[SharedCall])
	return calls, wrap("take shared calls", err)
}

// TakeSharedAnswers returns the answers for a node and deletes them.
func (s *Store) TakeSharedAnswers(ctx context.Context, node string) ([]SharedAnswer, error) {
	rows, err := s.Pool.Query(ctx, `
		delete from shared_answers where call_id in (select call_id from shared_answers where node_id = $1 order by call_id limit 10000)
		returning call_id, node_id::text, data`, node)
	if err != nil {
		return nil, wrap("take shared answers", err)
	}
	answers, err := pgx.CollectRows(rows, pgx.RowToStructByPos[SharedAnswer])
	return answers, wrap("take shared answers", err)
}

// LostSharedCalls returns those of the calls that are neither waiting nor answered.
func (s *Store) LostSharedCalls(ctx context.Context, calls []int64) ([]int64, error) {
	rows, err := s.Pool.Query(ctx, `
		select c.id from unnest($1::bigint[]) as c (id)
		where not exists (select from shared_calls w where w.id = c.id) and not exists (select from shared_answers a where a.call_id = c.id)`, calls)
	if err != nil {
		return nil, wrap("find lost shared calls", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	return ids, wrap("find lost shared calls", err)
}

// ForgetSharedCalls deletes the calls of nodes that are not alive and the answers for
// them, at most limit of each.
func (s *Store) ForgetSharedCalls(ctx context.Context, limit int) error {
	_, err := s.Pool.Exec(ctx, `
		with calls as (
			delete from shared_calls where id in (
				select id from shared_calls c where not exists (select from nodes n where n.id = c.node_id and n.state = 'alive')
				order by id limit $1)
		)
		delete from shared_answers where call_id in (
			select call_id from shared_answers a where not exists (select from nodes n where n.id = a.node_id and n.state = 'alive')
			order by call_id limit $1)`, limit)
	return wrap("forget shared calls", err)
}
