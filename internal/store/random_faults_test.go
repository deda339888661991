package store_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// TestEveryTaskIsCoveredOnce does what lanes and nodes may do to a job, in any
// order: claim, record in full or in part, give back, lose a node, record late. Each
// task must get exactly one outcome, no two held leases may overlap, and the counts
// must always add up.
func TestEveryTaskIsCoveredOnce(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	rapid.Check(t, func(rt *rapid.T) {
		total := rapid.Int64Range(1, 300).Draw(rt, "total")
		f := &faults{
			t: t, rt: rt, store: s, admin: admin, job: insert(t, s, admin, pythonSpec(rangeOf(total))),
			nodes: []string{store.NewID(), store.NewID()}, outcome: make(map[int64]int),
		}
		for _, node := range f.nodes {
			register(t, s, node)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"":            func(*rapid.T) { f.check() },
			"claim":       func(*rapid.T) { f.claim(rapid.SampledFrom(f.nodes).Draw(rt, "node")) },
			"record":      func(*rapid.T) { f.recordSome() },
			"give back":   func(*rapid.T) { f.giveBack() },
			"lose a node": func(*rapid.T) { f.loseNode() },
			"report late": func(*rapid.T) { f.recordLate() },
		})
		f.finish(total)
	})
}

// faults is a job under random faults, and the expected state.
type faults struct {
	t     *testing.T
	rt    *rapid.T
	store *store.Store
	admin *jobs.User

	job        string
	nodes      []string
	held, lost []lease
	outcome    map[int64]int // outcomes recorded of each task
}

// A lease is one that a node holds or held.
type lease struct {
	*store.Lease
	node string
	left int // tasks that it was not given back
}

func (f *faults) check() {
	j, err := f.store.Job(f.t.Context(), store.As(f.admin), f.job)
	if err != nil {
		f.rt.Fatal(err)
	}
	c := j.Counts
	if c.Waiting < 0 || c.Waiting+c.Running+c.Done() != c.Total {
		f.rt.Fatalf("counts do not add up: %+v", c)
	}
	if int64(len(f.outcome)) != c.Succeeded {
		f.rt.Fatalf("%d tasks have an outcome, %d are counted", len(f.outcome), c.Succeeded)
	}
	covered := make(map[int64]bool)
	for _, l := range f.held {
		for i := range int64(l.left) {
			if index := l.First + i; covered[index] || f.outcome[index] > 0 {
				f.rt.Fatalf("task %d is leased twice, or again after its outcome", index)
			}
			covered[l.First+i] = true
		}
	}
}

func (f *faults) claim(node string) bool {
	c, err := f.store.Claim(f.t.Context(), store.Claim{Job: f.job, Node: node, Want: rapid.IntRange(1, 100).Draw(f.rt, "want"),
		Floor: rapid.IntRange(1, 10).Draw(f.rt, "floor"), Ranged: true, First: true})
	if err != nil {
		f.rt.Fatal(err)
	}
	if c.Lease != nil {
		f.held = append(f.held, lease{c.Lease, node, c.Lease.Count})
	}
	return c.Lease != nil
}

// record records n of the lease's tasks and gives back the others. It reports
// whether the lease was held.
func (f *faults) record(l lease, n int) bool {
	r := store.Record{Job: f.job, Lease: l.ID, Count: l.left}
	if n > 0 {
		r.Outcomes = []outcomes.Encoded{outcomesOf(l.First, n)}
	}
	if n < l.left {
		r.Back = []store.BacklogSpan{{First: l.First + int64(n), Count: l.left - n, Attempt: l.Attempt, Losses: l.Losses}}
	}
	p, _, err := f.store.Record(f.t.Context(), r, nil)
	if err != nil {
		f.rt.Fatal(err)
	}
	if p.Held {
		for i := range int64(n) {
			f.outcome[l.First+i]++
		}
	}
	return p.Held
}

// take removes one of the leases.
func (f *faults) take(from *[]lease, name string) (lease, bool) {
	if len(*from) == 0 {
		return lease{}, false
	}
	i := rapid.IntRange(0, len(*from)-1).Draw(f.rt, name)
	l := (*from)[i]
	*from = append((*from)[:i:i], (*from)[i+1:]...)
	return l, true
}

func (f *faults) recordSome() {
	if l, ok := f.take(&f.held, "lease"); ok {
		if !f.record(l, rapid.IntRange(0, l.left).Draw(f.rt, "done")) {
			f.rt.Fatalf("lease %d was not held", l.ID)
		}
	}
}

func (f *faults) giveBack() {
	l, ok := f.take(&f.held, "lease")
	if !ok {
		return
	}
	keep := rapid.IntRange(0, l.left).Draw(f.rt, "keep")
	if keep < l.left {
		p, err := f.store.GiveBack(f.t.Context(), l.ID, keep, []jobs.Span{{First: l.First + int64(keep), Count: l.left - keep}})
		if err != nil || !p.Held {
			f.rt.Fatal(p, err)
		}
	}
	l.left = keep
	f.held = append(f.held, l)
}

// loseNode expires a node and takes back what it had.
func (f *faults) loseNode() {
	ctx := f.t.Context()
	i := rapid.IntRange(0, len(f.nodes)-1).Draw(f.rt, "node")
	if err := f.store.Expire(ctx, f.nodes[i]); err != nil {
		f.rt.Fatal(err)
	}
	// Nodes of this test send no heartbeats, so others may be taken for dead too.
	for expired := f.nodes[i]; slices.Contains(f.nodes, expired); {
		var dead *store.Lost
		err := f.store.Tx(ctx, func(tx pgx.Tx) (err error) { dead, err = f.store.TakeBack(ctx, tx); return err })
		if err != nil || dead == nil {
			f.rt.Fatal(dead, err)
		}
		var keep []lease
		for _, l := range f.held {
			if l.node == dead.Node {
				f.lost = append(f.lost, l)
			} else {
				keep = append(keep, l)
			}
		}
		f.held = keep
		if i := slices.Index(f.nodes, dead.Node); i >= 0 {
			f.nodes[i] = store.NewID()
			register(f.t, f.store, f.nodes[i])
		}
	}
}

func (f *faults) recordLate() {
	if l, ok := f.take(&f.lost, "late"); ok && l.left > 0 && f.record(l, l.left) {
		f.rt.Fatalf("a late record of lease %d was taken", l.ID)
	}
}

// finish runs the job to its end.
func (f *faults) finish(total int64) {
	for len(f.held) > 0 || f.claim(f.nodes[0]) {
		l := f.held[0]
		f.held = f.held[1:]
		if !f.record(l, l.left) {
			f.rt.Fatalf("lease %d was not held", l.ID)
		}
	}
	f.check()
	for i := range total {
		if f.outcome[i] != 1 {
			f.rt.Fatalf("task %d has %d outcomes", i, f.outcome[i])
		}
	}
	ctx := f.t.Context()
	j, err := f.store.Job(ctx, store.As(f.admin), f.job)
	if err != nil || j.State != jobs.Succeeded {
		f.rt.Fatalf("the job is %s, %v", j.State, err)
	}
	var rows string
	err = f.store.Pool.QueryRow(ctx, `select string_agg(first || '+' || count, ' ' order by first) from outcomes where job_id = $1`, f.job).Scan(&rows)
	if err != nil || rows == "" {
		f.rt.Fatal(fmt.Errorf("read outcomes: %w", err))
	}
}
