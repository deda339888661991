package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/store"
)

// take records an update of the executor and claims what it may run next.
func (l *laneLoop) take(ctx context.Context, u executor.Update) {
	h := l.leases[u.Chunk]
	if h == nil {
		return
	}
	l.keepLogs(ctx, u)
	if len(u.Outcomes) > 0 {
		l.engine.retries.loads.succeeded(l.work.Job, l.turn.Lane)
	}
	switch {
	case u.Ended && len(u.Outcomes) > 0:
		l.feed.overdue = false
	case len(u.Back) > 0 && !u.Recalled:
		l.feed.overdue = true
	}
	// Record finished tasks although the lane was cancelled, unless the node has lost
	// its leases.
	lost := errors.Is(context.Cause(ctx), errLeaseLost)
	if !u.Ended {
		switch {
		case lost:
		case u.Recalled:
			l.answerRecalls(ctx, h, u.Back)
		default:
			l.recordEarly(ctx, h, u)
			l.giveBack(ctx, h, u.Back)
		}
		return
	}
	l.feed.atHand--
	if lost {
		delete(l.leases, u.Chunk)
	} else {
		l.record(ctx, h, u)
	}
	l.fill(ctx)
}

// giveBack returns the untouched part of a chunk that goes on running.
func (l *laneLoop) giveBack(ctx context.Context, h *lease, back []executor.Span) {
	if len(back) == 0 || h.stray {
		return
	}
	for _, span := range back {
		h.leave(span)
	}
	h.cut = true
	l.publish()
	p, err := retry(ctx, func(ctx context.Context) (store.Progress, error) {
		return l.engine.Store.GiveBack(ctx, h.ID, h.left, back)
	})
	if err != nil {
		l.failed, h.stray = fmt.Errorf("give back tasks: %w", err), true
		return
	}
	l.recruit(ctx, p)
}

// recruit inserts turns when a job has something to claim and too few of them.
func (l *laneLoop) recruit(ctx context.Context, p store.Progress) {
	if p.Held && p.Halted == "" && p.Turns < p.Lanes {
		l.engine.dispatchSoon(ctx, l.work.Job)
	}
}

// errAllEarly is the error of an executor that breaks its promise about updates.
var errAllEarly = errors.New("the executor sent all outcomes of a chunk before its end")

// recordEarly writes outcomes of a chunk that goes on. Where the lease is not held any
// more nothing is written, now and at the end.
func (l *laneLoop) recordEarly(ctx context.Context, h *lease, u executor.Update) {
	if len(u.Outcomes) == 0 || h.stray {
		return
	}
	if !l.flushShared(ctx) {
		h.stray = true
		return
	}
	rec, again := newRecord(l.work, h, u, time.Now())
	rec.Count = h.leaveEarly(u.Outcomes)
	if rec.Left = h.left; len(rec.Left) == 0 {
		l.failed, h.stray = errAllEarly, true
		return
	}
	rec.Logs = l.logs.lines
	rec.Notify = l.job.notify(l.notifyProgress)
	p, err := retry(ctx, func(ctx context.Context) (store.Progress, error) {
		p, _, err := l.engine.Store.Record(ctx, rec, nil)
		return p, err
	})
	if err != nil {
		l.failed, h.stray = err, true
		return
	}
	l.logs.clear()
	if p.Held {
		l.endShared(h.ID, rec.Outcomes, rec.Back)
		l.engine.usage.ran(l.work.Queue, u, rec.Outcomes)
		l.engine.wakeForRetry(l.work.Job, again)
	}
	l.heed(ctx, p, len(rec.Back) > 0)
}

// record writes what became of a chunk and claims the next one with it.
func (l *laneLoop) record(ctx context.Context, h *lease, u executor.Update) {
	defer delete(l.leases, h.ID)
	if h.stray || !l.flushShared(ctx) {
		return
	}
	rec, again := newRecord(l.work, h, u, time.Now())
	l.job.learn(h, u, len(rec.Back)-len(again) > 0)
	rec.Logs = l.logs.lines
	rec.Notify = l.job.notify(l.notifyProgress)
	var next *store.Claim
	if l.wantsMore() && l.quantumLeft() && (l.known.unclaimed > 0 || len(rec.Back) > 0) {
		claim := l.nextClaim()
		next = &claim
	}
	type recorded struct {
		store.Progress
		store.Claimed
	}
	answer, err := retry(ctx, func(ctx context.Context) (recorded, error) {
		p, c, err := l.engine.Store.Record(ctx, rec, next)
		return recorded{p, c}, err
	})
	if err != nil {
		l.failed = err
		return
	}
	l.logs.clear()
	if answer.Held {
		l.endShared(h.ID, rec.Outcomes, rec.Back)
		l.engine.usage.ran(l.work.Queue, u, rec.Outcomes)
		l.engine.wakeForRetry(l.work.Job, again)
	}
	if answer.Lease != nil {
		l.push(ctx, answer.Claimed)
	}
	l.heed(ctx, answer.Progress, len(rec.Back) > 0)
}

