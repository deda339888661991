package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// Bounds of the stored logs of a job, as NDJSON: the first maxLogHead bytes, and the
// last of the rest. Beyond MaxLogBytes each call keeps only its last lines, so that a
// job that prints much does not write all of it.
const (
	MaxLogBytes = 16 << 20
	maxLogHead  = 4 << 20
	maxLogCall  = 16 << 10
	logTrimStep = 1 << 20 // of what was printed, between two times that rows are removed
)

// AppendLogs stores lines that tasks of a chunk printed, if the lease is held:
// otherwise its present holder reports them. Beyond MaxLogBytes of the job the middle
// is deleted, which Logs reports. It wakes this node's subscribers to outcomes.
func (s *Store) AppendLogs(ctx context.Context, job string, lease int64, lines []jobs.LogLine) error {
	if len(lines) == 0 {
		return nil
	}
	var b pgx.Batch
	if err := addLogs(&b, job, lease, lines); err != nil {
		return err
	}
	if err := s.Pool.SendBatch(ctx, &b).Close(); err != nil {
		return wrap("append logs", err)
	}
	s.Feed.wake(job, outcomeNews)
	return nil
}

// addLogs adds the statements that store lines if the lease is held or this
// transaction has just recorded it.
func addLogs(b *pgx.Batch, job string, lease int64, lines []jobs.LogLine) error {
	var data bytes.Buffer
	encoder := json.NewEncoder(&data)
	encoder.SetEscapeHTML(false)
	whole, tail := tasksOf(lines), lines[len(lines)-1:]
	ends := make([]int, len(lines))
	for i, line := range lines {
		if err := encoder.Encode(line); err != nil {
			return fmt.Errorf("encode log line: %w", err)
		}
		ends[i] = data.Len()
	}
	from := 0 // where the tail begins
	for i := len(lines) - 1; i > 0; i-- {
		if tail, from = lines[i:], ends[i-1]; i > 1 && data.Len()-ends[i-2] > maxLogCall {
			break
		}
	}
	end := tasksOf(tail)
	b.Queue(`
		with p as (
			update progress set log_bytes = log_bytes + @size where job_id = @job
				and exists (select from chunks c where c.id = @lease
					and (c.state = 'leased' or c.state = 'done' and c.xmin = pg_current_xact_id()::xid))
			returning log_bytes > @most cut
		)
		insert into logs (job_id, first, last, data)
		select @job, case when cut then @end_first else @first::bigint end, case when cut then @end_last else @last::bigint end,
			case when cut then substring(@data::bytea from @from::int + 1) else @data end
		from p`,
		pgx.NamedArgs{
			"job": job, "lease": lease, "size": data.Len(), "most": MaxLogBytes, "data": data.Bytes(), "from": from,
			"first": whole[0], "last": whole[1], "end_first": end[0], "end_last": end[1],
		})
	b.Queue(`
		delete from logs where job_id = @job
			and (select log_bytes > @most and log_bytes / @step > (log_bytes - @size) / @step from progress where job_id = @job)
			and seq in (
				select seq from (
					select seq, sum(octet_length(data)) over (order by seq) upto, sum(octet_length(data)) over () total
					from logs where job_id = @job) sizes
				where upto > @head and total - upto >= @most - @head)`,
		pgx.NamedArgs{"job": job, "most": MaxLogBytes, "step": logTrimStep, "size": data.Len(), "head": maxLogHead})
	return nil
}

// tasksOf returns the lowest and the highest task of lines.
func tasksOf(lines []jobs.LogLine) [2]int64 {
	tasks := [2]int64{lines[0].Task, lines[0].Task}
	for _, line := range lines {
		tasks = [2]int64{min(tasks[0], line.Task), max(tasks[1], line.Task)}
	}
	return tasks
}

// A LogPage is a page of the lines that a job's tasks printed.
type LogPage struct {
	Lines []jobs.LogLine
	Seq   int64 // where the next page begins: pass it as after
	More  bool  // the next page has lines already
	Cut   bool  // the job printed more than is kept
}

// maxLogRows is how many rows one LogPage reads.
const maxLogRows = 32

// A LogFilter selects lines. Its zero value selects all.
type LogFilter struct {
	Task   *int64
	Stream string // stdout or stderr; empty for both
	Text   string // in the line, whatever the case
}

func (f LogFilter) wants(l *jobs.LogLine) bool {
	return (f.Task == nil || l.Task == *f.Task) && (f.Stream == "" || l.Stream == f.Stream) &&
		(f.Text == "" || strings.Contains(strings.ToLower(l.Line), strings.ToLower(f.Text)))
}

