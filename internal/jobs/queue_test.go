package jobs_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/allcores/allcores/internal/jobs"
)

func TestShareProcesses(t *testing.T) {
	t.Parallel()
	limit := func(n int) *int { return &n }
	for _, test := range []struct {
		slots []int
		max   *int
		want  []int
	}{
		{nil, limit(3), []int{}},
		{[]int{2, 4}, nil, []int{2, 4}},
		{[]int{2, 4}, limit(6), []int{2, 4}},
		{[]int{2, 4}, limit(3), []int{1, 2}},
		{[]int{2, 2}, limit(3), []int{2, 1}},
		{[]int{1, 1, 1}, limit(1), []int{1, 0, 0}},
		{[]int{1, 100}, limit(2), []int{0, 2}},
	} {
		if got := jobs.ShareProcesses(test.slots, test.max); !slices.Equal(got, test.want) {
			t.Errorf("%v at most %v: %v, want %v", test.slots, test.max, got, test.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.SliceOfN(rapid.IntRange(1, 5000), 1, 20).Draw(t, "slots")
		most := rapid.IntRange(1, 10_000).Draw(t, "most")
		sum, total := 0, 0
		for i, n := range jobs.ShareProcesses(slots, &most) {
			if n < 0 || n > slots[i] {
				t.Fatalf("share %d of %d slots", n, slots[i])
			}
			sum += n
			total += slots[i]
		}
		if sum != min(most, total) {
			t.Fatalf("shares are %d together", sum)
		}
	})
}

func TestQueueLimits(t *testing.T) {
	t.Parallel()
	none, some := 0, 7
	for _, l := range []jobs.QueueLimits{{PerCore: .5}, {PerCore: 32, MaxProcesses: &some}, {PerCore: jobs.MaxPerCore}} {
		if found := l.Validate(); len(found) > 0 {
			t.Errorf("%+v: %v", l, found)
		}
	}
	for _, l := range []jobs.QueueLimits{{}, {PerCore: -1}, {PerCore: math.NaN()}, {PerCore: math.Inf(1)}, {PerCore: 1, MaxProcesses: &none}} {
		if found := l.Validate(); len(found) != 1 {
			t.Errorf("%+v: %v", l, found)
		}
	}
	if n := (jobs.QueueLimits{PerCore: .5}).Slots(5); n != 2 {
		t.Errorf("half a slot a core on 5 cores is %d", n)
	}
	if n := (jobs.QueueLimits{PerCore: .1}).Slots(2); n != 1 {
		t.Errorf("a tenth on 2 cores is %d", n)
	}
}