// newRecord builds what is recorded of a chunk from an update, which is the last one.
// again are the spans of it that run again because they failed.
func newRecord(w *store.Work, h *lease, u executor.Update, now time.Time) (rec store.Record, again []store.BacklogSpan) {
	rec = store.Record{
		Job: w.Job, Lease: h.ID, Count: h.count(),
		Usage: store.Usage{
			User: u.Usage.User, System: u.Usage.System, Tasks: u.Usage.InTasks, Moving: u.Usage.Moving,
			PeakMemory: u.Usage.PeakMemory,
			StartedAt:  since(u.Usage.StartedAt, now), FinishedAt: since(u.Usage.FinishedAt, now),
		},
	}
	rec.Back = backlogSpans(h.Lease, u.Back, 0)
	for _, index := range u.Suspects {
		rec.Back = append(rec.Back, store.BacklogSpan{First: index, Count: 1, Attempt: h.Attempt, Losses: 1})
	}
	rec.Back = append(rec.Back, backlogSpans(h.Lease, u.Lost, 1)...)
	rec.Outcomes, again, rec.Attempts = takeRetries(u.Outcomes, h.Lease, w.Policy)
	rec.Back = append(rec.Back, again...)
	for i := range rec.Attempts {
		rec.Attempts[i].After += h.early.ran
	}
	return rec, again
}

// since is how long before now t was; 0 for no time.
func since(t, now time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return now.Sub(t)
}

// heed acts on the state of the job that the store returned.
func (l *laneLoop) heed(ctx context.Context, p store.Progress, gaveBack bool) {
	if !p.Held {
		return // the present holder of the lease acts on it
	}
	if p.Ended {
		l.known.ended = true
		l.job.silence()
	}
	if p.FailuresAllowed < p.Total {
		l.known.failures = max(p.FailuresAllowed-p.Failed, 0)
	}
	switch p.Halted {
	case "":
		if gaveBack {
			l.recruit(ctx, p)
		}
	case "cancelled":
		l.cancel(errCancelled)
	default:
		l.halt()
	}
}

// notifyProgress notifies the other nodes of the job's progress.
func (l *laneLoop) notifyProgress() {
	ctx, cancel := context.WithTimeout(context.Background(), bookkeeping)
	defer cancel()
	if err := l.engine.Store.NotifyProgress(ctx, l.work.Job); err != nil && !errors.Is(err, jobs.ErrUnavailable) {
		l.engine.Logger.Warn("notify of progress", "job", l.work.Job, "error", err)
	}
}

// keepLogs buffers the lines of an update.
func (l *laneLoop) keepLogs(ctx context.Context, u executor.Update) {
	if l.logs.add(u.Chunk, u.Logs); l.logs.full() {
		l.flushLogs(ctx)
	}
}

// flushLogs writes the buffered lines and, at most as often as of progress, notifies
// the other nodes.
func (l *laneLoop) flushLogs(ctx context.Context) {
	if len(l.logs.lines) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeeping)
	defer cancel()
	if err := l.engine.Store.AppendLogs(ctx, l.work.Job, l.logs.chunk, l.logs.lines); err != nil {
		l.engine.Logger.Warn("keep log lines", "job", l.work.Job, "lines", len(l.logs.lines), "error", err)
	} else if l.job.notify(l.notifyProgress) {
		l.notifyProgress()
	}
	l.logs.clear()
}

// retry repeats a database call while the database is away, until the lane loses
// its leases. Being cancelled does not stop it: what was done is kept.
func retry[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	wait := 10 * time.Millisecond
	cancelled := ctx.Done()
	for {
		attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeeping)
		answer, err := call(attempt)
		cancel()
		if !errors.Is(err, jobs.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
			return answer, err
		}
		if errors.Is(context.Cause(ctx), errLeaseLost) {
			return answer, errLeaseLost
		}
		select {
		case <-time.After(wait):
		case <-cancelled:
			cancelled = nil
		}
		wait = min(2*wait, time.Second)
	}
}
