package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// Bounds of what one call of Outcomes holds in memory. The last row may be as much
// again.
const (
	maxOutcomeRows  = 256
	maxOutcomeBytes = 1 << 20
)

// A Block is a row of outcomes.
type Block struct {
	outcomes.Encoded
	Seq    int64          // order of completion within the job, from 1
	Groups []jobs.GroupID // of each of Failed
	Size   int64          // bytes of all outputs; Outputs has at most the first MiB of those not packed, see [Store.MoreOutputs]
}

// scan takes the columns first, count, seq, failed, groups, outputs, their
// length, durations and more, and unpacks them: Outputs are lines.
func (b *Block) scan(row pgx.Row, more ...any) error {
	var groups []int64
	columns := append([]any{&b.First, &b.Count, &b.Seq, &b.Failed, &groups, &b.Outputs, &b.Size, &b.Durations}, more...)
	if err := row.Scan(columns...); err != nil {
		return err
	}
	b.Groups = make([]jobs.GroupID, len(groups))
	for i, id := range groups {
		b.Groups[i] = jobs.GroupID(id)
	}
	b.Durations = outcomes.UnpackDurations(b.Durations, b.Count)
	if outcomes.Packed(b.Outputs) {
		b.Outputs = outcomes.Text(b.Outputs)
		b.Size = int64(len(b.Outputs))
	}
	return nil
}

// boundedBlocks reads blocks in an order, up to the bounds $3 and $4 of what one
// call holds. $1 is the job, $5 the longest line of a packed number.
const boundedBlocks = `
	select first, count, seq, failed, groups, substr(outputs, 1, $4::int), octet_length(outputs), durations from (
		select *, sum(size) over (order by %[1]s) - size as before
		from (select *, greatest(octet_length(outputs), count * $5::int) as size from outcomes where job_id = $1 and %[2]s order by %[1]s limit $3) page
	) page where before < $4::int order by %[1]s`

var (
	blocksByIndex = fmt.Sprintf(boundedBlocks, "first",
		`first >= coalesce((select max(o.first) from outcomes o where o.job_id = $1 and o.first <= $2), 0) and first + count > $2`)
	blocksFailed     = fmt.Sprintf(boundedBlocks, "first", `first + count > $2 and failed <> '{}'`)
	blocksOfGroup    = fmt.Sprintf(boundedBlocks, "first", `first + count > $2 and failed <> '{}' and $6::bigint = any(groups)`)
	blocksOfSmallJob = fmt.Sprintf(boundedBlocks, "first", `first >= $2 and (select p.ended and p.total <= $6 from progress p where p.job_id = $1)`)
	blocksBySeq      = fmt.Sprintf(boundedBlocks, "seq", `seq > $2`)
)

// A Pick selects the blocks that Outcomes reads.
type Pick struct {
	Failed bool         // only those with a failure
	Group  jobs.GroupID // only those with a failure of the group; 0 for any
}

// Outcomes reads the next outcomes of a job in the order of their indexes, from
// task index from on. The first block may begin before it.
func (s *Store) Outcomes(ctx context.Context, job string, from int64, pick Pick) ([]Block, error) {
	switch {
	case pick.Group != 0:
		return s.blocks(ctx, blocksOfGroup, job, from, int64(pick.Group))
	case pick.Failed:
		return s.blocks(ctx, blocksFailed, job, from)
	}
	return s.blocks(ctx, blocksByIndex, job, from)
}

// JobWithOutcomes reads a job as Job does. If the job has ended and has at most small
// tasks, it reads its outcomes from the first task on, as Outcomes does, in the same
// round trip.
func (s *Store) JobWithOutcomes(ctx context.Context, v Viewer, id string, small int64) (job *jobs.Job, first []Block, err error) {
	if !ValidID(id) {
		return nil, nil, fmt.Errorf("read job %q: %w", id, jobs.ErrNotFound)
	}
	var b pgx.Batch
	b.Queue(blocksOfSmallJob, id, 0, maxOutcomeRows, maxOutcomeBytes, outcomes.MaxNumberLine, small).
		Query(func(rows pgx.Rows) (err error) {
			first, err = collectBlocks(rows)
			return err
		})
	// The job is read last: when it is deleted in between it is not found, rather
	// than found without outcomes.
	b.Queue(oneJob, id, v.All, v.UserID).QueryRow(func(row pgx.Row) (err error) {
		job, err = scanJob(row)
		return err
	})
	if err := s.Pool.SendBatch(ctx, &b).Close(); err != nil {
		return nil, nil, wrap("read job", err)
	}
	return job, first, nil
}

