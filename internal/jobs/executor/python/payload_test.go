package python_test

import (
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

// TestPayloads checks that a failure carries the text that its exception has for the
// submitter, on each way to run tasks, and only a text of a bounded size.
func TestPayloads(t *testing.T) {
	t.Parallel()
	const cases = `
class Broken(Exception):
    @property
    def __allcores_payload__(self):
        raise OSError("no")

def carrying(payload):
    e = ValueError("wrong")
    e.__allcores_payload__ = payload
    return e

def raises(x):
    raise [lambda: carrying("p\n\u00e9\0" * 3), lambda: carrying("x" * (4 << 20)), lambda: carrying("x" * (4 << 20 | 1)),
           lambda: carrying("\u00e9" * (2 << 20 | 1)), lambda: carrying(b"bytes"), lambda: ValueError("wrong"), lambda: Broken("wrong")][x]()
`
	for name, l := range map[string]struct {
		source  string
		threads int
	}{
		"serial":    {cases + "def f(x):\n    raises(x)\n", 1},
		"threads":   {cases + "def f(x):\n    raises(x)\n", 2},
		"async":     {cases + "async def f(x):\n    raises(x)\n", 2},
		"coroutine": {cases + "async def g(x):\n    raises(x)\ndef f(x):\n    return g(x)\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lane := lane(l.source)
			lane.Threads = l.threads
			r := must(t, lane, executortest.Numbers(1, 0, 3), executortest.Numbers(2, 3, 4))
			want := map[int64]string{0: strings.Repeat("p\n\u00e9\x00", 3), 1: strings.Repeat("x", 4<<20)}
			for i := range int64(7) {
				e := r.Failed[i]
				if dropped := i == 2 || i == 3 || i == 6; e.Payload != want[i] || e.PayloadDropped != dropped || e.Message != "wrong" {
					t.Errorf("task %d: %q with a payload of %d bytes, dropped: %v", i, e.Message, len(e.Payload), e.PayloadDropped)
				}
			}
		})
	}
}

// TestManyPayloads checks that a chunk whose tasks fail with much to carry is cut
// short, however quick the tasks before were.
func TestManyPayloads(t *testing.T) {
	t.Parallel()
	r := must(t, lane(`
class Large(Exception):
    __allcores_payload__ = "x" * (1 << 20)
def f(x):
    if x >= 100000: raise Large
`), executortest.Numbers(1, 0, 101_000))
	if n := len(r.Failed); n < 8 || n > 12 {
		t.Errorf("%d tasks failed in a chunk of at most 8 MiB", n)
	}
	if len(r.Failed)+len(r.Back)+len(r.Outputs) != 101_000 {
		t.Errorf("%d failed, %d back, %d succeeded", len(r.Failed), len(r.Back), len(r.Outputs))
	}
}
