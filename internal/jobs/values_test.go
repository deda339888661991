package jobs

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

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

func TestFailureLimit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		`0`: 0, `12`: 12, `"12"`: 12, `"5%"`: 50, `"0.1%"`: 1, `"100%"`: 1000, `"32.3%"`: 323,
		`"0.0000000000000000001%"`: -1, `"%"`: -1,
		`-1`: -1, `"101%"`: -1, `"x%"`: -1, `1.5`: -1, `true`: -1, `[1]`: -1,
	} {
		var l FailureLimit
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := l.Of(1000)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%s allows %d of 1000, want %d (%v)", text, got, want, err)
		}
	}
	for text, want := range map[string]string{`12`: `12`, `"5%"`: `"5%"`, `"+5"`: `5`, `"007"`: `7`} {
		var l FailureLimit
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		if back, err := json.Marshal(l); err != nil || string(back) != want {
			t.Errorf("%s is written as %s, %v", text, back, err)
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

func TestTimesAreUTCWithMilliseconds(t *testing.T) {
	t.Parallel()
	at := Time{time.Date(2026, 3, 1, 12, 0, 0, 120_000_000, time.FixedZone("", 3600))}
	text, err := json.Marshal(struct{ At Time }{at})
	if err != nil || !strings.Contains(string(text), `"2026-03-01T11:00:00.120Z"`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		has, need Role
		want      bool
	}{
		{Admin, Submitter, true}, {Admin, Admin, true}, {Submitter, Viewer, true},
		{Submitter, Admin, false}, {Viewer, Submitter, false}, {"", "", false}, {"root", Viewer, false},
	} {
		if got := test.has.Allows(test.need); got != test.want {
			t.Errorf("%q allows %q: %v", test.has, test.need, got)
		}
	}
	for role, want := range map[Role]bool{Viewer: true, Submitter: false, Admin: true, "": false, "root": false} {
		if got := role.SeesAll(); got != want {
			t.Errorf("%q sees all: %v", role, got)
		}
	}
}
