package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor/slots"
	"github.com/allcores/allcores/internal/store"
)

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
	if cmd := spec.Program.Command; cmd != nil && e.CheckCommand != nil && len(found) == 0 {
		more, err := e.CheckCommand(ctx, *cmd)
		if err != nil {
			return nil, fmt.Errorf("check command: %w", err)
		}
		if len(more) > 0 {
			alone, err := e.alone(ctx, spec.WithDefaults().Queue)
			if err != nil {
				return nil, err
			}
			if alone {
				found = append(found, more...)
			}
		}
	}
	if in := spec.Inputs.Stored; in != nil && in.From != "" {
		more, err := e.checkStored(ctx, *in, spec.Program)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
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

// alone reports whether this node, and no other that is alive, serves a queue.
// Only then is a program that this node lacks one that no task will find.
func (e *Engine) alone(ctx context.Context, queue string) (bool, error) {
	nodes, err := e.Store.Nodes(ctx)
	if err != nil {
		return false, err
	}
	var here, elsewhere bool
	for _, n := range nodes {
		if n.Role == RoleWeb || !n.Alive || n.Serves != nil && !slices.Contains(n.Serves, queue) {
			continue
		}
		here = here || n.ID == e.NodeID()
		elsewhere = elsewhere || n.ID != e.NodeID()
	}
	return here && !elsewhere, nil
}

// Submit makes a job of a submission: the job, its inputs and its turns are
// written in one transaction. With a key that stands for an earlier, equal
// request, which is then Replayed, it returns that request's job. The error is
// jobs.Invalid when the submission has violations.
//
// Turns for which this node has free slots are not sent through River's line:
// they are written as fetched already, with their first chunks claimed, and
// begin when the transaction is committed.
func (e *Engine) Submit(ctx context.Context, user *jobs.User, spec jobs.Spec, key *store.Key) (id string, err error) {
	return e.SubmitAs(ctx, e.Store.NewJobID(), user, spec, key)
}

// SubmitAs is Submit with the id that the job gets, by store.NewID, so that the
// caller can watch it before anything of it is heard.
func (e *Engine) SubmitAs(ctx context.Context, id string, user *jobs.User, spec jobs.Spec, key *store.Key) (string, error) {
	found, err := e.Check(ctx, &spec)
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		if key != nil { // what was right when it came first is answered again
			if earlier, err := e.Store.KeyedJob(ctx, key); err != nil || key.Replayed {
				return earlier, err
			}
		}
		return "", found
	}
	n, work, guess, err := e.newJob(ctx, id, user, spec)
	if err != nil {
		return "", err
	}
	e.handover.RLock()
	defer e.handover.RUnlock()
	var held []*slots.Slot
	if n.Spec.Inputs.Stored == nil {
		held, n.Here = e.takeSlots(work, n.Turns, guess)
	}
	defer func() {
		for _, slot := range held { // those that no turn has taken over
			slot.Release()
		}
	}()
	var begun []store.Begun
	if key == nil {
		begun, err = e.Store.InsertJob(ctx, nil, n)
	} else {
		err = e.Store.Tx(ctx, func(tx pgx.Tx) error {
			earlier, err := e.Store.ClaimKey(ctx, tx, key, id)
			if err != nil || key.Replayed {
				id = earlier
				return err
			}
			begun, err = e.Store.InsertJob(ctx, tx, n)
			return err
		})
	}
	if err != nil || key.Replays() {
		return id, err
	}
	e.submitted(work, n.Turns > len(begun))
	for i, b := range begun {
		e.start(b, work, e.queues.get(work.Queue), held[i])
	}
	held = held[len(begun):]
	return id, nil
}

