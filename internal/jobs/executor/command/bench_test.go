package command_test

import (
	"bytes"
	osexec "os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/command"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

// BenchmarkTrue runs true 2,000 times on two lanes, next to xargs.
func BenchmarkTrue(b *testing.B) {
	const tasks, chunk = 2000, 100
	for b.Loop() {
		in := make(chan executor.Chunk)
		var lanes sync.WaitGroup
		for range 2 {
			lanes.Go(func() {
				l := lane("true")
				if err := new(command.Executor).Run(b.Context(), l, in, func(executor.Update) {}); err != nil {
					b.Error(err)
				}
			})
		}
		for i := range int64(tasks / chunk) {
			in <- executortest.Numbers(i, i*chunk, chunk)
		}
		close(in)
		lanes.Wait()
	}
}

func BenchmarkTrueXargs(b *testing.B) {
	input := []byte(strings.Repeat("1\n", 2000))
	for b.Loop() {
		c := osexec.Command("xargs", "-P2", "-n1", "true")
		c.Stdin = bytes.NewReader(input)
		if err := c.Run(); err != nil {
			b.Fatal(err)
		}
	}
}
