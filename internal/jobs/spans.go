package jobs

import (
	"cmp"
	"slices"
)

// Spans are disjoint spans in ascending order.
type Spans []Span

// End returns the index behind the last task of s.
func (s Span) End() int64 { return s.First + int64(s.Count) }

// SpansOf returns the spans of tasks, which come in any order and may be repeated.
func SpansOf(indexes []int64) Spans {
	spans := make([]Span, len(indexes))
	for i, index := range indexes {
		spans[i] = Span{First: index, Count: 1}
	}
	return Union(spans)
}

// Union returns the tasks of spans, which come in any order and may overlap.
func Union(spans []Span) Spans {
	sorted := slices.SortedFunc(slices.Values(spans), func(a, b Span) int { return cmp.Compare(a.First, b.First) })
	var union Spans
	for _, span := range sorted {
		if n := len(union); n > 0 && span.First <= union[n-1].End() {
			union[n-1].Count = int(max(span.End(), union[n-1].End()) - union[n-1].First)
			continue
		}
		union = append(union, span)
	}
	return union
}

// Tasks returns the number of tasks in s.
func (s Spans) Tasks() (n int64) {
	for _, span := range s {
		n += int64(span.Count)
	}
	return n
}

// Has reports whether a task is in s.
func (s Spans) Has(index int64) bool {
	i, _ := slices.BinarySearchFunc(s, index, func(span Span, index int64) int {
		if span.End() <= index {
			return -1
		}
		return 1
	})
	return i < len(s) && s[i].First <= index
}

// Divide splits [first, end) into the parts that are in s and those that are not.
func (s Spans) Divide(first, end int64) (in, out Spans) {
	add := func(to *Spans, end int64) {
		if first < end {
			*to = append(*to, Span{First: first, Count: int(end - first)})
			first = end
		}
	}
	i, _ := slices.BinarySearchFunc(s, first, func(span Span, first int64) int {
		if span.End() <= first {
			return -1
		}
		return 1
	})
	for ; i < len(s) && s[i].First < end; i++ {
		add(&out, s[i].First)
		add(&in, min(s[i].End(), end))
	}
	add(&out, end)
	return in, out
}

// And returns the tasks of s that are in t too.
func (s Spans) And(t Spans) (both Spans) {
	for _, span := range s {
		in, _ := t.Divide(span.First, span.End())
		both = append(both, in...)
	}
	return both
}

// Without returns the tasks of s that are not in t.
func (s Spans) Without(t Spans) (rest Spans) {
	for _, span := range s {
		_, out := t.Divide(span.First, span.End())
		rest = append(rest, out...)
	}
	return rest
}
