package outcomes_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestDurationCodes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "ns"))
		if rapid.Bool().Draw(t, "short") {
			d %= time.Duration(time.Second)
		}
		got := outcomes.DecodeDuration(outcomes.EncodeDuration(d))
		if off := math.Abs(float64(got) - float64(d)); off > float64(d)*0.0004+1 {
			t.Fatalf("%v became %v", d, got)
		}
	})
	if outcomes.EncodeDuration(-time.Second) != 0 || outcomes.DecodeDuration(0) != 0 {
		t.Error("nothing is not nothing")
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	failure := &jobs.TaskError{Kind: jobs.KindException, Type: "ValueError", Message: "no\nway", Traceback: "line 1\nline 2"}
	outputs := append([]byte("1\n"), outcomes.AppendFailure(nil, failure)...)
	outputs = append(outputs, "\"!\"\n"...)
	var values []string
	var failed []int
	for i, line := range outcomes.Lines(outputs) {
		values = append(values, string(line.Value()))
		if line.Failed() {
			failed = append(failed, i)
		}
	}
	if len(values) != 3 || values[0] != "1" || values[2] != `"!"` || !cmp.Equal(failed, []int{1}) {
		t.Fatalf("lines %q, failed %v", values, failed)
	}
	var back jobs.TaskError
	if err := json.Unmarshal([]byte(values[1]), &back); err != nil || back != *failure {
		t.Errorf("the failure came back as %+v, %v", back, err)
	}
}
