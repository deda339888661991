package insight

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"

	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// Durations is the distribution of task times. It counts them by 16-bit code, so
// its memory is constant.
type Durations struct {
	counts []int64 // by code
	n      int64
	top    uint16 // the largest code,
	index  int64  // and the first task with it
}

// NewDurations returns an empty distribution.
func NewDurations() *Durations { return &Durations{counts: make([]int64, math.MaxUint16+1)} }

// Add adds the durations of outcomes whose first task is first. A code of 0 is an
// unknown duration.
func (d *Durations) Add(first int64, durations []byte) {
	for i := 0; i+1 < len(durations); i += 2 {
		code := binary.LittleEndian.Uint16(durations[i:])
		if code == 0 {
			continue
		}
		d.counts[code]++
		d.n++
		if index := first + int64(i/2); code > d.top || code == d.top && index < d.index {
			d.top, d.index = code, index
		}
	}
}

func (d *Durations) longest() (index int64, took time.Duration, ok bool) {
	return d.index, outcomes.DecodeDuration(d.top), d.n > 0
}

func (d *Durations) times() TaskTimes {
	t := TaskTimes{Count: d.n}
	if d.n == 0 {
		return t
	}
	sum := 0.0
	for code, n := range d.counts {
		if n > 0 {
			sum += float64(n) * float64(outcomes.DecodeDuration(uint16(code)))
		}
	}
	ms := func(ns float64) float64 { return ns / float64(time.Millisecond) }
	t.MeanMS = ms(sum / float64(d.n))
	t.P50MS, t.P95MS, t.P99MS = ms(d.quantile(.5)), ms(d.quantile(.95)), ms(d.quantile(.99))
	return t
}

// quantile returns the nearest rank: the smallest value in nanoseconds that a
// share q of all does not exceed.
func (d *Durations) quantile(q float64) float64 {
	rank := int64(math.Ceil(q * float64(d.n)))
	seen := int64(0)
	for code, n := range d.counts {
		if seen += n; seen >= rank && n > 0 {
			return float64(outcomes.DecodeDuration(uint16(code)))
		}
	}
	return float64(outcomes.DecodeDuration(d.top))
}

// A Bin counts the tasks that took from FromMS to below ToMS.
type Bin struct {
	FromMS float64 `json:"from_ms"`
	ToMS   float64 `json:"to_ms"`
	Count  int64   `json:"count"`
}

// maxBins is the most bins of a histogram.
const maxBins = 30

// steps divide a decade into bins with round borders: the third
// rounding of the series R 10 of ISO 497, 1-2-5, and powers of ten.
var steps = [][]float64{{1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8}, {1, 2, 5}, {1}}

// histogram returns the durations in adjacent bins, with the finest steps that need
// at most maxBins.
func (d *Durations) histogram() []Bin {
	bins := []Bin{}
	if d.n == 0 {
		return bins
	}
	least := 0.0
	for code, n := range d.counts {
		if n > 0 {
			least = float64(outcomes.DecodeDuration(uint16(code)))
			break
		}
	}
	var borders []float64
	for _, step := range steps {
		if borders = bordersAround(least, float64(outcomes.DecodeDuration(d.top)), step); len(borders) <= maxBins+1 {
			break
		}
	}
	for i := range len(borders) - 1 {
		bins = append(bins, Bin{FromMS: borders[i] / 1e6, ToMS: borders[i+1] / 1e6})
	}
	at := 0
	for code, n := range d.counts {
		if n == 0 {
			continue
		}
		for ns := float64(outcomes.DecodeDuration(uint16(code))); at < len(bins)-1 && ns >= borders[at+1]; {
			at++
		}
		bins[at].Count += n
	}
	return bins
}

// bordersAround returns borders in nanoseconds, from the last one up to least to
// the first above most.
func bordersAround(least, most float64, step []float64) []float64 {
	var borders []float64
	for decade := int(math.Floor(math.Log10(max(least, 1)))); ; decade++ {
		for _, mantissa := range step {
			// Parsed, because the product may differ from the written number.
			border, _ := strconv.ParseFloat(strconv.FormatFloat(mantissa, 'g', -1, 64)+"e"+strconv.Itoa(decade), 64)
			if border <= least {
				borders = borders[:0]
			}
			borders = append(borders, border)
			if border > most {
				return borders
			}
		}
	}
}
