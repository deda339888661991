package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/exec/slots"
	"github.com/allcores/allcores/internal/store"
)

// ErrKeyReused is returned for an idempotency key that stood for another
// request.
var ErrKeyReused = errors.New("the idempotency key was used with another request")

// Check lists every violation of a submission, those included that only this
// node can find: an unknown queue, source that does not compile. It brings the
// inputs into the form in which they are stored.
func (e *Engine) Check(ctx context.Context, spec *jobs.Spec) (jobs.Invalid, error) {
	found := spec.Validate()
	if py := spec.Program.Python; py != nil && e.CheckPython != nil &&
		!slices.ContainsFunc(found, func(v jobs.Violation) bool { return v.Location == "program.python.source" }) {
		more, err := e.CheckPython(ctx, *py)
		if err != nil {
			return nil, fmt.Errorf("compile source: %w", err)
		}
		for _, v := range more {
			if !slices.ContainsFunc(found, func(w jobs.Violation) bool { return w.Location == v.Location }) {
				found = append(found, v)
			}
		}
	}
	name := spec.WithDefaults().Queue
	if jobs.ValidName(name) {
		_, err := e.slotsOf(ctx, name)
		switch {
		case errors.Is(err, jobs.ErrNotFound):
			found = append(found, jobs.Violation{Location: "queue", Message: "there is no such queue", Value: name})
		case err != nil:
			return nil, err
		}
	}
	return found, nil
}

// Submit makes a job of a submission: the job, its inputs and its turns are
// written in one transaction. With a key that stands for an earlier, equal
// request it returns that request's job and true. The error is jobs.Invalid
// when the submission has violations.
//
// Turns for which this node has free slots are not sent through River's line:
// they are written as fetched already, with their first chunks claimed, and
// begin when the transaction is committed.
func (e *Engine) Submit(ctx context.Context, user *jobs.User, spec jobs.Spec, key *store.Key) (id string, replayed bool, err error) {
	return e.SubmitAs(ctx, store.NewID(), user, spec, key)
}

// SubmitAs is Submit with the id that the job gets, by store.NewID, so that the
// caller can watch it before anything of it is heard.
func (e *Engine) SubmitAs(ctx context.Context, id string, user *jobs.User, spec jobs.Spec, key *store.Key) (_ string, replayed bool, err error) {
	found, err := e.Check(ctx, &spec)
	if err != nil {
		return "", false, err
	}
	if len(found) > 0 {
		return "", false, found
	}
	spec = spec.WithDefaults()
	slots, err := e.slotsOf(ctx, spec.Queue)
	if err != nil {
		return "", false, err
	}
	lanes := max(slots / *spec.Policy.CoresPerProcess, 1)
	if spec.Policy.Processes != nil {
		lanes = *spec.Policy.Processes
	}
	work := &store.Work{
		Job: id, OwnerID: user.ID, Queue: spec.Queue, Priority: spec.Priority,
		Program: spec.Program, Inputs: spec.Inputs.Shape(), Policy: spec.Policy,
	}
	guess := e.stats.guess(keyOf(work))
	turns := usefulTurns(lanes, spec, guess)
	e.handover.RLock()
	defer e.handover.RUnlock()
	held, here := e.takeSlots(work, turns, guess)
	defer func() {
		for _, slot := range held { // those that no turn has taken over
			slot.Release()
		}
	}()
	insert := store.NewJob{ID: id, OwnerID: user.ID, Spec: spec, Lanes: lanes, Turns: turns, Here: here}
	var begun []store.Begun
	if key == nil {
		begun, err = e.Store.InsertJob(ctx, nil, insert)
	} else {
		err = e.Store.Tx(ctx, func(tx pgx.Tx) error {
			earlier, same, err := e.Store.ClaimKey(ctx, tx, *key, id)
			switch {
			case err != nil:
				return err
			case earlier == "":
				begun, err = e.Store.InsertJob(ctx, tx, insert)
				return err
			case !same:
				return ErrKeyReused
			}
			id, replayed = earlier, true
			return nil
		})
	}
	if err != nil || replayed {
		return id, replayed, err
	}
	e.works.put(work)
	for i, b := range begun {
		e.start(b, work, e.queues.get(work.Queue), held[i])
	}
	held = held[len(begun):]
	e.Store.Feed.Wake("")
	if turns > len(begun) {
		e.nudges.expect(id, spec.Queue)
	}
	return id, false, nil
}

// usefulTurns is how many turns a new job begins with: no more than there can be
// chunks, by what is known of its program.
func usefulTurns(lanes int, spec jobs.Spec, guess *stats) int {
	_, least := guess.size(*spec.Policy.Threads)
	if fixed := spec.Policy.ChunkSize; fixed != nil {
		least = *fixed
	}
	chunks := (spec.Inputs.Count() + int64(least) - 1) / int64(least)
	return int(min(int64(lanes), chunks))
}

// takeSlots takes the slots that are free here for turns of a new job, and
// returns their lanes' first claims.
func (e *Engine) takeSlots(w *store.Work, turns int, guess *stats) (held []*slots.Slot, claims []store.Claim) {
	q := e.queues.get(w.Queue)
	if q == nil || !q.open.Load() || e.Executors[w.Program.Kind()] == nil || !e.started {
		return nil, nil
	}
	for len(held) < turns {
		slot := q.slots.TryAcquire(*w.Policy.CoresPerProcess)
		if slot == nil {
			break
		}
		held = append(held, slot)
		l := &lane{engine: e, work: w, number: len(claims), cores: slot.Cores, stats: guess}
		claims = append(claims, *l.claim())
	}
	return held, claims
}

// dispatch inserts the turns that a job lacks.
func (e *Engine) dispatch(ctx context.Context, job string) error {
	w, err := e.work(ctx, job)
	if err != nil {
		return err
	}
	return e.Store.Tx(ctx, func(tx pgx.Tx) error {
		first, n, err := e.Store.Missing(ctx, tx, job)
		if err != nil {
			return err
		}
		turns := make([]store.Turn, n)
		for i := range turns {
			turns[i] = store.Turn{Job: job, Lane: first + i, Queue: w.Queue, Priority: w.Priority}
		}
		return e.Store.InsertTurns(ctx, tx, turns)
	})
}
