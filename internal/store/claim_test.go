package store_test

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// TestClaimRule checks that the claim rule in Go, which a job's insertion uses, equals
// the one in SQL: the first claims of a job get the same chunks from both.
func TestClaimRule(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	rapid.Check(t, func(r *rapid.T) {
		n := drawJob(r)
		n.OwnerID = admin.ID
		claims := drawClaims(r, n)
		inserted := n
		inserted.ID, inserted.Here = store.NewID(), claims
		begun, err := s.InsertJob(t.Context(), nil, inserted)
		if err != nil {
			r.Fatal(err)
		}
		n.ID = store.NewID()
		if _, err := s.InsertJob(t.Context(), nil, n); err != nil {
			r.Fatal(err)
		}
		var got, want []store.Lease
		for _, b := range begun {
			got = append(got, *b.Claimed.Lease)
		}
		var last store.Claimed
		for _, c := range claims {
			c.Job = n.ID
			claimed, err := s.Claim(t.Context(), c)
			if err != nil {
				r.Fatal(err)
			}
			if claimed.Lease == nil {
				break
			}
			last = claimed
			want = append(want, *claimed.Lease)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(store.Lease{}, "ID"), cmpopts.EquateEmpty()); diff != "" {
			r.Fatalf("SQL claims -, Go +\n%s", diff)
		}
		if len(begun) > 0 {
			if c := begun[len(begun)-1].Claimed; c.Unclaimed != last.Unclaimed || c.Lanes != last.Lanes {
				r.Fatalf("Go leaves %d unclaimed for %d lanes, SQL %d for %d", c.Unclaimed, c.Lanes, last.Unclaimed, last.Lanes)
			}
		}
		var a, b struct{ cursor, leased int64 }
		const position = `select cursor, leased from progress where job_id = $1`
		if err := s.Pool.QueryRow(t.Context(), position, inserted.ID).Scan(&a.cursor, &a.leased); err != nil {
			r.Fatal(err)
		}
		if err := s.Pool.QueryRow(t.Context(), position, n.ID).Scan(&b.cursor, &b.leased); err != nil {
			r.Fatal(err)
		}
		if a != b {
			r.Fatalf("Go leaves the job at %+v, SQL at %+v", a, b)
		}
	})
}

// drawJob draws a job with a range or items as inputs.
func drawJob(r *rapid.T) store.NewJob {
	tasks := rapid.OneOf(rapid.IntRange(1, 12), rapid.IntRange(1, 900), rapid.SampledFrom([]int{12, 24, 60, 240, 720})).Draw(r, "tasks")
	in := rangeOf(int64(tasks))
	if rapid.Bool().Draw(r, "items") {
		in = jobs.Inputs{}
		for i := range tasks {
			in.Items = append(in.Items, json.RawMessage(strconv.Itoa(i)))
		}
	}
	n := store.NewJob{
		Spec:  pythonSpec(in).WithDefaults(),
		Lanes: rapid.IntRange(1, 6).Draw(r, "lanes"),
		Turns: rapid.IntRange(1, 6).Draw(r, "turns"),
	}
	if rapid.Bool().Draw(r, "processes given") {
		processes := rapid.IntRange(1, 6).Draw(r, "processes")
		n.Spec.Policy.Processes = &processes
	}
	return n
}

// drawClaims draws the first claims of some of a job's turns.
func drawClaims(r *rapid.T, n store.NewJob) []store.Claim {
	claims := make([]store.Claim, rapid.IntRange(1, n.Turns).Draw(r, "claims"))
	for lane := range claims {
		claims[lane] = store.Claim{
			Job: n.ID, Node: node, Lane: lane, First: true, Ranged: n.Spec.Inputs.Range != nil,
			Want:  rapid.OneOf(rapid.IntRange(1, 5), rapid.IntRange(1, 1000), rapid.Just(1000)).Draw(r, "want"),
			Floor: rapid.OneOf(rapid.Just(1), rapid.IntRange(1, 40)).Draw(r, "floor"),
			Fixed: rapid.IntRange(0, 3).Draw(r, "fixed") == 3,
		}
	}
	return claims
}
