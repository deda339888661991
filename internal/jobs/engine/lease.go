package engine

import (
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// A lease is a chunk that the lane has claimed and not yet recorded to its end.
type lease struct {
	store.Lease
	left  []jobs.Span // tasks still under it, ascending; replaced, never changed
	cut   bool        // part of it was given back
	stray bool        // a part could not be recorded: recovery puts back what the store has left
	early early
}

// early sums up the outcomes that were recorded while their chunk went on.
type early struct {
	tasks, bytes int
	ran          time.Duration // the tasks' wall time, summed
}

func newLease(l store.Lease) *lease {
	return &lease{Lease: l, left: []jobs.Span{{First: l.First, Count: l.Count}}}
}

// count is the number of tasks still under the lease.
func (h *lease) count() (n int) {
	for _, s := range h.left {
		n += s.Count
	}
	return n
}

// leave takes tasks out of the lease.
func (h *lease) leave(gone jobs.Span) {
	left := make([]jobs.Span, 0, len(h.left)+1)
	for _, s := range h.left {
		end, goneEnd := s.First+int64(s.Count), gone.First+int64(gone.Count)
		if before := min(end, gone.First) - s.First; before > 0 {
			left = append(left, jobs.Span{First: s.First, Count: int(before)})
		}
		if from := max(s.First, goneEnd); from < end {
			left = append(left, jobs.Span{First: from, Count: int(end - from)})
		}
	}
	h.left = left
}

// leaveEarly takes tasks out of the lease whose outcomes are recorded before its end.
// It returns their number.
func (h *lease) leaveEarly(runs []outcomes.Encoded) int {
	before := h.count()
	for _, run := range runs {
		h.leave(jobs.Span{First: run.First, Count: run.Count})
		h.early.tasks += run.Count
		h.early.bytes += len(run.Outputs)
		for i := range run.Count {
			took, _ := run.Duration(i)
			h.early.ran += took
		}
	}
	return before - h.count()
}
