package store

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// An Attempt is a failed run of a task that was followed by another.
type Attempt struct {
	Index   int64           `json:"index"`
	Attempt int             `json:"attempt"`
	Error   *jobs.TaskError `json:"error"`
}

// queueAttempts keeps the failed attempts of a chunk, if its lease was ours:
// then this transaction has just left it to done.
func (r Record) queueAttempts(b *pgx.Batch) {
	var data []byte
	first, last := r.Attempts[0].Index, r.Attempts[0].Index
	for _, a := range r.Attempts {
		short := *a.Error
		short.Message, short.Traceback = cut(short.Message, maxGroupMessage), cut(short.Traceback, exampleTraceback)
		a.Error = &short
		line, err := json.Marshal(a)
		if err != nil {
			continue // a TaskError is always JSON
		}
		data = append(append(data, line...), '\n')
		first, last = min(first, a.Index), max(last, a.Index)
	}
	b.Queue(`
		insert into attempts (job_id, first, last, data) select $1, $2, $3, $4
		where exists (select from chunks c where c.id = $5 and c.state = 'done' and c.xmin = pg_current_xact_id()::xid)`,
		r.Job, first, last, data, r.Lease)
}

// maxAttemptRows bounds how many chunks' failed attempts are looked at for one
// task.
const maxAttemptRows = 1000

// attempts reads the failed attempts of a task that were followed by another.
func (s *Store) attempts(ctx context.Context, job string, index int64) ([]jobs.Attempt, error) {
	rows, err := s.Pool.Query(ctx, `
		select data from attempts where job_id = $1 and first <= $2 and last >= $2 order by id limit $3`, job, index, maxAttemptRows)
	if err != nil {
		return nil, wrap("read attempts", err)
	}
	list := []jobs.Attempt{}
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&data}, func() error {
		for _, line := range jobs.Lines(data) {
			var a Attempt
			if err := json.Unmarshal(line, &a); err != nil {
				return err
			}
			if a.Index == index {
				list = append(list, jobs.Attempt{Attempt: a.Attempt, Error: a.Error})
			}
		}
		return nil
	})
	return list, wrap("read attempts", err)
}
