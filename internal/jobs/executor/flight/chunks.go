package flight

import (
	"slices"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/updates"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// A Chunk is the state of a chunk in flight that every executor keeps. Offsets count
// its tasks from its first.
type Chunk struct {
	executor.Chunk
	Begun time.Time // when its first task could start; zero before
	Cut   int       // offset from which on its tasks were given back
	Over  bool      // no further task starts

	logs     []jobs.LogLine
	logBytes int
}

// New puts a chunk in flight.
func New(c executor.Chunk) Chunk { return Chunk{Chunk: c, Cut: c.Count} }

// Common returns c. It lets Chunks reach what an executor's own type embeds.
func (c *Chunk) Common() *Chunk { return c }

// Log adds a line to the next update of the chunk.
func (c *Chunk) Log(l jobs.LogLine) {
	c.logs = append(c.logs, l)
	c.logBytes += len(l.Line) + updates.LineCost
}

// budgetEnd is when the chunk's time budget ends; zero for never.
func (c *Chunk) budgetEnd() time.Time {
	if c.Budget <= 0 || c.Over || c.Begun.IsZero() {
		return time.Time{}
	}
	return c.Begun.Add(c.Budget)
}

// Chunks are the chunks in flight of a session, in their order. C is a pointer to
// an executor's own type, which embeds Chunk.
type Chunks[C interface {
	comparable
	Common() *Chunk
}] struct {
	List    []C
	Stopped bool // no further task of any chunk starts

	Updates *updates.Queue
}

// Over reports whether a chunk starts no further task, so that another chunk
// could only wait.
func (f *Chunks[C]) Over() bool {
	return slices.ContainsFunc(f.List, func(c C) bool { return c.Common().Over })
}

// BudgetEnd returns when the first time budget ends; zero for never.
func (f *Chunks[C]) BudgetEnd() (first time.Time) {
	for _, c := range f.List {
		if end := c.Common().budgetEnd(); !end.IsZero() && (first.IsZero() || end.Before(first)) {
			first = end
		}
	}
	return first
}

// Spent returns the index of the first chunk whose time budget has ended, or -1.
func (f *Chunks[C]) Spent(now time.Time) int {
	return slices.IndexFunc(f.List, func(c C) bool {
		end := c.Common().budgetEnd()
		return !end.IsZero() && !now.Before(end)
	})
}

// ToCut returns the chunks that a cut from chunk i on concerns: that one, and the
// later ones without a begun task. A later one that has begun has a budget of its
// own. A stopped session cuts all of them.
func (f *Chunks[C]) ToCut(i int, begun func(C) bool) []C {
	var cut []C
	for j, c := range f.List[i:] {
		if f.Stopped || j == 0 || !begun(c) {
			cut = append(cut, c)
		}
	}
	return cut
}

// GiveBack gives the tasks of a chunk back from an offset on.
func (f *Chunks[C]) GiveBack(c C, from int) {
	common := c.Common()
	if from >= common.Cut {
		return
	}
	span := executor.Span{First: common.First + int64(from), Count: common.Cut - from}
	f.Updates.Add(executor.Update{Chunk: common.ID, Back: []executor.Span{span}})
	common.Cut = from
}

// AnswerRecall answers a recall of a chunk: it gives the tasks from an offset on back.
func (f *Chunks[C]) AnswerRecall(c C, from int) {
	common := c.Common()
	u := executor.Update{Chunk: common.ID, Recalled: true}
	if from < common.Cut {
		u.Back = []executor.Span{{First: common.First + int64(from), Count: common.Cut - from}}
		common.Cut = from
	}
	f.Updates.Add(u)
}

// Find returns the chunk in flight with the id.
func (f *Chunks[C]) Find(id int64) (c C, found bool) {
	i := slices.IndexFunc(f.List, func(c C) bool { return c.Common().ID == id })
	if i < 0 {
		return c, false
	}
	return f.List[i], true
}

// SendLogs sends the log lines of the chunks that have more bytes of them than
// that.
func (f *Chunks[C]) SendLogs(bytes int) {
	for _, c := range f.List {
		if common := c.Common(); common.logBytes > bytes {
			f.Updates.Add(executor.Update{Chunk: common.ID, Logs: common.logs})
			common.logs, common.logBytes = nil, 0
		}
	}
}

// Report sends outcomes of a chunk that goes on.
func (f *Chunks[C]) Report(c C, runs []outcomes.Encoded) {
	common := c.Common()
	u := executor.Update{Chunk: common.ID, Outcomes: runs, Logs: common.logs}
	u.Usage.StartedAt = common.Begun
	common.logs, common.logBytes = nil, 0
	f.Updates.Add(u)
}

// End removes a chunk and sends its last update, which lacks only the chunk's id
// and log lines.
func (f *Chunks[C]) End(c C, u executor.Update) {
	if i := slices.Index(f.List, c); i >= 0 {
		f.List = slices.Delete(f.List, i, i+1)
	}
	common := c.Common()
	u.Chunk, u.Ended, u.Logs = common.ID, true, common.logs
	f.Updates.Add(u)
}