// Unchanged checks that the outcomes which job had when it was read still exist. It
// returns ErrNotFound when the job was deleted since, and ErrConflict when it had
// ended and was retried.
func (s *Store) Unchanged(ctx context.Context, job *jobs.Job) error {
	var finished *time.Time
	err := s.Pool.QueryRow(ctx, `select finished_at from jobs where id = $1`, job.ID).Scan(&finished)
	if err != nil {
		return wrap("read job", err)
	}
	if job.FinishedAt != nil && (finished == nil || !finished.Equal(job.FinishedAt.Time)) {
		return fmt.Errorf("the job was retried: %w", jobs.ErrConflict)
	}
	return nil
}

// Completed reads the next outcomes of a job in the order of their completion, from
// the block behind the one with sequence number after on.
func (s *Store) Completed(ctx context.Context, job string, after int64) ([]Block, error) {
	return s.blocks(ctx, blocksBySeq, job, after)
}

// blocks reads blocks by one of the statements made of boundedBlocks; more are its
// parameters from $6 on.
func (s *Store) blocks(ctx context.Context, sql, job string, from int64, more ...any) ([]Block, error) {
	rows, err := s.Pool.Query(ctx, sql, append([]any{job, from, maxOutcomeRows, maxOutcomeBytes, outcomes.MaxNumberLine}, more...)...)
	if err != nil {
		return nil, wrap("read outcomes", err)
	}
	blocks, err := collectBlocks(rows)
	return blocks, wrap("read outcomes", err)
}

func collectBlocks(rows pgx.Rows) ([]Block, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (b Block, err error) {
		return b, b.scan(row)
	})
}

// MoreOutputs reads at most the next MiB of a block's outputs, from byte from on. It
// returns ErrNotFound when the block is gone because its job was retried or deleted.
func (s *Store) MoreOutputs(ctx context.Context, job string, seq, from int64) (data []byte, err error) {
	err = s.Pool.QueryRow(ctx, `select substr(outputs, $3::int, $4::int) from outcomes where job_id = $1 and seq = $2`,
		job, seq, from+1, maxOutcomeBytes).Scan(&data)
	return data, wrap("read outputs", err)
}

// HasOutcome reports whether a task of a job has an outcome.
func (s *Store) HasOutcome(ctx context.Context, job string, index int64) (bool, error) {
	var has bool
	err := s.Pool.QueryRow(ctx, `
		select first + count > $2 from outcomes where job_id = $1 and first <= $2 order by first desc limit 1`, job, index).Scan(&has)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return has, wrap("look for outcome", err)
}

// NextFailed returns the index of the first failed task of a job from index from on,
// or -1.
func (s *Store) NextFailed(ctx context.Context, job string, from int64) (int64, error) {
	index := int64(-1)
	err := s.Pool.QueryRow(ctx, `
		select o.first + f from outcomes o, unnest(o.failed) f
		where o.job_id = $1 and o.failed <> '{}' and o.first >= coalesce(
			(select max(p.first) from outcomes p where p.job_id = $1 and p.failed <> '{}' and p.first <= $2), 0)
			and o.first + f >= $2
		order by o.first, f limit 1`, job, from).Scan(&index)
	if errors.Is(err, pgx.ErrNoRows) {
		return -1, nil
	}
	return index, wrap("look for failure", err)
}

// FirstFailures returns, for each cell of size tasks of a job, the first failed task
// of a block that begins its failures there. That is cheap, and it is the first one of
// all in a cell that no earlier block reaches into.
func (s *Store) FirstFailures(ctx context.Context, job string, size int64) (map[int64]int64, error) {
	rows, err := s.Pool.Query(ctx, `
		select (first + failed[1]) / $2, min(first + failed[1]) from outcomes
		where job_id = $1 and failed <> '{}' group by 1`, job, size)
	if err != nil {
		return nil, wrap("read first failures", err)
	}
	found := make(map[int64]int64)
	var cell, index int64
	_, err = pgx.ForEachRow(rows, []any{&cell, &index}, func() error { found[cell] = index; return nil })
	return found, wrap("read first failures", err)
}