// newJob is what is to be inserted for a submission without violations, what a
// lane must know of it, and what is known of its program.
func (e *Engine) newJob(ctx context.Context, id string, user *jobs.User, spec jobs.Spec) (n store.NewJob, w *store.Work, guess *stats, err error) {
	given := spec.Policy
	spec = spec.WithDefaults()
	slots, err := e.slotsOf(ctx, spec.Queue)
	if err != nil {
		return n, nil, nil, err
	}
	lanes := max(slots / *spec.Policy.CoresPerProcess, 1)
	if spec.Policy.Processes != nil {
		lanes = *spec.Policy.Processes
	}
	w = &store.Work{
		Job: id, OwnerID: user.ID, Queue: spec.Queue, Priority: spec.Priority,
		Program: spec.Program, Inputs: spec.Inputs.Shape(), Policy: spec.Policy,
	}
	guess = e.stats.guess(keyOf(w))
	return store.NewJob{ID: id, OwnerID: user.ID, Spec: spec, Given: &given, Lanes: lanes, Turns: usefulTurns(lanes, spec, guess)}, w, guess, nil
}

// submitted makes a job that was committed known on this node. turns says that
// some of its turns are in River's line.
func (e *Engine) submitted(w *store.Work, turns bool) {
	e.meter.submitted(w.Queue)
	e.works.put(w)
	e.Store.Feed.Wake("")
	if turns {
		e.nudges.expect(w.Job, w.Queue)
	}
}

// usefulTurns is how many turns a new job begins with: no more than there can be
// chunks, and no more than are worth a turn by what is known of its program.
func usefulTurns(lanes int, spec jobs.Spec, guess *stats) int {
	count := spec.Inputs.Count()
	least := guess.turn(*spec.Policy.Threads)
	if fixed := spec.Policy.ChunkSize; fixed != nil {
		least = *fixed
	}
	return int(min(int64(lanes), (count+int64(least)-1)/int64(least)))
}

// SubmitStream is Submit for inputs that come from values, in any number, of a
// submission that is known only when they have ended: spec is asked for it with
// their number, and for the key of the request, or nil. Until then nothing of the
// job can be seen, and if values or spec end with an error, which is returned,
// nothing of it is kept. Nor is it when an equal request has taken the key: then
// the id is that of the job that answered it.
func (e *Engine) SubmitStream(ctx context.Context, user *jobs.User, values iter.Seq2[[]byte, error], spec func(count int64) (jobs.Spec, *store.Key, error)) (id string, err error) {
	var n store.NewJob
	var work *store.Work
	var earlier string
	id = e.Store.NewJobID()
	err = e.Store.InsertStreamed(ctx, id, values, func(tx pgx.Tx, count int64) (store.NewJob, error) {
		s, key, err := spec(count)
		if err != nil {
			return n, err
		}
		if key != nil {
			if earlier, err = e.Store.ClaimKey(ctx, tx, key, id); err != nil {
				return n, err
			}
			if key.Replayed {
				return n, errReplayed
			}
		}
		found, err := e.Check(ctx, &s)
		if err != nil {
			return n, err
		}
		if len(found) > 0 {
			return n, found
		}
		n, work, _, err = e.newJob(ctx, id, user, s)
		return n, err
	})
	if errors.Is(err, errReplayed) {
		return earlier, nil
	}
	if err != nil {
		return "", err
	}
	e.submitted(work, n.Turns > 0)
	return id, nil
}

// errReplayed ends the transaction of a request that was answered before.
var errReplayed = errors.New("the request was answered before")

// checkStored looks whether the inputs of an earlier job fit the program. Those
// that fitted the same way of being called do.
func (e *Engine) checkStored(ctx context.Context, in jobs.Stored, p jobs.Program) (jobs.Invalid, error) {
	const gone = "the job whose inputs were to be used is not there any more"
	was, err := e.Store.Work(ctx, in.From)
	if errors.Is(err, jobs.ErrNotFound) {
		return jobs.Invalid{{Location: "inputs", Message: gone}}, nil
	}
	if err != nil || p.WantsInputsOf(was.Program) {
		return nil, err
	}
	index, message, err := e.Store.WrongInput(ctx, in.From, p)
	if err != nil || message == "" {
		return nil, err
	}
	return jobs.Invalid{{Location: "inputs", Message: fmt.Sprintf("no. %d %s", index+1, message)}}, nil
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
