package store

import (
	"context"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// Bounds of the inputs that an append holds in memory, to write them in one batch.
// More of them stream into the database.
const (
	maxFew      = 8192
	maxFewBytes = 1 << 20
)

// A few is inputs in memory.
type few struct {
	data []byte // lines
	ends []int  // of the lines in data
}

// all yields the inputs.
func (f *few) all(yield func([]byte) bool) {
	from := 0
	for _, end := range f.ends {
		if !yield(f.data[from : end-1]) {
			return
		}
		from = end
	}
}

// lines returns n inputs from one on, as lines.
func (f *few) lines(from, n int) []byte {
	begin := 0
	if from > 0 {
		begin = f.ends[from-1]
	}
	return f.data[begin:f.ends[from+n-1]:f.ends[from+n-1]]
}

// takeFew collects values in memory. Where they are too many it returns nil, and all of
// them as they come. stop must be called.
func takeFew(values iter.Seq2[[]byte, error]) (f *few, rest iter.Seq2[[]byte, error], stop func(), err error) {
	next, stop := iter.Pull2(values)
	f = new(few)
	for {
		value, err, ok := next()
		if err != nil || !ok {
			return f, nil, stop, err
		}
		f.data = append(append(f.data, value...), '\n')
		f.ends = append(f.ends, len(f.data))
		if len(f.ends) == maxFew || len(f.data) >= maxFewBytes {
			break
		}
	}
	first := f
	return nil, func(yield func([]byte, error) bool) {
		for value := range first.all {
			if !yield(value, nil) {
				return
			}
		}
		for value, err, ok := next(); ok && yield(value, err); value, err, ok = next() {
		}
	}, stop, nil
}

// A Start lets an append begin turns of its job on this node, with its first tasks
// claimed, as a submission does.
type Start struct {
	Work *Work // what a lane must know of the job

	// Claims acquires slots here for at most so many turns, for that many tasks, and
	// returns the first claims of their lanes. It must not wait.
	Claims func(turns int, tasks int64) []Claim

	Begun   []Begun // set by Append: the turns that begin, of the first Claims
	Missing bool    // set by Append: there may be more to claim than the job has turns for
}

// An openJobRow is what an append must know of its job.
type openJobRow struct {
	state                jobs.State
	sealed               bool
	halt                 string
	total, cursor        int64
	leased, lanes, turns int64
}

// lockOpen locks the progress of a job and reads it. The error is ErrConflict when the
// job takes no inputs.
func lockOpen(ctx context.Context, tx pgx.Tx, v Viewer, id string) (j openJobRow, err error) {
	if err := v.mayChange(id); err != nil {
		return j, err
	}
	var b pgx.Batch
	b.Queue(`select from progress where job_id = $1 for update`, id)
	b.Queue(`
		select j.state, p.sealed, coalesce(p.halt, ''), p.total, p.cursor, p.leased, p.lanes, p.turns
		from jobs j join progress p on p.job_id = j.id where j.id = $1 and ($2 or j.owner_id = $3)`, id, v.All, v.UserID).
		QueryRow(func(row pgx.Row) error {
			return row.Scan(&j.state, &j.sealed, &j.halt, &j.total, &j.cursor, &j.leased, &j.lanes, &j.turns)
		})
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return j, wrap("read job", err)
	}
	return j, refusesInputs(j.state, j.sealed)
}

// appendFew appends inputs that are in memory, and begins turns if r.Start is set.
func (s *Store) appendFew(ctx context.Context, r AppendRequest, f *few, and func(tx pgx.Tx, first, count int64) error) (first int64, err error) {
	err = s.Tx(ctx, func(tx pgx.Tx) error {
		j, err := lockOpen(ctx, tx, r.Viewer, r.Job)
		if err != nil {
			return err
		}
		work := r.work()
		if work == nil {
			if work, err = readWork(ctx, tx, r.Job); err != nil {
				return err
			}
		}
		if first = j.total; first+int64(len(f.ends)) > jobs.MaxTasks {
			return tooManyTasks()
		}
		var b pgx.Batch
		for block := range inputBlocks(f.all, first) {
			b.Queue(`insert into input_blocks (job_id, first, count, data) values ($1, $2, $3, $4)`, r.Job, block.first, block.count, block.data)
		}
		begun, claimed := r.Start.begin(&b, j, f)
		total := first + int64(len(f.ends))
		b.Queue(`
			update progress set total = $2, failures_allowed = $3, input_at = case when idle_us is not null then clock_timestamp() end,
				cursor = cursor + $4::bigint, leased = leased + $4::bigint, turns = turns + $5,
				newer_at = case when $4::bigint > 0 then coalesce(newer_at, clock_timestamp()) else newer_at end
			where job_id = $1`, r.Job, total, work.Policy.FailuresAllowed(total, false), claimed, begun)
		if begun > 0 {
			b.Queue(`update jobs set started_at = clock_timestamp() where id = $1 and started_at is null`, r.Job)
		}
		b.Queue(`select pg_notify($1, $2)`, channel, s.Feed.payload(r.Job, inputNews))
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return wrap("append inputs", err)
		}
		if r.Seal {
			if err := s.seal(ctx, tx, r.Job); err != nil {
				return err
			}
		}
		return and(tx, first, int64(len(f.ends)))
	})
	return first, err
}

// work returns what a lane must know of the job, or nil.
func (r *AppendRequest) work() *Work {
	if r.Start == nil {
		return nil
	}
	return r.Start.Work
}

// begin adds the statements that begin turns with the first of the inputs, and returns
// the numbers of turns and tasks. Where tasks before them are not claimed, those come
// first, by the turns that the job has or lacks.
func (s *Start) begin(b *pgx.Batch, j openJobRow, f *few) (turns int, claimed int64) {
	if s == nil {
		return 0, 0
	}
	count := int64(len(f.ends))
	if room := j.lanes - j.turns; j.halt == "" && j.cursor == j.total && room > 0 && count > 0 {
		claims := s.Claims(int(room), count)
		for i, c := range claims {
			left := count - claimed
			if left == 0 {
				break
			}
			n := c.share(left, int(j.turns)+len(claims))
			lease := &Lease{First: j.total + claimed, Count: int(n), Attempt: 1, Inputs: f.lines(int(claimed), int(n))}
			c.Lane = int(j.turns) + i
			s.Begun = append(s.Begun, Begun{Lane: c.Lane, Claimed: Claimed{Lease: lease, Lanes: int(j.lanes)}})
			s.Begun[i].addTo(b, Turn{Job: s.Work.Job, Lane: c.Lane, Queue: s.Work.Queue, Priority: s.Work.Priority}, c)
			claimed += n
		}
	}
	unclaimed := j.total + count - j.cursor - claimed
	for i := range s.Begun {
		s.Begun[i].Claimed.Unclaimed = unclaimed
	}
	have := j.turns + int64(len(s.Begun))
	s.Missing = j.halt == "" && unclaimed > 0 && have < min(j.lanes, unclaimed+j.leased+claimed)
	return len(s.Begun), claimed
}

// tooManyTasks is the error of an append beyond what a job may have.
func tooManyTasks() error {
	return fmt.Errorf("a job has at most %d tasks: %w", jobs.MaxTasks, jobs.ErrConflict)
}