// Logs reads lines that a job's tasks printed and the filter selects, from the row
// behind the one numbered after on.
func (s *Store) Logs(ctx context.Context, job string, f LogFilter, after int64) (LogPage, error) {
	page := LogPage{Seq: after}
	rows, err := s.logRows(ctx, job, f, after, false)
	if err != nil {
		return page, err
	}
	for _, row := range rows {
		page.Seq = row.seq
		for _, l := range row.lines {
			if f.wants(&l) {
				page.Lines = append(page.Lines, l)
			}
		}
	}
	page.More = len(rows) == maxLogRows
	page.Cut, err = s.LogsCut(ctx, job)
	return page, err
}

// LogsCut reports whether a job printed more than is stored.
func (s *Store) LogsCut(ctx context.Context, job string) (cut bool, err error) {
	err = s.Pool.QueryRow(ctx, `select log_bytes > $2 from progress where job_id = $1`, job, MaxLogBytes).Scan(&cut)
	return cut, wrap("read logs", err)
}

// A LogPlace is a line's place in a job's logs.
type LogPlace struct {
	Seq  int64
	Line int
}

// LogsEnd is the place behind all lines.
var LogsEnd = LogPlace{Seq: math.MaxInt64}

func (p LogPlace) String() string { return fmt.Sprintf("%d-%d", p.Seq, p.Line) }

// ParseLogPlace parses the result of String.
func ParseLogPlace(text string) (p LogPlace, err error) {
	seq, line, _ := strings.Cut(text, "-")
	var err2 error
	p.Seq, err = strconv.ParseInt(seq, 10, 64)
	p.Line, err2 = strconv.Atoi(line)
	return p, errors.Join(err, err2)
}

// A LogWindow is a page of neighbouring lines among those that a filter selects, oldest
// first.
type LogWindow struct {
	Lines        []jobs.LogLine
	First, Last  LogPlace // of the first and the last line, where there are any
	Older, Newer bool     // there are further lines on that side
}

// LogWindow reads at most n lines: those right before a place, or with ahead those
// right behind it. It reads rows until it has n lines.
func (s *Store) LogWindow(ctx context.Context, job string, f LogFilter, at LogPlace, ahead bool, n int) (LogWindow, error) {
	var places []LogPlace
	var lines []jobs.LogLine
	from := at.Seq
	if ahead {
		from--
	} else if from < math.MaxInt64 {
		from++
	}
	for len(lines) <= n {
		rows, err := s.logRows(ctx, job, f, from, !ahead)
		if err != nil {
			return LogWindow{}, err
		}
		for _, row := range rows {
			from = row.seq
			for i := range row.lines {
				if !ahead {
					i = len(row.lines) - 1 - i
				}
				passed := row.seq == at.Seq && (ahead && i <= at.Line || !ahead && i >= at.Line)
				if !passed && len(lines) <= n && f.wants(&row.lines[i]) {
					lines, places = append(lines, row.lines[i]), append(places, LogPlace{row.seq, i})
				}
			}
		}
		if len(rows) < maxLogRows {
			break
		}
	}
	w := LogWindow{Older: ahead, Newer: !ahead && at != LogsEnd}
	if len(lines) > n {
		lines, places = lines[:n], places[:n]
		w.Older, w.Newer = w.Older || !ahead, w.Newer || ahead
	}
	if !ahead {
		slices.Reverse(lines)
		slices.Reverse(places)
	}
	w.Lines = lines
	if len(places) > 0 {
		w.First, w.Last = places[0], places[len(places)-1]
	}
	return w, nil
}

// A logRow is a row of lines.
type logRow struct {
	seq   int64
	lines []jobs.LogLine
}

// logRows reads the next rows behind one, or before one.
func (s *Store) logRows(ctx context.Context, job string, f LogFilter, from int64, back bool) ([]logRow, error) {
	compare, order := ">", "seq"
	if back {
		compare, order = "<", "seq desc"
	}
	rows, err := s.Pool.Query(ctx, fmt.Sprintf(`
		select seq, data from logs
		where job_id = $1 and seq %s $2 and ($3::bigint is null or first <= $3 and last >= $3)
		order by %s limit $4`, compare, order), job, from, f.Task, maxLogRows)
	if err != nil {
		return nil, wrap("read logs", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r logRow, err error) {
		var data []byte
		if err := row.Scan(&r.seq, &data); err != nil {
			return r, err
		}
		for line := range bytes.Lines(data) {
			var l jobs.LogLine
			if err := json.Unmarshal(line, &l); err != nil {
				return r, fmt.Errorf("decode log line: %w", err)
			}
			r.lines = append(r.lines, l)
		}
		return r, nil
	})
	return out, wrap("read logs", err)
}
