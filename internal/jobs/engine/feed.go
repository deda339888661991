package engine

import "github.com/allcores/allcores/internal/jobs/executor"

// A feed is the chunks that a lane has given to its executor.
type feed struct {
	in      chan executor.Chunk // closed when no further chunk will come
	closed  bool
	atHand  int  // chunks at the executor that have not ended
	overdue bool // tasks came back because others take long, which still run
}

// maxAtHand is how many chunks may be at an executor: one runs, one waits.
const maxAtHand = 2

func newFeed() feed { return feed{in: make(chan executor.Chunk, maxAtHand)} }

func (f *feed) push(c executor.Chunk) {
	f.atHand++
	f.in <- c
}

func (f *feed) close() {
	if !f.closed {
		f.closed = true
		close(f.in)
	}
}

// closeIfIdle ends the executor's run when nothing is at hand any more. While
// something is, its update may still lead to a claim.
func (f *feed) closeIfIdle() {
	if f.atHand == 0 {
		f.close()
	}
}

// wantsMore reports whether the executor should get another chunk, where unclaimed
// tasks of the job are known and ahead chunks should be at hand. With a limit on
// failures the second chunk must know of the first one's.
func (f *feed) wantsMore(unclaimed int64, failuresLimited bool, ahead int) bool {
	if f.atHand == 0 {
		return true
	}
	return !f.overdue && unclaimed > 0 && !failuresLimited && f.atHand < ahead
}
