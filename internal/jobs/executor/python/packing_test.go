package python

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// TestFormsDoNotDependOnFrames checks that the form of outputs does not depend on the
// number of their frames, which depends on timing.
func TestFormsDoNotDependOnFrames(t *testing.T) {
	t.Parallel()
	type part struct {
		kind  byte
		count int
	}
	for name, test := range map[string]struct {
		parts []part
		want  string
	}{
		"numbers after a few lines":    {[]part{{frameOutcomes, 10}, {frameInts, 10_000}}, "lines 10, packed 10000"},
		"few numbers among lines":      {[]part{{frameOutcomes, 10}, {frameInts, 4000}, {frameOutcomes, 5}}, "lines 4015"},
		"few numbers at the end":       {[]part{{frameOutcomes, 5000}, {frameInts, 4000}}, "lines 9000"},
		"few numbers alone":            {[]part{{frameInts, 70}}, "packed 70"},
		"few of either kind":           {[]part{{frameInts, 100}, {frameFloats, 100}, {frameInts, 100}}, "lines 300"},
		"many of either kind":          {[]part{{frameInts, 5000}, {frameFloats, 6000}}, "packed 5000, packed 6000"},
		"more than one run has":        {[]part{{frameInts, outcomes.MaxPacked + 3}}, fmt.Sprintf("packed %d, packed 3", outcomes.MaxPacked)},
		"a line between many and many": {[]part{{frameInts, 5000}, {frameOutcomes, 1}, {frameInts, 5000}}, "packed 5000, lines 1, packed 5000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 50 {
				received := 0
				o := newChunk(executor.Chunk{}).ordered
				var want []string
				for _, p := range test.parts {
					for left := p.count; left > 0; {
						n := 1 + rand.IntN(min(left, []int{60, 3000, left}[rand.IntN(3)]))
						var data []byte
						for range n {
							value := len(want)
							text := strconv.Itoa(value)
							switch p.kind {
							case frameOutcomes:
								data = append(append(data, text...), '\n')
							case frameInts:
								data = binary.LittleEndian.AppendUint64(data, uint64(value))
							case frameFloats:
								text += ".5"
								data = binary.LittleEndian.AppendUint64(data, math.Float64bits(float64(value)+0.5))
							}
							want = append(want, text)
						}
						if err := o.add(outcomesFrame{kind: p.kind, count: n, outputs: data}); err != nil {
							t.Fatal(err)
						}
						received += n
						left -= n
					}
				}
				var forms, got []string
				for _, run := range o.encoded(7, 0, received) {
					form := "lines"
					if outcomes.Packed(run.Outputs) {
						form = "packed"
					}
					forms = append(forms, fmt.Sprint(form, " ", run.Count))
					got = append(got, strings.Fields(string(outcomes.Text(run.Outputs)))...)
				}
				if form := strings.Join(forms, ", "); form != test.want {
					t.Fatalf("got %s, want %s", form, test.want)
				}
				if !slices.Equal(got, want) {
					t.Fatal("the outputs differ")
				}
			}
		})
	}
}
