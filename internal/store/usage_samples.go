package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/allcores/allcores/internal/jobs/insight"
)

// AddSamples writes what a node did in the last seconds. Their time is the
// database's, whatever they say. A crash of Postgres may forget them.
func (s *Store) AddSamples(ctx context.Context, n insight.NodeSample, queues []insight.QueueSample) error {
	var b pgx.Batch
	b.Queue(`select set_config('synchronous_commit', 'off', true)`)
	b.Queue(`
		insert into node_samples (node_id, at, user_percent, system_percent, other_percent, cores, busy, load, memory)
		values ($1, clock_timestamp(), $2, $3, $4, $5, $6, $7, $8)`,
		n.Node, n.User, n.System, n.Other, n.Cores, n.Busy, n.Load, n.Memory)
	for _, q := range queues {
		b.Queue(`
			insert into queue_samples (queue, node_id, at, succeeded, failed, waits, runs)
			values ($1, $2, clock_timestamp(), $3, $4, $5, $6)`,
			q.Queue, n.Node, q.Succeeded, q.Failed, classes(q.Waits), classes(q.Runs))
	}
	return wrap("add samples", s.Pool.SendBatch(ctx, &b).Close())
}

// classes is a span as an array whose subscripts are the classes.
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

// samplesRead bounds the samples that are read at once, the newest first. It is
// enough for an hour of 50 nodes that work for two queues each.
const samplesRead = 75_000

// A SampleQuery says which samples are wanted.
type SampleQuery struct {
	After time.Time // by the database's clock; at most an hour ago
	Queue string    // of one queue; empty for those of all
	Node  string    // of one node; empty for those of all
	Cores bool      // what each core did
}

// Samples are what nodes did, newest first.
type Samples struct {
	Now    time.Time // the database's clock
	Queues []insight.QueueSample
	Nodes  []insight.NodeSample
}

// Samples reads samples in one round trip: those of queues unless only a node's
// are wanted, and the other way round.
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

// PruneSamples deletes at most limit samples of queues, and as many of nodes,
// that are kept no longer, and reports how many it deleted.
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
