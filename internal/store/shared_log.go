package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// sharedMark begins the payload of a notification for a node's shared calls and
// answers; the node's id follows.
const sharedMark = "@"

// WatchShared subscribes to notifications of calls and answers for a node.
func (f *Feed) WatchShared(node string) *Sub { return f.Watch(sharedMark + node) }

// A SharedAppend is what a home writes at once.
type SharedAppend struct {
	Scope int64
	Node  string
	Epoch int64

	Seq  int64  // of the row; rows have no gaps
	Data []byte // may be empty where there are only answers

	Answers []SharedAnswer // to calls of other nodes
}

// A SharedAnswer answers a call of another node.
type SharedAnswer struct {
	Call int64
	Node string
	Data []byte
}

// fence selects the scope, and locks it against another home, where the node is its
// home under the epoch and was not declared dead. Parameters are scope, node and epoch.
const fence = ` select s.id from shared_scopes s where s.id = $1 and s.node_id = $2 and s.epoch = $3
	and exists (select from nodes n where n.id = s.node_id and n.state = 'alive') for share `

// AppendShared appends to a scope's log and answers calls, in one commit. It reports
// false, and writes nothing, where the node is not the home under the epoch any more.
// An append that was written already does nothing.
func (s *Store) AppendShared(ctx context.Context, a SharedAppend) (held bool, err error) {
	calls, nodes, data := make([]int64, len(a.Answers)), make([]string, len(a.Answers)), make([][]byte, len(a.Answers))
	for i, answer := range a.Answers {
		calls[i], nodes[i], data[i] = answer.Call, answer.Node, answer.Data
	}
	if len(calls) == 0 {
		err = s.Pool.QueryRow(ctx, `
			with h as materialized (`+fence+`), l as (
				insert into shared_log (scope_id, seq, data) select id, $4, $5 from h on conflict do nothing
			)
			select exists (select from h)`, a.Scope, a.Node, a.Epoch, a.Seq, a.Data).Scan(&held)
		return held, wrap("append to shared log", err)
	}
	err = s.Pool.QueryRow(ctx, `
		with h as materialized (`+fence+`), l as (
			insert into shared_log (scope_id, seq, data) select id, $4, $5 from h on conflict do nothing
		), gone as (
			delete from shared_calls c using h where c.id = any($6::bigint[])
			returning c.id
		), a as (
			insert into shared_answers (call_id, node_id, data)
			select r.call, r.node, r.data from h, unnest($6::bigint[], $7::uuid[], $8::bytea[]) as r (call, node, data)
			join gone on gone.id = r.call
			on conflict do nothing returning node_id
		)
		select exists (select from h), count(pg_notify('`+channel+`', '`+sharedMark+`' || node_id))
		from (select distinct node_id from a) n`,
		a.Scope, a.Node, a.Epoch, a.Seq, a.Data, calls, nodes, data).Scan(&held, nil)
	return held, wrap("append to shared log", err)
}

// maxSnapshotPart is how many bytes of a snapshot are in one row.
const maxSnapshotPart = 4 << 20

// SaveShared replaces a scope's snapshot, which has the log up to seq, and deletes that
// part of the log. It reports false, and writes nothing, where the node is not the home
// under the epoch any more.
func (s *Store) SaveShared(ctx context.Context, at SharedAppend, snapshot []byte) (held bool, err error) {
	err = s.Tx(ctx, func(tx pgx.Tx) error {
		var id int64
		err := tx.QueryRow(ctx, fence, at.Scope, at.Node, at.Epoch).Scan(&id)
		if isGone(err) {
			return nil
		}
		if err != nil {
			return wrap("save shared snapshot", err)
		}
		held = true
		var b pgx.Batch
		b.Queue(`delete from shared_snapshots where scope_id = $1`, id)
		for part := 0; part*maxSnapshotPart < len(snapshot); part++ {
			end := min((part+1)*maxSnapshotPart, len(snapshot))
			b.Queue(`insert into shared_snapshots (scope_id, part, data) values ($1, $2, $3)`, id, part, snapshot[part*maxSnapshotPart:end])
		}
		b.Queue(`delete from shared_log where scope_id = $1 and seq <= $2`, id, at.Seq)
		b.Queue(`update shared_scopes set snapshot_seq = $2 where id = $1`, id, at.Seq)
		return wrap("save shared snapshot", tx.SendBatch(ctx, &b).Close())
	})
	return held, err
}

// A SharedState is what a scope's new home loads.
type SharedState struct {
	Snapshot []byte // empty for none
	Log      []byte // the events after it
	Seq      int64  // of the last row of the log, or of the snapshot
}

// LoadShared reads a scope's snapshot and log. The caller must have become its home.
func (s *Store) LoadShared(ctx context.Context, scope int64) (st SharedState, err error) {
	tx, err := s.Pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return st, wrap("load shared scope", err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // it only reads
	if err := tx.QueryRow(ctx, `select snapshot_seq from shared_scopes where id = $1`, scope).Scan(&st.Seq); err != nil {
		return st, wrap("load shared scope", err)
	}
	var data []byte
	rows, err := tx.Query(ctx, `select data from shared_snapshots where scope_id = $1 order by part`, scope)
	if err != nil {
		return st, wrap("load shared snapshot", err)
	}
	if _, err = pgx.ForEachRow(rows, []any{&data}, func() error {
		st.Snapshot = append(st.Snapshot, data...)
		return nil
	}); err != nil {
		return st, wrap("load shared snapshot", err)
	}
	var seq int64
	rows, err = tx.Query(ctx, `select seq, data from shared_log where scope_id = $1 and seq > $2 order by seq`, scope, st.Seq)
	if err != nil {
		return st, wrap("load shared log", err)
	}
	_, err = pgx.ForEachRow(rows, []any{&seq, &data}, func() error {
		if seq != st.Seq+1 {
			return fmt.Errorf("row %d of the shared log follows %d", seq, st.Seq)
		}
		st.Seq, st.Log = seq, append(st.Log, data...)
		return nil
	})
	return st, wrap("load shared log", err)
}
