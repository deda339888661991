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

// Bounds of what one call of Outcomes holds in memory: of the last row it may be
// as much again.
const (
	maxOutcomeRows  = 256
	maxOutcomeBytes = 1 << 20
)

// A Block is a run of outcomes as stored.
type Block struct {
	outcomes.Encoded
	Seq    int64          // order of completion within the job, from 1
	Groups []jobs.GroupID // of each of Failed
	Size   int64          // bytes of all its Outputs, which has the first MiB at most of those not packed; see [Store.MoreOutputs]
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

// $5 is the longest line of a packed number.
const boundedBlocks = `
	select first, count, seq, failed, groups, substr(outputs, 1, $4::int), octet_length(outputs), durations from (
		select *, sum(size) over (order by %[1]s) - size as before
		from (select *, greatest(octet_length(outputs), count * $5::int) as size from outcomes where job_id = $1 and %[2]s order by %[1]s limit $3) page
	) page where before < $4::int order by %[1]s`

// A Pick says which blocks Outcomes reads: those with a failure, and those with
// one of a group.
type Pick struct {
	Failed bool
	Group  jobs.GroupID // 0 for any
}

// Outcomes reads the next outcomes of a job in the order of their indexes, from
// task index from on; the first block may begin before it. It holds no
// transaction afterwards.
func (s *Store) Outcomes(ctx context.Context, job string, from int64, pick Pick) ([]Block, error) {
	condition := `first >= coalesce((select max(o.first) from outcomes o where o.job_id = $1 and o.first <= $2), 0)
		and first + count > $2`
	switch {
	case pick.Group != 0:
		condition = fmt.Sprintf(`first + count > $2 and failed <> '{}' and %d = any(groups)`, int64(pick.Group))
	case pick.Failed:
		condition = `first + count > $2 and failed <> '{}'`
	}
	return s.blocks(ctx, fmt.Sprintf(boundedBlocks, "first", condition), job, from)
}

// JobWithOutcomes reads a job as Job does, and in the same round trip what
// Outcomes would read from its first task on if it has ended and has at most
// small tasks.
func (s *Store) JobWithOutcomes(ctx context.Context, v Viewer, id string, small int64) (job *jobs.Job, first []Block, err error) {
	if !ValidID(id) {
		return nil, nil, fmt.Errorf("read job %q: %w", id, jobs.ErrNotFound)
	}
	var b pgx.Batch
	const condition = `first >= $2 and (select p.ended and p.total <= $6 from progress p where p.job_id = $1)`
	b.Queue(fmt.Sprintf(boundedBlocks, "first", condition), id, 0, maxOutcomeRows, maxOutcomeBytes, outcomes.MaxNumberLine, small).
		Query(func(rows pgx.Rows) (err error) {
			first, err = collectBlocks(rows)
			return err
		})
	// After its outcomes: a job that is deleted in between is not found, rather
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

// Unchanged makes sure that the outcomes which job had when it was read are still
// there. It is ErrNotFound when the job was deleted since, and ErrConflict when it
// had ended and was retried.
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

// Completed reads the next outcomes of a job in the order of their completion,
// from those after the block with sequence number after.
func (s *Store) Completed(ctx context.Context, job string, after int64) ([]Block, error) {
	return s.blocks(ctx, fmt.Sprintf(boundedBlocks, "seq", "seq > $2"), job, after)
}

func (s *Store) blocks(ctx context.Context, sql, job string, from int64) ([]Block, error) {
	rows, err := s.Pool.Query(ctx, sql, job, from, maxOutcomeRows, maxOutcomeBytes, outcomes.MaxNumberLine)
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

// MoreOutputs reads the next MiB at most of a block's Outputs, from byte from on.
// It is ErrNotFound when the block is not there any more because its job was
// retried or deleted.
func (s *Store) MoreOutputs(ctx context.Context, job string, seq, from int64) (data []byte, err error) {
	err = s.Pool.QueryRow(ctx, `select substr(outputs, $3::int, $4::int) from outcomes where job_id = $1 and seq = $2`,
		job, seq, from+1, maxOutcomeBytes).Scan(&data)
	return data, wrap("read outputs", err)
}

// HasOutcome reports whether a task of a job has its outcome already.
func (s *Store) HasOutcome(ctx context.Context, job string, index int64) (bool, error) {
	var has bool
	err := s.Pool.QueryRow(ctx, `
		select first + count > $2 from outcomes where job_id = $1 and first <= $2 order by first desc limit 1`, job, index).Scan(&has)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return has, wrap("look for outcome", err)
}

// NextFailed is the index of the first failed task of a job from index from
// on, or -1.
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

// FirstFailures finds, for each cell of size tasks of a job, the first failed
// task of some block of outcomes in it: cheap, and the first of all in a cell
// that no block crosses into.
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
