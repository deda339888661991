package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/store"
)

// Bounds of a call.
const (
	maxWait    = time.Minute
	maxOutputs = 1 << 20 // bytes of outputs in the answer about a job
	maxKey     = 255     // characters of an idempotency key
)

// A jobAnswer is a job and, if the call waited, its outputs.
type jobAnswer struct {
	jobs.Job
	Outputs json.RawMessage `json:"outputs,omitempty" doc:"The outputs as an array, null for each task that did not succeed. Only if the call waited, the job has ended, and the outputs fit in 1 MiB."`
}

type jobOutput struct{ Body jobAnswer }

// waitOf converts seconds to a wait of at most maxWait.
func waitOf(seconds float64) time.Duration {
	if !(seconds > 0) {
		return 0
	}
	return time.Duration(math.Min(seconds, maxWait.Seconds()) * float64(time.Second))
}

// answer reads a job, waits for its end where wait is positive, and then adds
// its outputs.
func (s *Site) answer(ctx context.Context, v store.Viewer, id string, wait time.Duration) (*jobAnswer, error) {
	if wait == 0 {
		job, err := s.store.Job(ctx, v, id)
		if err != nil {
			return nil, err
		}
		return &jobAnswer{Job: *job}, nil
	}
	waiting, cancel := s.streams.UntilDrain(ctx)
	defer cancel()
	var first []store.Block
	job, err := s.engine.Await(waiting, engine.AwaitRequest{Job: id, AtMost: wait, Read: func(ctx context.Context) (job *jobs.Job, err error) {
		job, first, err = s.store.JobWithOutcomes(ctx, v, id, smallJob)
		return job, err
	}})
	if waiting.Err() != nil && ctx.Err() == nil { // the site drains, which may have cut the read
		first = nil
		job, err = s.store.Job(ctx, v, id)
	}
	if err != nil {
		return nil, err
	}
	answer := &jobAnswer{Job: *job}
	if job.State.Ended() {
		answer.Outputs, err = s.smallOutputs(ctx, job, first)
	}
	return answer, err
}

// smallJob is the greatest number of tasks of a job whose outcomes are read with it.
const smallJob = 1000

// smallOutputs returns a job's outputs as a JSON array, or nil if it is larger than
// maxOutputs. first are the outcomes that have been read already.
func (s *Site) smallOutputs(ctx context.Context, job *jobs.Job, first []store.Block) (json.RawMessage, error) {
	if 2*job.Counts.Total > maxOutputs {
		return nil, nil
	}
	var b strings.Builder
	q := resultQuery{
		site: s, job: job.ID, resultPlace: resultPlace{first: first},
		resultWriter: resultWriter{format: formats["outputs"], limit: maxOutputs + len("\n")},
	}
	q.write = func(p []byte) error { b.Write(p); return nil }
	if err := q.whole(ctx, job); err != nil {
		if errors.Is(err, errPastLimit) {
			return nil, nil
		}
		return nil, err
	}
	return json.RawMessage(strings.TrimSuffix(b.String(), "\n")), nil
}

type listJobsInput struct {
	Paging
	State []string `query:"state,explode" doc:"Only jobs in one of these states; repeated or separated by commas."`
	Queue []string `query:"queue,explode" doc:"Only jobs in this queue. Repeated: in all of them."`
	Tag   []string `query:"tag,explode" doc:"Only jobs with this tag. Repeated: with all of them."`
	Text  []string `query:"q,explode" doc:"A search: words of the name or the program, and qualifiers (state: tag: queue: owner: name: id: age: created: priority:). A - in front negates a term, a comma-separated list after a qualifier matches any of its values, quotes keep spaces."`
	Sort  string   `query:"sort" default:"-created" doc:"created, duration or failures; with - in front in descending order."`

	filter store.Filter
}

