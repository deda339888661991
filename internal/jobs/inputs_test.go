package jobs

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestRangeLen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := Range{
			Start: rapid.Int64Range(-50, 50).Draw(t, "start"),
			Stop:  rapid.Int64Range(-50, 50).Draw(t, "stop"),
			Step:  rapid.Int64Range(-7, 7).Draw(t, "step"),
		}
		var want int64
		if r.Step > 0 {
			for x := r.Start; x < r.Stop; x += r.Step {
				if r.At(want) != x {
					t.Fatalf("%+v: At(%d) = %d, want %d", r, want, r.At(want), x)
				}
				want++
			}
		} else if r.Step < 0 {
			for x := r.Start; x > r.Stop; x += r.Step {
				want++
			}
		}
		if got := r.Len(); got != want {
			t.Fatalf("%+v has length %d, want %d", r, got, want)
		}
	})
	for _, test := range []struct {
		r    Range
		want int64
	}{
		{Range{math.MinInt64, math.MaxInt64, 1}, math.MaxInt64},
		{Range{math.MaxInt64, math.MinInt64, -1}, math.MaxInt64},
		{Range{math.MinInt64, math.MaxInt64, math.MaxInt64}, 3},
		{Range{math.MaxInt64, math.MinInt64, math.MinInt64}, 2},
	} {
		if got := test.r.Len(); got != test.want {
			t.Errorf("%+v has length %d, want %d", test.r, got, test.want)
		}
	}
}

func TestRangeStepIsOneUnlessGiven(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Range{
		`{"stop": 3}`: {0, 3, 1}, `{"start": 5, "stop": 3, "step": -1}`: {5, 3, -1}, `{"stop": 3, "step": 0}`: {0, 3, 0},
	} {
		var r Range
		if err := json.Unmarshal([]byte(text), &r); err != nil || r != want {
			t.Errorf("%s is %+v, want %+v (%v)", text, r, want, err)
		}
	}
}

func TestSizeOf(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]Size{
		0: "0B", 1: "1B", 1000: "1KB", 1024: "1KiB", 100 << 20: "100MiB", 1500 << 20: "1500MiB", 2_000_000_000: "2GB", MaxMemoryLimit: "1024TiB", 1<<40 + 1: "1099511627777B",
	} {
		got := SizeOf(n)
		if back, err := got.Bytes(); got != want || back != n || err != nil {
			t.Errorf("%d bytes are %s, which is %d, %v; want %s", n, got, back, err, want)
		}
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[Size]int64{
		"1048576": 1 << 20, "16MiB": 16 << 20, "1.5GiB": 3 << 29, "2GB": 2e9, "512M": 512 << 20, "1 TiB": 1 << 40, "7B": 7,
		"": -1, "MiB": -1, "-1MiB": -1, "1e3": -1, "12 apples": -1, "9999999TiB": -1, "5PiB": -1,
	} {
		got, err := text.Bytes()
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q is %d bytes, want %d (%v)", text, got, want, err)
		}
	}
}

func TestSplitLines(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":           nil,
		"a":          {"a"},
		"a\n":        {"a"},
		"a\nb":       {"a", "b"},
		"a\r\nb\r\n": {"a", "b"},
		"\n\n":       {"", ""},
	} {
		if got := slices.Collect(SplitLines(text)); !cmp.Equal(want, got) {
			t.Errorf("%q has lines %q, want %q", text, got, want)
		}
	}
}

func TestInputsThatWouldChange(t *testing.T) {
	t.Parallel()
	python := Program{Python: &Python{Source: "def f(x): return x", Function: "f"}}
	command := Program{Command: &Command{Argv: []string{"echo"}}}
	for item, want := range map[string]string{
		`{"a": 1, "a": 2}`:                       `has two members of the name "a"`,
		`[1, -2e999]`:                            "has the number -2e999, which Python would read as infinity",
		`1.0`:                                    "",
		`[12345678901234567890, 1e308, "1e999"]`: "",
	} {
		for _, p := range []Program{python, command} {
			spec := Spec{Program: p, Inputs: Inputs{Items: []json.RawMessage{json.RawMessage(item)}}}
			found := spec.Validate()
			if wrong := want != "" && (p.Python != nil || !strings.Contains(want, "Python")); wrong != (len(found) == 1) || wrong && (found[0].Location != "inputs.items[0]" || !strings.Contains(found[0].Message, want)) {
				t.Errorf("%s for %s: %v", item, p.Kind(), found)
			}
		}
	}
	if python.WantsInputsOf(command) || !command.WantsInputsOf(python) || !python.WantsInputsOf(python) {
		t.Error("inputs of a command are not looked at again")
	}
}
