package store_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// TestEveryTaskIsCoveredOnce does what lanes and nodes may do to a job, in any
// order: claim, record some tasks while the others run on, once more where the answer
// was lost, record in full or in part, give back, lose a node, record late. Each task
// must get exactly one outcome, no two held leases may overlap, and the counts must
// always add up.
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
			"":             func(*rapid.T) { f.check() },
			"claim":        func(*rapid.T) { f.claim(rapid.SampledFrom(f.nodes).Draw(rt, "node")) },
			"record early": func(*rapid.T) { f.recordEarly() },
			"record":       func(*rapid.T) { f.recordSome() },
			"give back":    func(*rapid.T) { f.giveBack() },
			"lose a node":  func(*rapid.T) { f.loseNode() },
			"report late":  func(*rapid.T) { f.recordLate() },
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
	left []jobs.Span // tasks that have no outcome and were not given back
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
		for _, index := range indexes(l.left) {
			if covered[index] || f.outcome[index] > 0 {
				f.rt.Fatalf("task %d is leased twice, or again after its outcome", index)
			}
			covered[index] = true
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
		f.held = append(f.held, lease{c.Lease, node, []jobs.Span{{First: c.Lease.First, Count: c.Lease.Count}}})
	}
	return c.Lease != nil
}

// indexes returns the tasks of spans.
func indexes(spans []jobs.Span) (all []int64) {
	for _, s := range spans {
		for i := range int64(s.Count) {
			all = append(all, s.First+i)
		}
	}
	return all
}

// spansOf returns the spans of ascending tasks.
func spansOf(tasks []int64) (spans []jobs.Span) {
	for _, index := range tasks {
		if n := len(spans); n > 0 && spans[n-1].First+int64(spans[n-1].Count) == index {
			spans[n-1].Count++
			continue
		}
		spans = append(spans, jobs.Span{First: index, Count: 1})
	}
	return spans
}

// divide assigns each of the lease's tasks to one of n parts. In half of the cases
// these are neighbours, as of a process that runs one task at a time.
func (f *faults) divide(l lease, n int) [][]int64 {
	parts, tasks := make([][]int64, n), indexes(l.left)
	if rapid.Bool().Draw(f.rt, "neighbours") {
		for i := range n - 1 {
			k := rapid.IntRange(0, len(tasks)).Draw(f.rt, "part")
			parts[i], tasks = tasks[:k], tasks[k:]
		}
		parts[n-1] = tasks
		return parts
	}
	for _, index := range tasks {
		i := rapid.IntRange(0, n-1).Draw(f.rt, "part")
		parts[i] = append(parts[i], index)
	}
	return parts
}

// record records the outcomes of tasks of the lease, gives some back and leaves the
// others to it. It reports whether the lease was held.
func (f *faults) record(l lease, done, back, left []int64) bool {
	r := store.Record{Job: f.job, Lease: l.ID, Count: len(done) + len(back), Left: spansOf(left)}
	for _, s := range spansOf(done) {
		r.Outcomes = append(r.Outcomes, outcomesOf(s.First, s.Count))
	}
	for _, s := range spansOf(back) {
		r.Back = append(r.Back, store.BacklogSpan{First: s.First, Count: s.Count, Attempt: l.Attempt, Losses: l.Losses})
	}
	p, _, err := f.store.Record(f.t.Context(), r, nil)
	if err != nil {
		f.rt.Fatal(err)
	}
	if !p.Held {
		return false
	}
	for _, index := range done {
		f.outcome[index]++
	}
	if again, _, err := f.store.Record(f.t.Context(), r, nil); err != nil || again.Held {
		f.rt.Fatalf("a record is taken twice: %+v, %v", again, err)
	}
	return true
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
		parts := f.divide(l, 2)
		if !f.record(l, parts[0], parts[1], nil) {
			f.rt.Fatalf("lease %d was not held", l.ID)
		}
	}
}

func (f *faults) recordEarly() {
	l, ok := f.take(&f.held, "lease")
	if !ok {
		return
	}
	parts := f.divide(l, 3)
	if done, back, left := parts[0], parts[1], parts[2]; len(done) > 0 && len(left) > 0 {
		if !f.record(l, done, back, left) {
			f.rt.Fatalf("lease %d was not held", l.ID)
		}
		l.left = spansOf(left)
	}
	f.held = append(f.held, l)
}

func (f *faults) giveBack() {
	l, ok := f.take(&f.held, "lease")
	if !ok {
		return
	}
	parts := f.divide(l, 2)
	left, back := spansOf(parts[0]), spansOf(parts[1])
	if len(back) > 0 {
		p, err := f.store.GiveBack(f.t.Context(), l.ID, left, back)
		if err != nil || !p.Held {
			f.rt.Fatal(p, err)
		}
		if p, err := f.store.GiveBack(f.t.Context(), l.ID, left, back); err != nil || p.Held {
			f.rt.Fatal("given back twice: ", p, err)
		}
	}
	l.left = left
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
	l, ok := f.take(&f.lost, "late")
	if !ok || len(l.left) == 0 {
		return
	}
	tasks := indexes(l.left)
	k := rapid.IntRange(0, len(tasks)-1).Draw(f.rt, "early")
	if f.record(l, tasks[:k], nil, tasks[k:]) || f.record(l, tasks, nil, nil) {
		f.rt.Fatalf("a late record of lease %d was taken", l.ID)
	}
}

// finish runs the job to its end.
func (f *faults) finish(total int64) {
	for len(f.held) > 0 || f.claim(f.nodes[0]) {
		l := f.held[0]
		f.held = f.held[1:]
		if !f.record(l, indexes(l.left), nil, nil) {
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
