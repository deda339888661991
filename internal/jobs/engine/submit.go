package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
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
	if in := spec.Inputs.Stored; in != nil && in.From != "" {
		more, err := e.checkStored(ctx, *in, spec.Program)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	name := spec.WithDefaults().Queue
	if jobs.ValidName(name) {
		_, err := e.look(ctx, name)
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
func (e *Engine) Submit(ctx context.Context, user *jobs.User, spec jobs.Spec, key *store.Key) (id string, replayed bool, err error) {
	found, err := e.Check(ctx, &spec)
	if err != nil {
		return "", false, err
	}
	if len(found) > 0 {
		return "", false, found
	}
	n, err := e.newJob(ctx, user, spec)
	if err != nil {
		return "", false, err
	}
	id = n.ID
	err = e.Store.Tx(ctx, func(tx pgx.Tx) error {
		if key != nil {
			earlier, same, err := e.Store.ClaimKey(ctx, tx, *key, id)
			if err != nil {
				return err
			}
			if earlier != "" {
				if !same {
					return ErrKeyReused
				}
				id, replayed = earlier, true
				return nil
			}
		}
		return e.Store.InsertJob(ctx, tx, n)
	})
	if err != nil {
		return "", false, err
	}
	if !replayed {
		e.submitted(n)
	}
	return id, replayed, nil
}

// SubmitStream is Submit for inputs that come from values, in any number, of a
// submission that is known only when they have ended: spec is asked for it with
// their number. Until then nothing of the job can be seen, and if values or spec
// end with an error, which is returned, nothing of it is kept.
func (e *Engine) SubmitStream(ctx context.Context, user *jobs.User, values iter.Seq2[[]byte, error], spec func(count int64) (jobs.Spec, error)) (id string, err error) {
	var n store.NewJob
	id = store.NewID()
	err = e.Store.InsertStreamed(ctx, id, values, func(count int64) (store.NewJob, error) {
		s, err := spec(count)
		if err != nil {
			return n, err
		}
		found, err := e.Check(ctx, &s)
		if err != nil {
			return n, err
		}
		if len(found) > 0 {
			return n, found
		}
		n, err = e.newJob(ctx, user, s)
		n.ID = id
		return n, err
	})
	if err != nil {
		return "", err
	}
	e.submitted(n)
	return id, nil
}

// newJob is what is to be inserted for a submission without violations.
func (e *Engine) newJob(ctx context.Context, user *jobs.User, spec jobs.Spec) (store.NewJob, error) {
	spec = spec.WithDefaults()
	look, err := e.look(ctx, spec.Queue)
	if err != nil {
		return store.NewJob{}, err
	}
	lanes := max(look.slots / *spec.Policy.CoresPerProcess, 1)
	if spec.Policy.Processes != nil {
		lanes = *spec.Policy.Processes
	}
	turns := int(min(int64(lanes), spec.Inputs.Count()))
	return store.NewJob{ID: store.NewID(), OwnerID: user.ID, Spec: spec, Lanes: lanes, Turns: turns}, nil
}

// submitted makes a job that was committed known on this node.
func (e *Engine) submitted(n store.NewJob) {
	e.works.put(&store.Work{
		Job: n.ID, OwnerID: n.OwnerID, Queue: n.Spec.Queue, Priority: n.Spec.Priority,
		Program: n.Spec.Program, Inputs: n.Spec.Inputs.Shape(), Policy: n.Spec.Policy,
	})
	e.Store.Feed.Wake(n.ID)
	if n.Turns > 0 {
		e.nudges.expect(n.ID, n.Spec.Queue)
	}
}

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

// turnArgs is what a turn carries in River.
type turnArgs struct {
	Job  string `json:"job"`
	Lane int    `json:"lane"`
}

// Kind is the turns' kind in River.
func (turnArgs) Kind() string { return store.TurnKind }

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

// A look is what a submission must know of a queue, as read a moment ago.
type look struct {
	queue jobs.Queue
	slots int
	at    time.Time
}

// lookFor is how long a look at a queue is good for.
const lookFor = time.Second

func (e *Engine) look(ctx context.Context, name string) (look, error) {
	if l, ok := e.looks.Load(name); ok && time.Since(l.(look).at) < lookFor {
		return l.(look), nil
	}
	q, n, err := e.Store.QueueSlots(ctx, name)
	if err != nil {
		e.looks.Delete(name)
		return look{}, err
	}
	l := look{q, n, time.Now()}
	e.looks.Store(name, l)
	return l, nil
}
