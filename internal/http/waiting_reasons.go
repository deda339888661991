package http

import (
	"context"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// linesFor is how old the lines may be by which lists and streams say why jobs
// wait.
const linesFor = time.Second

// knownLines are the lines as last read, for all lists and streams together.
type knownLines struct {
	mu   sync.Mutex
	last *store.Lines
}

// explain notes in a job why it waits, with its place in line.
func (s *Site) explain(ctx context.Context, job *jobs.Job) error {
	w, err := s.store.Waiting(ctx, job)
	job.Explain(w)
	return err
}

// explainAll notes in each of the jobs why it waits, as far as that is known
// without a look at each of them. place says whether to tell of their places in
// line, which change all the time.
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

// read is the lines, read again when they are too old.
func (k *knownLines) read(ctx context.Context, from *store.Store) (*store.Lines, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last != nil && time.Since(k.last.At) < linesFor {
		return k.last, nil
	}
	lines, err := from.Lines(ctx)
	if err == nil {
		k.last = lines
	}
	return lines, err
}
