package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// TestEveryTaskIsCoveredOnce does whatever lanes and nodes may do to a job, in
// any order: claim, record in full or in part, give back, lose a node, report
// late, retry. However it goes, each task gets exactly one outcome, no two
// leases that are held overlap, and the counts always add up.
func TestEveryTaskIsCoveredOnce(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	rapid.Check(t, func(rt *rapid.T) {
		ctx := t.Context()
		total := rapid.Int64Range(1, 300).Draw(rt, "total")
		spec := pythonSpec(rangeOf(total))
		id := insert(t, s, admin, spec)
		nodes := []string{store.NewID(), store.NewID()}
		for _, node := range nodes {
			register(t, s, node)
		}
		type hold struct {
			lease *store.Lease
			node  string
			left  int
		}
		var held, lost []hold
		outcome := make(map[int64]int)
		check := func() {
			j, err := s.Job(ctx, store.As(admin), id)
			if err != nil {
				rt.Fatal(err)
			}
			c := j.Counts
			if c.Waiting < 0 || c.Waiting+c.Running+c.Done() != c.Total {
				rt.Fatalf("counts do not add up: %+v", c)
			}
			if int64(len(outcome)) != c.Succeeded {
				rt.Fatalf("%d tasks have an outcome, %d are counted", len(outcome), c.Succeeded)
			}
			covered := make(map[int64]bool)
			for _, h := range held {
				for i := range int64(h.left) {
					if index := h.lease.First + i; covered[index] || outcome[index] > 0 {
						rt.Fatalf("task %d is leased twice, or again after its outcome", index)
					}
					covered[h.lease.First+i] = true
				}
			}
		}
		claim := func(node string) bool {
			c, err := s.Claim(ctx, store.Claim{Job: id, Node: node, Want: rapid.IntRange(1, 100).Draw(rt, "want"),
				Floor: rapid.IntRange(1, 10).Draw(rt, "floor"), Ranged: true, First: true})
			if err != nil {
				rt.Fatal(err)
			}
			if c.Lease != nil {
				held = append(held, hold{c.Lease, node, c.Lease.Count})
			}
			return c.Lease != nil
		}
		// finish records n of the chunk's tasks, and gives back the others.
		finish := func(h hold, n int, wait time.Duration) bool {
			r := store.Record{Job: id, Lease: h.lease.ID, Count: h.left}
			if n > 0 {
				r.Outcomes = []outcomes.Encoded{outcomesOf(h.lease.First, n)}
			}
			if n < h.left {
				r.Back = []store.BacklogSpan{{First: h.lease.First + int64(n), Count: h.left - n, Attempt: h.lease.Attempt, Losses: h.lease.Losses, Wait: wait}}
			}
			p, _, err := s.Record(ctx, r, nil)
			if err != nil {
				rt.Fatal(err)
			}
			if p.Held {
				for i := range int64(n) {
					outcome[h.lease.First+i]++
				}
			}
			return p.Held
		}
		take := func(from *[]hold, name string) (hold, bool) {
			if len(*from) == 0 {
				return hold{}, false
			}
			i := rapid.IntRange(0, len(*from)-1).Draw(rt, name)
			h := (*from)[i]
			*from = append((*from)[:i:i], (*from)[i+1:]...)
			return h, true
		}
		rt.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { check() },
			"claim": func(*rapid.T) {
				claim(rapid.SampledFrom(nodes).Draw(rt, "node"))
			},
			"record": func(*rapid.T) {
				if h, ok := take(&held, "lease"); ok {
					if !finish(h, rapid.IntRange(0, h.left).Draw(rt, "done"), 0) {
						rt.Fatalf("lease %d was not held", h.lease.ID)
					}
				}
			},
			"give back": func(*rapid.T) {
				h, ok := take(&held, "lease")
				if !ok {
					return
				}
				keep := rapid.IntRange(0, h.left).Draw(rt, "keep")
				if keep < h.left {
					p, err := s.GiveBack(ctx, h.lease.ID, keep, []jobs.Span{{First: h.lease.First + int64(keep), Count: h.left - keep}})
					if err != nil || !p.Held {
						rt.Fatal(p, err)
					}
				}
				h.left = keep
				held = append(held, h)
			},
			"lose a node": func(*rapid.T) {
				i := rapid.IntRange(0, len(nodes)-1).Draw(rt, "node")
				if err := s.Expire(ctx, nodes[i]); err != nil {
					rt.Fatal(err)
				}
				// Nodes of this test do not beat, so others may be taken for dead too.
				for expired := nodes[i]; slices.Contains(nodes, expired); {
					var dead *store.Lost
					err := s.Tx(ctx, func(tx pgx.Tx) (err error) { dead, err = s.TakeBack(ctx, tx); return err })
					if err != nil || dead == nil {
						rt.Fatal(dead, err)
					}
					var keep []hold
					for _, h := range held {
						if h.node == dead.Node {
							lost = append(lost, h)
						} else {
							keep = append(keep, h)
						}
					}
					held = keep
					if i := slices.Index(nodes, dead.Node); i >= 0 {
						nodes[i] = store.NewID()
						register(t, s, nodes[i])
					}
				}
			},
			"report late": func(*rapid.T) {
				if h, ok := take(&lost, "late"); ok && h.left > 0 && finish(h, h.left, 0) {
					rt.Fatalf("a late record of lease %d was taken", h.lease.ID)
				}
			},
		})
		for len(held) > 0 || claim(nodes[0]) {
			h := held[0]
			held = held[1:]
			if !finish(h, h.left, 0) {
				rt.Fatalf("lease %d was not held", h.lease.ID)
			}
		}
		check()
		for i := range total {
			if outcome[i] != 1 {
				rt.Fatalf("task %d has %d outcomes", i, outcome[i])
			}
		}
		j, err := s.Job(ctx, store.As(admin), id)
		if err != nil || j.State != jobs.Succeeded {
			rt.Fatalf("the job is %s, %v", j.State, err)
		}
		var rows string
		err = s.Pool.QueryRow(ctx, `select string_agg(first || '+' || count, ' ' order by first) from outcomes where job_id = $1`, id).Scan(&rows)
		if err != nil || rows == "" {
			rt.Fatal(fmt.Errorf("read outcomes: %w", err))
		}
	})
}
