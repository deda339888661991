package jobs_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/allcores/allcores/internal/jobs"
)

func TestSpans(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		indexes := rapid.SliceOfN(rapid.Int64Range(0, 40), 0, 30).Draw(t, "indexes")
		first := rapid.Int64Range(0, 40).Draw(t, "first")
		end := rapid.Int64Range(first, 41).Draw(t, "end")
		has := map[int64]bool{}
		for _, index := range indexes {
			has[index] = true
		}
		spans := jobs.SpansOf(indexes)
		if spans.Tasks() != int64(len(has)) {
			t.Fatalf("%v has %d tasks, want %d", spans, spans.Tasks(), len(has))
		}
		for i, span := range spans {
			if span.Count < 1 || i > 0 && spans[i-1].End() >= span.First {
				t.Fatalf("%v are not disjoint, ascending and apart", spans)
			}
		}
		others := rapid.SliceOfN(rapid.Int64Range(0, 40), 0, 30).Draw(t, "others")
		and, without := spans.And(jobs.SpansOf(others)), spans.Without(jobs.SpansOf(others))
		in, out := spans.Divide(first, end)
		for index := int64(-1); index < 45; index++ {
			if other := slices.Contains(others, index); and.Has(index) != (has[index] && other) || without.Has(index) != (has[index] && !other) {
				t.Fatalf("task %d of %v and %v: and %v, without %v", index, spans, others, and, without)
			}
			within := index >= first && index < end
			if spans.Has(index) != has[index] || in.Has(index) != (within && has[index]) || out.Has(index) != (within && !has[index]) {
				t.Fatalf("task %d of %v divided in [%d, %d): %v and %v", index, spans, first, end, in, out)
			}
		}
	})
}