// Resolve checks the parameters beyond their types.
func (in *listJobsInput) Resolve(huma.Context) []error {
	var found jobs.Invalid
	for _, name := range commaList(in.State) {
		if !jobs.State(name).Valid() {
			found = append(found, jobs.Violation{Location: "query.state", Message: "must be one of " + jobs.StateNames(), Value: name})
		}
		in.filter.States = append(in.filter.States, jobs.State(name))
	}
	for _, p := range []struct {
		name   string
		values []string
	}{{jobs.SearchQueue, in.Queue}, {jobs.SearchTag, in.Tag}} {
		for _, value := range p.values {
			if !storable(value) {
				found = append(found, jobs.Violation{Location: "query." + p.name, Message: "must be UTF-8 without NUL characters"})
			} else if value != "" {
				in.filter.Search = append(in.filter.Search, jobs.SearchTerm{Key: p.name, Values: []string{jobs.Fold(value)}})
			}
		}
	}
	if len(in.Queue)+len(in.Tag)+len(in.State) > maxFilters {
		found = append(found, jobs.Violation{Location: "query", Message: fmt.Sprintf("at most %d filters", maxFilters)})
	}
	search, wrong := jobs.ParseSearch(strings.Join(in.Text, " "))
	in.filter.Search = append(in.filter.Search, search...)
	found = append(found, at("query.q", wrong)...)
	var ok bool
	if in.filter.Order, ok = jobs.ParseOrder(in.Sort); !ok {
		found = append(found, jobs.Violation{Location: "query.sort", Message: "must be one of " + strings.Join(jobs.OrderNames, ", "), Value: in.Sort})
	}
	if in.filter.Cursor = in.Cursor; in.Cursor != "" && !store.ValidCursor(in.Cursor) {
		found = append(found, jobs.Violation{Location: "query.cursor", Message: "is not a next_cursor of this list", Value: in.Cursor})
	}
	in.filter.Limit = in.Limit
	return unresolved(found)
}

// maxFilters bounds the number of filters of a list.
const maxFilters = 50

// at sets the location of violations.
func at(location string, found jobs.Invalid) jobs.Invalid {
	for i := range found {
		found[i].Location = location
	}
	return found
}

func (s *Site) listJobs(ctx context.Context, in *listJobsInput) (*listOutput[*jobs.Job], error) {
	list, err := s.store.Jobs(ctx, store.As(callOf(ctx).user), in.filter)
	if err != nil {
		return nil, err
	}
	if err := s.explainAll(ctx, list.Jobs, true); err != nil {
		return nil, err
	}
	return listOf(list.Jobs, list.Next), nil
}

// commaList returns the values of a parameter that may be repeated or separated by
// commas.
func commaList(values []string) []string {
	var out []string
	for _, value := range values {
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				out = append(out, item)
			}
		}
	}
	return out
}

// storable reports whether Postgres accepts text.
func storable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

// JobPath is the address of a job. (Embedded types must be exported for huma to
// see their fields.)
type JobPath struct {
	ID string `path:"id"`
}

// one reads a job for the user of the call.
func (s *Site) one(ctx context.Context, id string) (*jobs.Job, error) {
	return s.store.Job(ctx, store.As(callOf(ctx).user), id)
}

func (s *Site) getJob(ctx context.Context, in *struct {
	JobPath
	Wait float64 `query:"wait" minimum:"0" doc:"Wait until the job has ended, for this many seconds, at most 60."`
}) (*jobOutput, error) {
	answer, err := s.answer(ctx, store.As(callOf(ctx).user), in.ID, waitOf(in.Wait))
	if err != nil {
		return nil, err
	}
	if err := s.explain(ctx, &answer.Job); err != nil {
		return nil, err
	}
	return &jobOutput{*answer}, nil
}

func (s *Site) deleteJob(ctx context.Context, in *JobPath) (*struct{}, error) {
	if !store.ValidID(in.ID) {
		return nil, jobs.ErrNotFound
	}
	err := s.store.DeleteJob(ctx, store.As(callOf(ctx).user), in.ID)
	return nil, explained(err, jobs.ErrConflict, jobs.BulkDelete.Conflict())
}
