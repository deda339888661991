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

// Check lists every violation of a submission, with those that only a node can find:
// an unknown queue, source that does not compile. It brings the inputs into the form
// in which they are stored.
func (e *Engine) Check(ctx context.Context, spec *jobs.Spec) (jobs.Invalid, error) {
	found := spec.Validate()
	if py := spec.Program.Python; py != nil && e.Checks.Python != nil &&
		!slices.ContainsFunc(found, func(v jobs.Violation) bool { return v.Location == "program.python.source" }) {
		more, err := e.Checks.Python(ctx, *py)
		if err != nil {
			return nil, fmt.Errorf("compile source: %w", err)
		}
		for _, v := range more {
			if !slices.ContainsFunc(found, func(w jobs.Violation) bool { return w.Location == v.Location }) {
				found = append(found, v)
			}
		}
	}
	if cmd := spec.Program.Command; cmd != nil && e.Checks.Command != nil && len(found) == 0 {
		more, err := e.Checks.Command(ctx, *cmd)
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

// alone reports whether this node serves a queue and no other living node does. Only
// then can no task find a program that this node lacks.
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

// A SubmitRequest asks for a job.
type SubmitRequest struct {
	User *jobs.User
	Spec jobs.Spec
	Key  *store.Key // makes the request repeatable; nil for none
	ID   string     // of the job, by store.NewJobID, for a caller that watches it from the start; empty for a new one

	// Values, if not nil, are the inputs, in any number, of a submission that is
	// known only when they have ended. Describe then returns the submission for
	// their number and its key; Spec and Key are ignored.
	Values   iter.Seq2[[]byte, error]
	Describe func(count int64) (jobs.Spec, *store.Key, error)
}

// Submit writes a job, its inputs and its turns in one transaction and returns
// the job's id. When an equal request has taken the key, the key is Replayed,
// nothing is written, and the id is that of the earlier request's job. The error
// is jobs.Invalid when the submission has violations.
//
// Turns for which this node has free slots skip River's queue: they are written
// as fetched, with their first chunks claimed, and begin when the transaction is
// committed. Turns of streamed inputs all go through River's queue.
func (e *Engine) Submit(ctx context.Context, r SubmitRequest) (id string, err error) {
	if r.ID == "" {
		r.ID = e.Store.NewJobID()
	}
	if r.Values != nil {
		return e.submitStreamed(ctx, r)
	}
	found, err := e.Check(ctx, &r.Spec)
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		if r.Key != nil { // a submission that was valid at first gets the same answer again
			if earlier, err := e.Store.KeyedJob(ctx, r.Key); err != nil || r.Key.Replayed {
				return earlier, err
			}
		}
		return "", found
	}
	n, work, guess, err := e.newJob(ctx, r.ID, r.User, r.Spec)
	if err != nil {
		return "", err
	}
	var acquired []*slots.Slot
	if n.Spec.Inputs.Stored == nil && e.inserting.enter() {
		defer e.inserting.leave()
		acquired, n.Here = e.takeSlots(work, n.Turns, guess)
	}
	defer func() {
		for _, slot := range acquired { // those that no turn has taken over
			slot.Release()
		}
	}()
	id, begun, err := e.insert(ctx, n, r.Key)
	if err != nil || r.Key.Replays() {
		return id, err
	}
	e.submitted(work, n.Turns > len(begun))
	for i, b := range begun {
		e.start(b, work, e.queues.get(work.Queue), acquired[i])
	}
	acquired = acquired[len(begun):]
	return id, nil
}

// insert writes a job, with a key only if no equal request has taken it. It
// returns the id of the job that answers the request, and the turns that begin
// here.
func (e *Engine) insert(ctx context.Context, n store.NewJob, key *store.Key) (id string, begun []store.Begun, err error) {
	if key == nil {
		begun, err = e.Store.InsertJob(ctx, nil, n)
		return n.ID, begun, err
	}
	id = n.ID
	err = e.Store.Tx(ctx, func(tx pgx.Tx) error {
		earlier, err := e.Store.ClaimKey(ctx, tx, key, n.ID)
		if err != nil || key.Replayed {
			id = earlier
			return err
		}
		begun, err = e.Store.InsertJob(ctx, tx, n)
		return err
	})
	return id, begun, err
}

// newJob builds the rows of a valid submission, the lane's view of the job, and
// the time estimate of its program.
func (e *Engine) newJob(ctx context.Context, id string, user *jobs.User, spec jobs.Spec) (n store.NewJob, w *store.Work, guess *estimate, err error) {
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
	guess = e.jobs.guess(keyOf(w))
	return store.NewJob{ID: id, OwnerID: user.ID, Spec: spec, Given: &given, Lanes: lanes, Turns: usefulTurns(lanes, spec.Inputs.Count(), spec.Policy, guess)}, w, guess, nil
}

// submitted notes a committed job on this node. turns says that some of its turns are
// in River's line.
func (e *Engine) submitted(w *store.Work, turns bool) {
	e.usage.submitted(w.Queue)
	e.jobs.works.put(w)
	e.Store.Feed.Wake("")
	if turns {
		e.turns.Expect(w.Job, w.Queue)
	}
}

// usefulTurns returns how many turns begin with new tasks of a job: no more than there
// can be chunks, and no more than the estimate makes worth a turn.
func usefulTurns(lanes int, count int64, policy jobs.Policy, guess *estimate) int {
	least := guess.tasksPerTurn(*policy.Threads)
	if fixed := policy.ChunkSize; fixed != nil {
		least = *fixed
	}
	return int(min(int64(lanes), (count+int64(least)-1)/int64(least)))
}

// submitStreamed is Submit for a request with Values. The job is invisible until
// the transaction commits. An error from Values or Describe is returned, and
// nothing is kept.
func (e *Engine) submitStreamed(ctx context.Context, r SubmitRequest) (id string, err error) {
	var n store.NewJob
	var work *store.Work
	var earlier string
	err = e.Store.InsertStreamed(ctx, r.ID, r.Values, func(tx pgx.Tx, count int64) (store.NewJob, error) {
		spec, key, err := r.Describe(count)
		if err != nil {
			return n, err
		}
		if key != nil {
			if earlier, err = e.Store.ClaimKey(ctx, tx, key, r.ID); err != nil {
				return n, err
			}
			if key.Replayed {
				return n, errReplayed
			}
		}
		found, err := e.Check(ctx, &spec)
		if err != nil {
			return n, err
		}
		if len(found) > 0 {
			return n, found
		}
		n, work, _, err = e.newJob(ctx, r.ID, r.User, spec)
		return n, err
	})
	if errors.Is(err, errReplayed) {
		return earlier, nil
	}
	if err != nil {
		return "", err
	}
	e.submitted(work, n.Turns > 0)
	return r.ID, nil
}

// errReplayed ends the transaction of a request that was answered before.
var errReplayed = errors.New("the request was answered before")

// checkStored checks whether the inputs of an earlier job fit the program. They do
// where that job's program takes the same inputs.
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

// takeSlots acquires the slots that are free here for turns of a new job, and returns
// their lanes' first claims.
func (e *Engine) takeSlots(w *store.Work, turns int, guess *estimate) (acquired []*slots.Slot, claims []store.Claim) {
	q := e.queues.get(w.Queue)
	if q == nil || !q.open.Load() || e.Executors[w.Program.Kind()] == nil {
		return nil, nil
	}
	for len(acquired) < turns {
		slot := q.slots.TryAcquire(*w.Policy.CoresPerProcess)
		if slot == nil {
			break
		}
		acquired = append(acquired, slot)
		c := nextClaim(w, guess, 0)
		c.Node, c.Lane, c.First = e.node.ID, len(claims), true
		if len(slot.Cores) > 0 {
			c.Core = &slot.Cores[0]
		}
		claims = append(claims, c)
	}
	return acquired, claims
}

// dispatch inserts the turns that a job lacks.
func (e *Engine) dispatch(ctx context.Context, job string) error {
	w, err := e.work(ctx, job)
	if err != nil {
		return err
	}
	return e.turns.Dispatch(ctx, w)
}
