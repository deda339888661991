package engine

import (
	"encoding/json"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// maxLosses is after how many deaths of its process or node a task that ran alone
// fails. Fewer may be bad luck, such as an operator's kill.
const maxLosses = 3

// takeRetries splits the outcomes of a chunk: those to record, the spans to run again
// (because attempts are left, or because one death proves nothing), and the failed
// attempts, which are kept for users.
func takeRetries(runs []outcomes.Encoded, lease store.Lease, policy jobs.Policy) (kept []outcomes.Encoded, again []store.BacklogSpan, attempts []store.Attempt) {
	left := lease.Attempt < *policy.MaxAttempts
	wait := backoff(policy.RetryBackoff.Value(), lease.Attempt, rand.Float64())
	for _, run := range runs {
		var failed []store.BacklogSpan
		stay, _ := run.Without(func(offset int32, line outcomes.Line) bool {
			var e jobs.TaskError
			if err := json.Unmarshal(line.Value(), &e); err != nil {
				return false
			}
			span := store.BacklogSpan{First: run.First + int64(offset), Count: 1, Attempt: lease.Attempt}
			if e.Kind == jobs.KindCrash {
				span.Losses = 1
				if lease.Count == 1 { // it ran alone before, too
					span.Losses += lease.Losses
				}
			}
			switch {
			case e.Kind == jobs.KindCrash && span.Losses < maxLosses:
			case left:
				span.Attempt, span.Losses, span.Wait = lease.Attempt+1, 0, wait
			default:
				return false
			}
			failed = append(failed, span)
			attempts = append(attempts, store.Attempt{Index: span.First, Attempt: lease.Attempt, Error: &e})
			return true
		})
		kept = append(kept, stay...)
		again = append(again, join(failed)...)
	}
	place(attempts, runs)
	return kept, again, attempts
}

// backlogSpans returns spans of a chunk for the backlog, with as many losses more. The
// losses of a task count from when it is alone.
func backlogSpans(lease store.Lease, spans []jobs.Span, losses int) []store.BacklogSpan {
	var again []store.BacklogSpan
	for _, s := range spans {
		p := store.BacklogSpan{First: s.First, Count: s.Count, Attempt: lease.Attempt, Losses: losses}
		if s.Count > 1 || lease.Count == 1 {
			p.Losses += lease.Losses
		}
		again = append(again, p)
	}
	return again
}

// place sets when in their chunk the attempts were made and how long they took. They
// are in the order of their tasks, which ran one after the other.
func place(attempts []store.Attempt, runs []outcomes.Encoded) {
	var before time.Duration
	for _, run := range runs {
		for i := range run.Count {
			if len(attempts) == 0 {
				return
			}
			took, _ := run.Duration(i)
			if attempts[0].Index == run.First+int64(i) {
				attempts[0].After, attempts[0].Took = before, took
				attempts = attempts[1:]
			}
			before += took
		}
	}
}

// join merges neighbours that wait for the same attempt: they are claimed together. A
// task that may have killed its process stays alone.
func join(spans []store.BacklogSpan) []store.BacklogSpan {
	var joined []store.BacklogSpan
	for _, p := range spans {
		if n := len(joined); n > 0 && p.Losses == 0 {
			last := &joined[n-1]
			if last.Losses == 0 && last.First+int64(last.Count) == p.First && last.Attempt == p.Attempt {
				last.Count++
				continue
			}
		}
		joined = append(joined, p)
	}
	return joined
}

// wakes are the times at which jobs get a turn because a task is due again.
type wakes struct {
	mu  sync.Mutex
	due map[string]time.Time // by job, the next one
}

// add notes that a job is due. It reports false where the job has an earlier wake.
func (w *wakes) add(job string, due time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if next, ok := w.due[job]; ok && !next.After(due) {
		return false
	}
	if w.due == nil {
		w.due = make(map[string]time.Time)
	}
	w.due[job] = due
	return true
}

// remove drops a wake, unless an earlier one has replaced it.
func (w *wakes) remove(job string, due time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.due[job].Equal(due) {
		delete(w.due, job)
	}
}

// dueMargin is the time from when a span is due, reckoned from the database's
// answer, until a turn is asked for it.
const dueMargin = 2 * time.Millisecond

// wakeForRetry inserts turns for a job as soon as the first of the spans is due.
// Recovery would, up to a second later; it does for spans that are due after the job's
// next wake.
func (e *Engine) wakeForRetry(job string, spans []store.BacklogSpan) {
	wait, ok := firstWait(spans)
	if !ok {
		return
	}
	wait += dueMargin
	due := time.Now().Add(wait)
	if !e.retries.wakes.add(job, due) {
		return
	}
	e.background.Go(func() {
		select {
		case <-e.running.Done():
			return
		case <-time.After(wait):
		}
		e.retries.wakes.remove(job, due)
		e.dispatchSoon(e.running, job)
	})
}

// firstWait returns the shortest wait of the spans that have one.
func firstWait(spans []store.BacklogSpan) (wait time.Duration, ok bool) {
	for _, p := range spans {
		if p.Wait > 0 && (!ok || p.Wait < wait) {
			wait, ok = p.Wait, true
		}
	}
	return wait, ok
}

// maxBackoff is the longest wait before another attempt.
const maxBackoff = time.Hour

// backoff returns the wait after a failed attempt (1 is the first): the policy's,
// doubled with each further attempt, times 0.75 to 1.25 by jitter in [0, 1).
func backoff(base time.Duration, attempt int, jitter float64) time.Duration {
	wait := base
	for range attempt - 1 {
		if wait >= maxBackoff {
			break
		}
		wait *= 2
	}
	return time.Duration(float64(min(wait, maxBackoff)) * (0.75 + jitter/2))
}
