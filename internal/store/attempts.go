package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// An Attempt is a failed run of a task that was followed by another.
type Attempt struct {
	Index   int64           `json:"index"`
	Attempt int             `json:"attempt"`
	Error   *jobs.TaskError `json:"error"`

	Chunk int64         `json:"chunk,omitempty"` // its lease, filled in by Record
	After time.Duration `json:"after,omitempty"` // since the chunk's start, in nanoseconds
	Took  time.Duration `json:"took,omitempty"`
}

// addAttempts adds the statement that keeps the failed attempts of a chunk, if this
// transaction has just recorded its lease.
func (r Record) addAttempts(b *pgx.Batch) {
	var data []byte
	first, last := r.Attempts[0].Index, r.Attempts[0].Index
	for _, a := range r.Attempts {
		short := *a.Error
		short.Message, short.Traceback = cut(short.Message, maxGroupMessage), cut(short.Traceback, exampleTraceback)
		short.Payload, short.PayloadDropped = "", false
		a.Error, a.Chunk = &short, r.Lease
		line, err := json.Marshal(a)
		if err != nil {
			continue // cannot fail for a TaskError
		}
		data = append(append(data, line...), '\n')
		first, last = min(first, a.Index), max(last, a.Index)
	}
	b.Queue(`
		insert into attempts (job_id, first, last, data) select $1, $2, $3, $4
		where exists (select from chunks c where c.id = $5 and c.xmin = pg_current_xact_id()::xid)`,
		r.Job, first, last, data, r.Lease)
}

// maxAttemptRows bounds the chunks whose failed attempts are read for one task.
const maxAttemptRows = 1000

// attempts reads the failed attempts of a task that another one followed.
func (s *Store) attempts(ctx context.Context, job string, index int64) ([]jobs.Attempt, error) {
	rows, err := s.Pool.Query(ctx, `
		select data from attempts where job_id = $1 and first <= $2 and last >= $2 order by id limit $3`, job, index, maxAttemptRows)
	if err != nil {
		return nil, wrap("read attempts", err)
	}
	list := []jobs.Attempt{}
	var found []Attempt
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&data}, func() error {
		for _, line := range outcomes.Lines(data) {
			var a Attempt
			if err := json.Unmarshal(line, &a); err != nil {
				return err
			}
			if a.Index == index {
				found = append(found, a)
			}
		}
		return nil
	})
	if err != nil || len(found) == 0 {
		return list, wrap("read attempts", err)
	}
	places, err := s.places(ctx, found)
	if err != nil {
		return nil, err
	}
	for _, a := range found {
		list = append(list, a.shown(places[a.Chunk]))
	}
	return list, nil
}

// A place is where and when a chunk was run.
type place struct {
	node, host        string
	core              *int
	started, finished *time.Time
}

// places reads where and when the chunks of attempts were run.
func (s *Store) places(ctx context.Context, attempts []Attempt) (map[int64]place, error) {
	ids := make([]int64, len(attempts))
	for i, a := range attempts {
		ids[i] = a.Chunk
	}
	rows, err := s.Pool.Query(ctx, `
		select c.id, c.node_id::text, coalesce(n.host, ''), c.core, c.started_at, c.finished_at
		from chunks c left join nodes n on n.id = c.node_id where c.id = any($1)`, ids)
	if err != nil {
		return nil, wrap("read chunks", err)
	}
	places := make(map[int64]place)
	var id int64
	var p place
	_, err = pgx.ForEachRow(rows, []any{&id, &p.node, &p.host, &p.core, &p.started, &p.finished}, func() error {
		places[id] = p
		p = place{}
		return nil
	})
	return places, wrap("read chunks", err)
}

// shown returns a as its user sees it. Attempts that were recorded without their
// chunk have only their error.
func (a Attempt) shown(p place) jobs.Attempt {
	t := jobs.Attempt{Attempt: a.Attempt, Error: a.Error, Node: p.host, NodeID: p.node, Core: p.core}
	if a.Chunk == 0 {
		return t
	}
	t.StartedAt = startedAt(p.started, p.finished, a.After, a.Took)
	if a.Took > 0 { // unknown where the process died
		ms := a.Took.Seconds() * 1000
		t.DurationMS = &ms
	}
	return t
}

// startedAt returns when a task began: after the tasks of its chunk before it. It is
// nil when the chunk's start is unknown. Where tasks of a chunk run at the same
// time, the start is an estimate; the task ended with its chunk at the latest.
func startedAt(started, finished *time.Time, after, took time.Duration) *jobs.Time {
	if started == nil {
		return nil
	}
	at := started.Add(after)
	if finished != nil && at.Add(took).After(*finished) {
		at = finished.Add(-took)
	}
	if at.Before(*started) {
		at = *started
	}
	return &jobs.Time{Time: at}
}
