package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// MaxLogBytes is how much of what its tasks print is kept of one job, as NDJSON.
const MaxLogBytes = 16 << 20

// AppendLogs keeps lines that tasks of a chunk printed, as long as its lease is
// held: else whoever has it now says what they print. What is past MaxLogBytes
// of the job is dropped; Logs says so.
func (s *Store) AppendLogs(ctx context.Context, job string, lease int64, lines []jobs.LogLine) error {
	if len(lines) == 0 {
		return nil
	}
	var b pgx.Batch
	if err := queueLogs(&b, job, lease, lines); err != nil {
		return err
	}
	return wrap("append logs", s.Pool.SendBatch(ctx, &b).Close())
}

// queueLogs keeps lines if the lease is held, or was: then this transaction has
// just left it to done.
func queueLogs(b *pgx.Batch, job string, lease int64, lines []jobs.LogLine) error {
	var data bytes.Buffer
	encoder := json.NewEncoder(&data)
	encoder.SetEscapeHTML(false)
	first, last := lines[0].Task, lines[0].Task
	for _, line := range lines {
		if err := encoder.Encode(line); err != nil {
			return fmt.Errorf("encode log line: %w", err)
		}
		first, last = min(first, line.Task), max(last, line.Task)
	}
	b.Queue(`
		with p as (
			update progress set log_bytes = log_bytes + $2 where job_id = $1 and log_bytes < $3
				and exists (select from chunks c where c.id = $7
					and (c.state = 'leased' or c.state = 'done' and c.xmin = pg_current_xact_id()::xid))
			returning log_bytes
		)
		insert into logs (job_id, first, last, data) select $1, $4, $5, $6 from p where log_bytes <= $3`,
		job, data.Len(), MaxLogBytes, first, last, data.Bytes(), lease)
	return nil
}

// A LogPage is some of what a job's tasks printed.
type LogPage struct {
	Lines []jobs.LogLine
	Seq   int64 // where the next page begins: pass it as after
	More  bool  // the next page has lines already
	Cut   bool  // the job printed more than is kept
}

// maxLogRows is how many rows one LogPage reads.
const maxLogRows = 32

// Logs reads what a job's tasks, or one of them, printed, from after the row
// numbered after on.
func (s *Store) Logs(ctx context.Context, job string, task *int64, after int64) (LogPage, error) {
	rows, err := s.Pool.Query(ctx, `
		select seq, data from logs
		where job_id = $1 and seq > $2 and ($3::bigint is null or first <= $3 and last >= $3)
		order by seq limit $4`, job, after, task, maxLogRows)
	if err != nil {
		return LogPage{}, wrap("read logs", err)
	}
	return s.logPage(ctx, rows, job, task, after)
}

// LogTail reads the last lines that a job's tasks printed, at most n.
func (s *Store) LogTail(ctx context.Context, job string, n int) (LogPage, error) {
	rows, err := s.Pool.Query(ctx, `
		select seq, data from (select seq, data from logs where job_id = $1 order by seq desc limit $2) tail
		order by seq`, job, min(n, maxLogRows))
	if err != nil {
		return LogPage{}, wrap("read logs", err)
	}
	page, err := s.logPage(ctx, rows, job, nil, 0)
	page.Lines = page.Lines[max(len(page.Lines)-n, 0):]
	return page, err
}

func (s *Store) logPage(ctx context.Context, rows pgx.Rows, job string, task *int64, after int64) (LogPage, error) {
	page := LogPage{Seq: after}
	n := 0
	var data []byte
	_, err := pgx.ForEachRow(rows, []any{&page.Seq, &data}, func() error {
		n++
		for len(data) > 0 {
			line, rest, _ := bytes.Cut(data, []byte{'\n'})
			data = rest
			var l jobs.LogLine
			if err := json.Unmarshal(line, &l); err != nil {
				return fmt.Errorf("decode log line: %w", err)
			}
			if task == nil || l.Task == *task {
				page.Lines = append(page.Lines, l)
			}
		}
		return nil
	})
	if err != nil {
		return page, wrap("read logs", err)
	}
	page.More = n == maxLogRows
	err = s.Pool.QueryRow(ctx, `select log_bytes > $2 from progress where job_id = $1`, job, MaxLogBytes).Scan(&page.Cut)
	return page, wrap("read logs", err)
}
