package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/allcores/allcores/internal/jobs/insight"
)

// AddSamples writes samples of a node's last seconds. Their time is the database's.
// A crash of Postgres may lose them.
func (s *Store) AddSamples(ctx context.Context, n insight.NodeSample, queues []insight.QueueSample) error {
	var b pgx.Batch
	b.Queue(`select set_config('synchronous_commit', 'off', true)`)
	b.Queue(`
		insert into node_samples (node_id, at, user_percent, system_percent, other_percent, cores, busy, load, memory)
		values (@node, clock_timestamp(), @user, @system, @other, @cores, @busy, @load, @memory)`, pgx.NamedArgs{
		"node": n.Node, "user": n.User, "system": n.System, "other": n.Other,
		"cores": n.Cores, "busy": n.Busy, "load": n.Load, "memory": n.Memory,
	})
	for _, q := range queues {
		b.Queue(`
			insert into queue_samples (queue, node_id, at, succeeded, failed, waits, runs)
			values (@queue, @node, clock_timestamp(), @succeeded, @failed, @waits, @runs)`, pgx.NamedArgs{
			"queue": q.Queue, "node": n.Node, "succeeded": q.Succeeded, "failed": q.Failed,
			"waits": classes(q.Waits), "runs": classes(q.Runs),
		})
	}
	return wrap("add samples", s.Pool.SendBatch(ctx, &b).Close())
}

// classes converts counts to an array whose subscripts are their classes.
func classes(s insight.ClassSpan) pgtype.Array[int32] {
	a := pgtype.Array[int32]{Elements: s.Counts, Dims: []pgtype.ArrayDimension{}, Valid: true}
	if len(s.Counts) > 0 {
		a.Dims = append(a.Dims, pgtype.ArrayDimension{Length: int32(len(s.Counts)), LowerBound: int32(s.First)})
	}
	return a
}

func span(a pgtype.Array[int32]) insight.ClassSpan {
	if len(a.Dims) != 1 {
		return insight.ClassSpan{}
	}
	return insight.ClassSpan{First: int(a.Dims[0].LowerBound), Counts: a.Elements}
}

// samplesRead bounds the samples of one call, the newest first. It is enough for an
// hour of 50 nodes that serve two queues each.
const samplesRead = 75_000

// A SampleQuery selects samples.
type SampleQuery struct {
	After time.Time // by the database's clock; at most an hour ago
	Queue string    // of one queue; empty for those of all
	Node  string    // of one node; empty for those of all
	Cores bool      // with the usage of each core
}

// Samples are samples of nodes and queues, newest first.
type Samples struct {
	Now    time.Time // the database's clock
	Queues []insight.QueueSample
	Nodes  []insight.NodeSample
}

// Samples reads samples in one round trip. A query for a node reads none of queues, a
// query for a queue none of nodes.
func (s *Store) Samples(ctx context.Context, q SampleQuery) (*Samples, error) {
	out := new(Samples)
	var b pgx.Batch
	b.Queue(`select clock_timestamp()`).QueryRow(func(row pgx.Row) error { return row.Scan(&out.Now) })
	if q.Node == "" {
		b.Queue(`
			select queue, node_id, at, succeeded, failed, waits, runs from queue_samples
			where at > greatest($1, now() - interval '1 hour') and ($2 = '' or queue = $2) order by at desc limit $3`, q.After, q.Queue, samplesRead).
			Query(func(rows pgx.Rows) (err error) {
				out.Queues, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (q insight.QueueSample, err error) {
					var waits, runs pgtype.Array[int32]
					err = row.Scan(&q.Queue, &q.Node, &q.At, &q.Succeeded, &q.Failed, &waits, &runs)
					q.Waits, q.Runs = span(waits), span(runs)
					return q, err
				})
				return err
			})
	}
	if q.Queue == "" {
		cores := `null::smallint[], null::smallint[]`
		if q.Cores {
			cores = `cores, busy`
		}
		b.Queue(`
			select node_id, at, user_percent, system_percent, other_percent, load, memory, `+cores+` from node_samples
			where at > greatest($1, now() - interval '1 hour') and ($2::uuid is null or node_id = $2) order by at desc limit $3`, q.After, nullable(q.Node), samplesRead).
			Query(func(rows pgx.Rows) (err error) {
				out.Nodes, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (n insight.NodeSample, err error) {
					err = row.Scan(&n.Node, &n.At, &n.User, &n.System, &n.Other, &n.Load, &n.Memory, &n.Cores, &n.Busy)
					return n, err
				})
				return err
			})
	}
	if err := s.Pool.SendBatch(ctx, &b).Close(); err != nil {
		return nil, wrap("read samples", err)
	}
	return out, nil
}

// PruneSamples deletes at most limit expired samples of queues and as many of nodes,
// and returns their number.
func (s *Store) PruneSamples(ctx context.Context, limit int) (n int64, err error) {
	for _, table := range []string{"queue_samples", "node_samples"} {
		tag, err := s.Pool.Exec(ctx, fmt.Sprintf(`
			delete from %[1]s where ctid = any(array(
				select ctid from %[1]s where at < now() - $1::bigint * interval '1 microsecond' order by at limit $2 for update skip locked))`, table),
			insight.HistoryKept.Microseconds(), limit)
		if err != nil {
			return n, wrap("prune samples", err)
		}
		n += tag.RowsAffected()
	}
	return n, nil
}
