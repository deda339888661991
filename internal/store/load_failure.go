package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// A LoadFailure is the report of a lane that cannot load its job's program.
type LoadFailure struct {
	Error  *jobs.TaskError
	Reason string        // of the job, if it ends with this
	Wait   time.Duration // before the task that stands for the failure runs again, if the job goes on
	Alone  bool          // no other node could run it meanwhile
	Limit  int           // attempts that a task may have

	// Last decides whether the job ends with it. Refuse calls it under the lock on
	// the job's progress, so that no other lane claims or records meanwhile.
	Last func(Others) bool
}

// Others are the facts about the other lanes of the job that Last needs.
type Others struct {
	Working bool // one holds a lease: it has loaded the program, or is about to
	Ran     bool // a task of the job has an outcome, so that the program could be loaded
	Turns   int  // of the job, the lane's own included
}

// Refused is the result of Refuse.
type Refused struct {
	Claimed bool // a task stands for the failure; otherwise nothing can be claimed now
	Others  Others
	Last    bool // the job ends with it
	Ended   bool // the job has ended
}

// Refuse records that a lane cannot load its job's program. One claimable task
// stands for it, so that the error is among the failures and the attempts. When Last
// says so the task fails and the job stops; otherwise the task goes back to the
// backlog with an attempt less. Claim and record are one transaction under the lock
// of the job's progress, so that of many lanes only one ends the job.
func (s *Store) Refuse(ctx context.Context, c Claim, f LoadFailure) (Refused, error) {
	c.Want, c.Floor, c.Fixed = 1, 1, true
	var refused Refused
	var failures map[jobs.ErrorKind]int64
	err := s.Tx(ctx, func(tx pgx.Tx) error {
		refused = Refused{}
		var b pgx.Batch
		var claimed Claimed
		c.addTo(&b, &claimed)
		b.Queue(`select leased > 1, succeeded + failed > 0, turns from progress where job_id = $1`, c.Job).
			QueryRow(func(row pgx.Row) error {
				o := &refused.Others
				return row.Scan(&o.Working, &o.Ran, &o.Turns)
			})
		if err := tx.SendBatch(ctx, &b).Close(); err != nil || claimed.Lease == nil {
			return wrap("claim chunk", err)
		}
		refused.Claimed = true
		refused.Last = f.Last(refused.Others)
		r := f.record(c.Job, claimed.Lease, refused)
		b = pgx.Batch{}
		var p Progress
		_, kinds, err := r.addTo(&b, &p)
		if err != nil {
			return err
		}
		failures = kinds
		if err := addLogs(&b, c.Job, r.Lease, r.Logs); err != nil {
			return err
		}
		s.addFinish(&b, c.Job, &refused.Ended)
		b.Queue(`select pg_notify($1, $2)`, channel, c.Job)
		return wrap("record chunk", tx.SendBatch(ctx, &b).Close())
	})
	if err != nil {
		return Refused{}, fmt.Errorf("refuse program: %w", err)
	}
	s.counter.recorded(0, failures)
	s.Feed.Wake(c.Job)
	return refused, nil
}

// record builds the record of the task that stands for the failure. Another lane may
// run the task at once if another node may load the program, or if it was loaded
// before.
func (f LoadFailure) record(job string, l *Lease, refused Refused) Record {
	r := Record{Job: job, Lease: l.ID, Count: 1}
	text := "the program could not be loaded: " + f.Error.Type + ": " + f.Error.Message
	if refused.Last {
		r.Halt = f.Reason
		r.Outcomes = []outcomes.Encoded{{
			First: l.First, Count: 1,
			Outputs: outcomes.AppendFailure(nil, f.Error), Failed: []int32{0}, Durations: []byte{0, 0},
		}}
	} else {
		text += fmt.Sprintf("; it is tried again in %v", f.Wait.Round(time.Millisecond))
		back := BacklogSpan{First: l.First, Count: 1, Attempt: l.Attempt, Losses: l.Losses}
		if f.Alone && !refused.Others.Ran {
			back.Wait = f.Wait
		}
		if l.Attempt < f.Limit {
			r.Attempts = []Attempt{{Index: l.First, Attempt: l.Attempt, Error: f.Error}}
			back.Attempt++
		}
		r.Back = []BacklogSpan{back}
	}
	r.Logs = []jobs.LogLine{{Task: l.First, Stream: "stderr", Line: text, At: jobs.Time{Time: time.Now()}}}
	return r
}
