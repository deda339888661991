package http_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// lease claims n tasks of a job by hand, as a lane does: the test decides when
// they end. The server must be idle.
func (s *server) lease(id string, n int) *store.Lease {
	s.t.Helper()
	c, err := s.store.Claim(s.t.Context(), store.Claim{Job: id, Node: s.node, Want: n, Floor: n, Fixed: true, First: true, Ranged: true})
	if err != nil || c.Lease == nil || c.Lease.Count != n {
		s.t.Fatalf("claim %d of %s: %+v, %v", n, id, c, err)
	}
	return c.Lease
}

// record ends the tasks of a lease. Their outputs are their indexes; the tasks in
// failed fail.
func (s *server) record(id string, lease *store.Lease, failed ...int64) {
	s.t.Helper()
	run := outcomes.Encoded{First: lease.First, Count: lease.Count}
	for i := range lease.Count {
		index := lease.First + int64(i)
		code := outcomes.EncodeDuration(time.Millisecond)
		run.Durations = append(run.Durations, byte(code), byte(code>>8))
		if slices.Contains(failed, index) {
			run.Failed = append(run.Failed, int32(i))
			run.Outputs = outcomes.AppendFailure(run.Outputs, &jobs.TaskError{Kind: jobs.KindException, Type: "ValueError", Message: fmt.Sprintf("bad, \"%d\"", index)})
			continue
		}
		run.Outputs = fmt.Appendf(run.Outputs, "%d\n", index)
	}
	p, _, err := s.store.Record(s.t.Context(), store.Record{Job: id, Lease: lease.ID, Count: lease.Count, Outcomes: []outcomes.Encoded{run}, Notify: true}, nil)
	if err != nil || !p.Held {
		s.t.Fatalf("record: %+v, %v", p, err)
	}
}

// manual submits a job of n tasks that only the test claims.
func (s *server) manual(n int) string {
	s.t.Helper()
	return s.submit(fmt.Sprintf(`{"program":{"command":{"argv":["true"]}},"inputs":{"range":{"stop":%d}}}`, n)).ID
}
