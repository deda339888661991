package insight

import (
	"math"
	"time"

	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// TimeClasses counts durations in classes, four per doubling: class c has codes (see
// [outcomes.EncodeDuration]) from 256·c to 256·c+255, that is from 2^(c/4)-1 ns to
// 19 % more.
type TimeClasses [256]int64

// A ClassSpan holds the counts of neighbouring classes.
type ClassSpan struct {
	First  int // class of the first count
	Counts []int32
}

// AddDuration counts one duration.
func (t *TimeClasses) AddDuration(d time.Duration) { t[outcomes.EncodeDuration(d)>>8]++ }

// AddCodes counts durations given as in [outcomes.Encoded].
func (t *TimeClasses) AddCodes(codes []byte) {
	if len(codes) < 256 {
		for i := 1; i < len(codes); i += 2 {
			t[codes[i]]++
		}
		return
	}
	// Neighbours are mostly of one class: in one counter each would wait for the
	// one before.
	var counts [4][256]int32
	for ; len(codes) >= 8; codes = codes[8:] {
		counts[0][codes[1]]++
		counts[1][codes[3]]++
		counts[2][codes[5]]++
		counts[3][codes[7]]++
	}
	for i := 1; i < len(codes); i += 2 {
		counts[0][codes[i]]++
	}
	for c := range t {
		t[c] += int64(counts[0][c]) + int64(counts[1][c]) + int64(counts[2][c]) + int64(counts[3][c])
	}
}

// Add adds the counts of a span. It ignores classes out of range.
func (t *TimeClasses) Add(s ClassSpan) {
	for i, n := range s.Counts {
		if c := s.First + i; c >= 0 && c < len(t) {
			t[c] += int64(n)
		}
	}
}

// AddAll adds all counts of o.
func (t *TimeClasses) AddAll(o *TimeClasses) {
	for c, n := range o {
		t[c] += n
	}
}

// Since returns the counts added since t equalled before, from the first to the last
// class that grew.
func (t *TimeClasses) Since(before *TimeClasses) ClassSpan {
	first, last := -1, -1
	for c := range t {
		if t[c] != before[c] {
			if first < 0 {
				first = c
			}
			last = c
		}
	}
	if first < 0 {
		return ClassSpan{}
	}
	s := ClassSpan{First: first, Counts: make([]int32, last-first+1)}
	for i := range s.Counts {
		s.Counts[i] = int32(min(t[first+i]-before[first+i], math.MaxInt32))
	}
	return s
}

// Quantiles are the durations in milliseconds that 50, 95 and 99 percent of the
// counted durations do not exceed.
type Quantiles struct {
	P50 float64 `json:"p50_ms"`
	P95 float64 `json:"p95_ms"`
	P99 float64 `json:"p99_ms"`
}

// Quantiles returns the quantiles to within a class and three digits, or nil for no
// counts.
func (t *TimeClasses) Quantiles() *Quantiles {
	var all int64
	for _, n := range t {
		all += n
	}
	if all == 0 {
		return nil
	}
	at := func(share float64) float64 {
		rank := share * float64(all)
		for c, n := range t {
			if n > 0 && rank <= float64(n) {
				// Assumed: evenly spread within the class on the logarithmic
				// scale.
				code := 256 * (float64(c) + rank/float64(n))
				ns := math.Exp2(code/outcomes.DurationScale) - 1
				unit := math.Pow(10, math.Floor(math.Log10(max(ns, 1)))-2)
				return math.Round(ns/unit) * unit / 1e6
			}
			rank -= float64(n)
		}
		return 0
	}
	return &Quantiles{at(.5), at(.95), at(.99)}
}
