package engine

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine/tasksocket"
	"github.com/allcores/allcores/internal/jobs/engine/tasksocket/sharedcalls"
)

// Bounds of the reports of progress that a node keeps.
const (
	sessionReports = 16  // of a session: the tasks that reported last
	statusReports  = 200 // in a heartbeat: the newest
)

// progressReports are what running tasks last said of their progress. Heartbeats carry
// them, so however often tasks report, the database learns of it once a second.
type progressReports struct {
	mu      sync.Mutex
	current map[*tasksocket.Session][]report // the oldest first
}

type report struct {
	lease int64
	jobs.TaskProgress
}

// Report keeps the progress of a task until its next report.
func (p *progressReports) Report(x tasksocket.Execution, progress sharedcalls.Progress) {
	r := report{x.Lease, jobs.TaskProgress{
		Job: x.Job, Task: x.Task, Fraction: progress.Fraction, Message: oneLine(progress.Message), At: jobs.Time{Time: time.Now()},
	}}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil {
		p.current = make(map[*tasksocket.Session][]report)
	}
	list := slices.DeleteFunc(p.current[x.Session], func(old report) bool { return old.Task == x.Task })
	if len(list) >= sessionReports {
		list = slices.Delete(list, 0, 1)
	}
	p.current[x.Session] = append(list, r)
}

// newest returns the newest reports of tasks that this node still holds, and forgets
// those of other tasks.
func (p *progressReports) newest() []jobs.TaskProgress {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []jobs.TaskProgress
	for session, list := range p.current {
		list = slices.DeleteFunc(list, func(r report) bool {
			x, held := session.Execution(r.Task)
			return !held || x.Lease != r.lease || ended(session)
		})
		if len(list) == 0 {
			delete(p.current, session)
			continue
		}
		p.current[session] = list
		for _, r := range list {
			all = append(all, r.TaskProgress)
		}
	}
	slices.SortFunc(all, func(a, b jobs.TaskProgress) int {
		return cmp.Or(b.At.Compare(a.At.Time), cmp.Compare(a.Task, b.Task))
	})
	return all[:min(len(all), statusReports)]
}

// oneLine returns text without control characters, cut to its bound.
func oneLine(text string) string {
	runes := []rune(strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.TrimSpace(text)))
	if len(runes) > jobs.ProgressMessage {
		return string(runes[:jobs.ProgressMessage-1]) + "…"
	}
	return string(runes)
}

// ended reports whether a session is closed.
func ended(session *tasksocket.Session) bool {
	select {
	case <-session.Done():
		return true
	default:
		return false
	}
}
