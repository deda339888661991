package http

import (
	"context"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// linesFor is how old the lines of queues may be from which lists and streams
// explain why jobs wait.
const linesFor = time.Second

// knownLines are the lines that were read last, for all lists and streams.
type knownLines struct {
	exclusive // held while the lines are read
	last      *store.Lines
}

// explain sets in a job why it waits, with its place in line.
func (s *Site) explain(ctx context.Context, job *jobs.Job) error {
	w, err := s.store.Waiting(ctx, job)
	job.Explain(w)
	return err
}

// explainAll sets in each of the jobs why it waits, as far as that is known without
// a query for each. With place it includes their places in line, which change all
// the time.
func (s *Site) explainAll(ctx context.Context, list []*jobs.Job, place bool) error {
	var lines *store.Lines
	for _, job := range list {
		if !job.Unexplained() {
			continue
		}
		if lines == nil {
			var err error
			if lines, err = s.lines.read(ctx, s.store); err != nil {
				return err
			}
		}
		job.Explain(lines.Why(job, place))
	}
	return nil
}

// read returns the lines, which it reads again if they are too old.
func (k *knownLines) read(ctx context.Context, from *store.Store) (*store.Lines, error) {
	if err := k.acquire(ctx); err != nil {
		return nil, err
	}
	defer k.release()
	if k.last != nil && time.Since(k.last.At) < linesFor {
		return k.last, nil
	}
	lines, err := from.Lines(ctx)
	if err == nil {
		k.last = lines
	}
	return lines, err
}
