package outcomes_test

import (
	"fmt"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// The outcomes of three tasks. The second failed.
func ExampleLines() {
	lines := []byte("1\n")
	lines = outcomes.AppendFailure(lines, &jobs.TaskError{Kind: jobs.KindException, Type: "ValueError", Message: "too large"})
	lines = append(lines, "9\n"...)
	for offset, line := range outcomes.Lines(lines) {
		fmt.Println(offset, line.Failed(), string(line.Value()))
	}
	// Output:
	// 0 false 1
	// 1 true {"kind":"exception","type":"ValueError","message":"too large"}
	// 2 false 9
}
