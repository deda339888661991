package insight

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/outcomes"
	"pgregory.net/rapid"
)

func TestDurations(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		took := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(math.Exp2(rapid.Float64Range(1, 50).Draw(t, "log")))
		}), 1, 200).Draw(t, "took")
		d := NewDurations()
		for i, v := range took {
			code := binary.LittleEndian.AppendUint16([]byte{0, 0}, outcomes.EncodeDuration(v)) // the first one is not known
			d.Add(int64(2*i), code)
			took[i] = outcomes.DecodeDuration(outcomes.EncodeDuration(v))
		}
		index, longest, ok := d.longest()
		if want := slices.Max(took); !ok || longest != want || index != int64(2*slices.Index(took, want)+1) {
			t.Fatalf("longest is %d with %v of %v", index, longest, took)
		}
		times, bins := d.times(), d.histogram()
		slices.Sort(took)
		ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
		sum := 0.0
		for _, v := range took {
			sum += ms(v)
		}
		n := len(took)
		rank := func(q float64) float64 { return ms(took[int(math.Ceil(q*float64(n)))-1]) }
		if times.Count != int64(n) || !near(times.MeanMS, sum/float64(n)) || times.P50MS != rank(.5) || times.P95MS != rank(.95) || times.P99MS != rank(.99) {
			t.Fatalf("%+v of %v", times, took)
		}
		if len(bins) == 0 || len(bins) > maxBins {
			t.Fatalf("%d bins", len(bins))
		}
		for i, b := range bins {
			count := int64(0)
			for _, v := range took {
				if ms(v) >= b.FromMS && ms(v) < b.ToMS {
					count++
				}
			}
			if count != b.Count || i > 0 && bins[i-1].ToMS != b.FromMS || (i == 0 || i == len(bins)-1) && count == 0 {
				t.Fatalf("bin %d of %+v has %d", i, bins, count)
			}
		}
	})
}

func TestHistogramBorders(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		least, most time.Duration
		want        []float64 // in ms
	}{
		{20 * time.Millisecond, 20 * time.Millisecond, []float64{20, 25}},
		{990 * time.Microsecond, 1001 * time.Microsecond, []float64{.8, 1, 1.2}},
		{45 * time.Nanosecond, 310 * time.Nanosecond, []float64{.00004, .00005, .00006, .00008, .0001, .00012, .00015, .0002, .00025, .0003, .0004}},
		{time.Millisecond, 1500 * time.Millisecond, []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000}},
		{time.Microsecond, 15 * time.Second, []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000}},
		{2 * time.Nanosecond, 20 * time.Hour, []float64{1e-6, 1e-5, 1e-4, .001, .01, .1, 1, 10, 100, 1000, 1e4, 1e5, 1e6, 1e7, 1e8}},
	} {
		d := NewDurations()
		for _, v := range []time.Duration{c.least, c.most} {
			// Rounding to a code must not cross a border.
			d.Add(0, binary.LittleEndian.AppendUint16(nil, outcomes.EncodeDuration(v+v/500)))
		}
		var got []float64
		for i, b := range d.histogram() {
			if i == 0 {
				got = append(got, b.FromMS)
			}
			got = append(got, b.ToMS)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("from %v to %v: %v, want %v", c.least, c.most, got, c.want)
		}
	}
}
