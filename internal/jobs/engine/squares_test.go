package engine_test

import (
	"context"
	"fmt"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// squares is an executor that squares numbers in this process, to measure the engine
// without Python.
type squares struct{}

func (squares) Run(ctx context.Context, lane executor.Lane, in <-chan executor.Chunk, report func(executor.Update)) error {
	for chunk := range in {
		began := time.Now()
		run := outcomes.Encoded{First: chunk.First, Durations: make([]byte, 2*chunk.Count)}
		for i := range int64(chunk.Count) {
			if ctx.Err() != nil {
				break
			}
			x := chunk.Range.At(i)
			run.Outputs = fmt.Appendln(run.Outputs, x*x)
			run.Count++
		}
		run.Durations = run.Durations[:2*run.Count]
		r := executor.Update{Chunk: chunk.ID, Ended: true, Usage: executor.Usage{StartedAt: began, FinishedAt: time.Now()}}
		if run.Count > 0 {
			r.Outcomes = []outcomes.Encoded{run}
		}
		if left := chunk.Count - run.Count; left > 0 {
			r.Back = []executor.Span{{First: chunk.First + int64(run.Count), Count: left}}
		}
		report(r)
	}
	return ctx.Err()
}
