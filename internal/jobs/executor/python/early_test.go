package python_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

// blocking returns the source of a function that waits where its input is the path of a
// file, until the file exists, and else returns its input.
func blocking(async bool) string {
	if async {
		return `
import asyncio, os
async def f(x):
    while isinstance(x, str) and not os.path.exists(x):
        await asyncio.sleep(0.002)
    return x
`
	}
	return `
import os, time
def f(x):
    while isinstance(x, str) and not os.path.exists(x):
        time.sleep(0.002)
    return x
`
}

// barrier returns the path of a file as an input, and what makes the file.
func barrier(t *testing.T) (input string, open func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "open")
	text, err := json.Marshal(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), func() {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Error(err)
		}
	}
}

// TestOutcomesLeaveTheirChunk checks that outcomes are sent while another task of their
// chunk runs, wherever that is in the chunk, and that the durations are as long as the
// tasks.
func TestOutcomesLeaveTheirChunk(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		threads int
		async   bool
		long    int // the task that takes long
	}{
		"one by one": {1, false, 5},
		"threads":    {3, false, 0},
		"async":      {3, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const count, atLeast = 8, 30 * time.Millisecond
			l := lane(blocking(test.async))
			l.Threads = test.threads
			wait, open := barrier(t)
			inputs := make([]string, count)
			for i := range inputs {
				inputs[i] = fmt.Sprint(i)
			}
			inputs[test.long] = wait
			s := executortest.Begin(t, shared, l)
			for _, first := range []int64{0, count} { // once more after the first chunk
				if first > 0 {
					wait, open = barrier(t)
					inputs[test.long] = wait
				}
				began := time.Now()
				s.Give(executortest.Values(1+first, first, inputs...))
				early := func() (n int) {
					for i := range int64(count) {
						if _, ok := s.Outputs[first+i]; ok {
							n++
						}
					}
					return n
				}
				want := count - 1
				if test.threads == 1 {
					want = test.long
				}
				s.Await("the short tasks have outcomes", func() bool { return early() == want })
				t.Logf("%d outcomes after %v", want, time.Since(began))
				s.Lock()
				if _, ended := s.Ended[1+first]; ended {
					t.Error("the chunk has ended")
				}
				s.Unlock()
				time.Sleep(atLeast)
				open()
				s.Await("the chunk ends", func() bool { return early() == count })
				s.Lock()
				var sum time.Duration // a long task that is not seen twice shares its time with its batch
				for i := range int64(count) {
					sum += s.Spent[first+i]
				}
				if sum < atLeast || sum > time.Since(began) {
					t.Errorf("the tasks took %v of %v", sum, time.Since(began))
				}
				s.Unlock()
			}
			if err := s.End(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestEarlyOutcomesOfAProcessThatDies checks that the outcomes that were sent while
// their chunk went on are neither lost nor sent twice when its process dies, in which
// the others are given back or fail as they do without.
func TestEarlyOutcomesOfAProcessThatDies(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 3} {
		t.Run(fmt.Sprint(threads), func(t *testing.T) {
			t.Parallel()
			wait, open := barrier(t)
			l := lane(blocking(false) + "def g(x):\n    return os._exit(3) if isinstance(f(x), str) else x\n")
			l.Program.Python.Function = "g"
			l.Threads = threads
			s := executortest.Begin(t, shared, l)
			s.Give(executortest.Values(1, 0, "0", "1", wait, "3", "4"))
			s.Await("the first tasks have outcomes", func() bool { return len(s.Outputs) >= 2 })
			open()
			if err := s.End(); err != nil {
				t.Fatal(err)
			}
			if e := s.Failed[2]; e.Kind != "crash" {
				t.Errorf("the task that ended its process: %+v", e)
			}
			if n := len(s.Outputs) + len(s.Back); n != 4 {
				t.Errorf("outputs %v, back %v", s.Outputs, s.Back)
			}
		})
	}
}

// TestReportsAreFew checks that a chunk of short tasks that takes long is reported at
// most every 75 ms, and one that does not take long only at its end.
func TestReportsAreFew(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 2} {
		t.Run(fmt.Sprint(threads), func(t *testing.T) {
			t.Parallel()
			l := lane("import time\ndef f(x):\n    time.sleep(0.001)\n    return x\n")
			l.Threads = threads
			updates := 0
			in := make(chan executor.Chunk, 1)
			in <- executortest.Numbers(1, 0, 400)
			close(in)
			began := time.Now()
			if err := shared.Run(t.Context(), l, in, func(executor.Update) { updates++ }); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); updates < 2 || updates > 2+int(took/(75*time.Millisecond)) {
				t.Errorf("%d updates in %v", updates, took)
			}
		})
	}
}
