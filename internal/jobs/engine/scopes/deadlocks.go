package scopes

import (
	"context"
	"fmt"

	"github.com/allcores/allcores/internal/jobs/shared"
	"github.com/allcores/allcores/internal/store"
)

// calm counts rounds of the watch in which nothing happened in a space.
type calm struct {
	steps  uint64
	rounds int
}

// starvedRounds is after how many calm rounds tasks that wait count as deadlocked
// although others are unclaimed, as all of the job's lanes wait.
const starvedRounds = 10

// findDeadlock fails tasks of the scope's job that wait for each other. It must find the
// space calm twice, with the facts from between.
func (h *home) findDeadlock(ctx context.Context) error {
	job := h.place.scope.Job
	if job == "" {
		return nil
	}
	h.mu.Lock()
	blocked := h.space.Blocked(job)
	steps := h.space.Quiet()
	if len(blocked) == 0 || steps != h.calm.steps || len(h.clients) > 0 {
		h.calm = calm{steps: steps}
		h.mu.Unlock()
		return nil
	}
	h.calm.rounds++
	rounds := h.calm.rounds
	h.mu.Unlock()
	facts, err := h.place.service.Store.SharedFacts(ctx, job)
	if err != nil {
		return err
	}
	why, deadlocked := judge(facts, blocked, rounds)
	if !deadlocked {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != serving || h.space.Quiet() != steps {
		return nil
	}
	h.place.service.Logger.Warn("tasks wait for each other; they fail", "job", job, "tasks", len(blocked))
	h.space.Deadlock(blocked, why)
	h.deliver()
	return nil
}

// judge reports whether nobody can wake the blocked tasks of a job, and why.
func judge(f store.SharedFacts, blocked []shared.Blocked, rounds int) (why string, deadlocked bool) {
	if f.Open || f.Ended || f.Halt == "paused" || f.Halt == "cancelled" {
		return "", false
	}
	type lane struct {
		node   string
		number int
	}
	lanes := make(map[int64]lane) // by lease
	claimed := make(map[lane]int) // tasks
	waiting := make(map[lane]int) // tasks
	for _, l := range f.Leases {
		on := lane{l.Node, l.Lane}
		lanes[l.ID] = on
		claimed[on] += l.Count
	}
	for _, b := range blocked {
		if on, ok := lanes[b.Lease]; ok {
			waiting[on]++
		}
	}
	behind := 0
	for on, n := range claimed {
		runs := min(n, f.Threads)
		if waiting[on] < runs {
			return "", false // a task of the lane may go on
		}
		behind += n - runs
	}
	if f.Unclaimed == 0 || f.Halt != "" {
		if behind > 0 {
			return fmt.Sprintf("%d tasks stand behind them in their chunks", behind), rounds >= starvedRounds
		}
		return "no other task of the job runs or could run", true
	}
	if len(claimed) < f.Lanes || rounds < starvedRounds {
		return "", false
	}
	return fmt.Sprintf("%d tasks are unclaimed, but all %d lanes of the job wait", f.Unclaimed, f.Lanes), true
}
