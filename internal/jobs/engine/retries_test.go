package engine

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
	"github.com/google/go-cmp/cmp"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		base    time.Duration
		attempt int
		jitter  float64
		want    time.Duration
	}{
		{time.Second, 1, 0.5, time.Second},
		{time.Second, 1, 0, 750 * time.Millisecond},
		{time.Second, 4, 0.5, 8 * time.Second},
		{time.Second, 100, 0.5, time.Hour},
		{0, 50, 0.5, 0},
	} {
		if got := backoff(test.base, test.attempt, test.jitter); got != test.want {
			t.Errorf("after attempt %d of %v with jitter %v: %v, want %v", test.attempt, test.base, test.jitter, got, test.want)
		}
	}
}

func TestTakeRetries(t *testing.T) {
	t.Parallel()
	run := outcomes.Encoded{First: 100, Count: 6, Failed: []int32{1, 2, 4, 5}, Durations: make([]byte, 12)}
	for i := range 6 {
		binary.LittleEndian.PutUint16(run.Durations[2*i:], outcomes.EncodeDuration(time.Second))
		switch i {
		case 0, 3:
			run.Outputs = fmt.Appendf(run.Outputs, "%d\n", i)
		case 4:
			run.Outputs = outcomes.AppendFailure(run.Outputs, &jobs.TaskError{Kind: jobs.KindCrash, Type: "SIGKILL"})
		default:
			run.Outputs = outcomes.AppendFailure(run.Outputs, &jobs.TaskError{Kind: jobs.KindException, Type: "ValueError"})
		}
	}
	type span struct{ First, Count, Failed, Lines int }
	for _, test := range []struct {
		name     string
		attempts int
		lease    store.Lease
		kept     []span
		again    []store.BacklogSpan
	}{
		{"one attempt: only the crash is run again", 1, store.Lease{Attempt: 1, Count: 6},
			[]span{{100, 4, 2, 4}, {105, 1, 1, 1}}, []store.BacklogSpan{{First: 104, Count: 1, Attempt: 1, Losses: 1}}},
		{"attempts left: neighbours together, the crash alone", 2, store.Lease{Attempt: 1, Count: 6},
			[]span{{100, 1, 0, 1}, {103, 1, 0, 1}},
			[]store.BacklogSpan{{First: 101, Count: 2, Attempt: 2}, {First: 104, Count: 1, Attempt: 1, Losses: 1}, {First: 105, Count: 1, Attempt: 2}}},
		{"attempts used up", 2, store.Lease{Attempt: 2, Count: 6},
			[]span{{100, 4, 2, 4}, {105, 1, 1, 1}}, []store.BacklogSpan{{First: 104, Count: 1, Attempt: 2, Losses: 1}}},
	} {
		zero := jobs.Duration("0s")
		kept, again, attempts := takeRetries([]outcomes.Encoded{run}, test.lease, jobs.Policy{MaxAttempts: &test.attempts, RetryBackoff: &zero})
		var got []span
		for _, r := range kept {
			lines := 0
			for i, line := range outcomes.Lines(r.Outputs) {
				lines++
				failed := false
				for _, offset := range r.Failed {
					failed = failed || int(offset) == i
				}
				if failed != line.Failed() {
					t.Errorf("%s: line %d of the run at %d is marked wrongly", test.name, i, r.First)
				}
			}
			got = append(got, span{int(r.First), r.Count, len(r.Failed), lines})
		}
		if diff := cmp.Diff(test.kept, got); diff != "" {
			t.Errorf("%s: kept (-want +got):\n%s", test.name, diff)
		}
		if diff := cmp.Diff(test.again, again); diff != "" {
			t.Errorf("%s: again (-want +got):\n%s", test.name, diff)
		}
		tasks := 0
		for _, p := range again {
			tasks += p.Count
		}
		if len(attempts) != tasks {
			t.Errorf("%s: %d attempts are kept of %d tasks", test.name, len(attempts), tasks)
		}
		for _, a := range attempts {
			if after := time.Duration(a.Index-100) * time.Second; a.After.Round(10*time.Millisecond) != after || a.Took.Round(10*time.Millisecond) != time.Second {
				t.Errorf("%s: the attempt at %d is recorded to begin after %v and to take %v", test.name, a.Index, a.After, a.Took)
			}
		}
	}
}

// TestLossesCountFromWhenATaskIsAlone checks that losses together with other tasks do
// not count.
func TestLossesCountFromWhenATaskIsAlone(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ of, count, losses, more, want int }{
		{10, 3, 2, 0, 2}, {10, 3, 2, 1, 3}, {10, 1, 2, 0, 0}, {10, 1, 2, 1, 1}, {1, 1, 2, 0, 2}, {1, 1, 2, 1, 3},
	} {
		got := backlogSpans(store.Lease{First: 5, Count: test.of, Attempt: 4, Losses: test.losses}, []jobs.Span{{First: 7, Count: test.count}}, test.more)
		if diff := cmp.Diff([]store.BacklogSpan{{First: 7, Count: test.count, Attempt: 4, Losses: test.want}}, got); diff != "" {
			t.Errorf("%+v: (-want +got):\n%s", test, diff)
		}
	}
}

// TestThirdDeathFails checks that a task fails at its third death alone.
func TestThirdDeathFails(t *testing.T) {
	t.Parallel()
	alone := outcomes.Encoded{First: 7, Count: 1, Failed: []int32{0}, Outputs: outcomes.AppendFailure(nil, &jobs.TaskError{Kind: jobs.KindCrash}), Durations: []byte{0, 0}}
	one, zero := 1, jobs.Duration("0s")
	for losses, want := range []int{0, 0, 1} {
		kept, _, _ := takeRetries([]outcomes.Encoded{alone}, store.Lease{Attempt: 1, Count: 1, Losses: losses}, jobs.Policy{MaxAttempts: &one, RetryBackoff: &zero})
		if len(kept) != want {
			t.Errorf("after %d losses %d outcomes are recorded, want %d", losses, len(kept), want)
		}
	}
	var e jobs.TaskError
	if err := json.Unmarshal(outcomes.Line(alone.Outputs[:len(alone.Outputs)-1]).Value(), &e); err != nil || e.Kind != jobs.KindCrash {
		t.Error(e, err)
	}
}
