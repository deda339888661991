package flight

import (
	"time"

	"github.com/allcores/allcores/internal/jobs/executor/updates"
)

const (
	// reportEvery is the least time between two reports. A record of them costs the
	// caller a round trip and a commit, some 2 ms of CPU time; users see an outcome
	// within 100 ms.
	reportEvery = 75 * time.Millisecond
	// reportAgain is when a session asks again whether the caller has taken the last
	// update: outcomes wait for it here, where more of them come together.
	reportAgain = 10 * time.Millisecond
)

// Reports decide when a session sends the outcomes of chunks that go on. The zero
// Reports is ready.
type Reports struct {
	Due  time.Time // when a report may be due; zero for none
	last time.Time
}

// Came notes that there are outcomes to report.
func (r *Reports) Came() {
	if r.Due.IsZero() {
		r.Due = r.last.Add(reportEvery)
	}
}

// Begin reports whether outcomes must be sent now.
func (r *Reports) Begin(queue *updates.Queue) bool {
	now := time.Now()
	switch {
	case r.Due.IsZero() || now.Before(r.Due):
		return false
	case !queue.Idle():
		r.Due = now.Add(reportAgain)
		return false
	}
	r.Due, r.last = time.Time{}, now
	return true
}
