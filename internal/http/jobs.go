package http

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/store"
)

// Bounds of what a call waits for and carries.
const (
	maxWait    = time.Minute
	maxOutputs = 1 << 20 // bytes of the outputs that an answer to a job carries
	maxKey     = 255     // characters of an idempotency key
)

// A jobAnswer is a job and, where asked for, its outputs.
type jobAnswer struct {
	jobs.Job
	Outputs json.RawMessage `json:"outputs,omitempty" doc:"Only where the call waited, the job has ended and they fit in 1 MiB: an array with null for each task that did not succeed."`
}

type jobOutput struct{ Body jobAnswer }

type submitInput struct {
	Key    string `header:"Idempotency-Key" doc:"The same key and body within 24 hours are the same job."`
	Prefer string `header:"Prefer" doc:"wait=SECONDS, at most 60, answers when the job has ended or the time is up."`
}

type submitOutput struct {
	Location string `header:"Location"`
	Replayed string `header:"Idempotent-Replayed"`
	Applied  string `header:"Preference-Applied"`
	Body     jobAnswer
}

func (s *Site) submitJob(ctx context.Context, in *submitInput) (*submitOutput, error) {
	c := callOf(ctx)
	text, err := readJSON(c.r)
	if err != nil {
		return nil, err
	}
	var found jobs.Invalid
	key, err := newKey(in.Key, c.user, text)
	errors.As(err, &found)
	spec, malformed, err := parseSpec(ctx, s.schemas, text)
	if err != nil {
		return nil, err
	}
	for _, v := range malformed {
		found.Add(v)
	}
	wait, asked := waitPreference(c.r.Header.Values("Prefer"))
	answer, err := s.submit(ctx, c.user, spec, key, found, wait)
	if err != nil {
		return nil, err
	}
	// Its place in line is not worth a look at the line by each submission.
	if err := s.explainAll(ctx, []*jobs.Job{&answer.Job}, false); err != nil {
		return nil, err
	}
	out := &submitOutput{Location: apiPrefix + "/jobs/" + answer.ID, Replayed: replayed(key), Body: *answer}
	if asked {
		out.Applied = "wait"
	}
	return out, nil
}

// newKey is what makes a request repeatable, which is known by what of it must be
// equal; nil where no key was given. The error is jobs.Invalid.
func newKey(given string, user *jobs.User, request []byte) (*store.Key, error) {
	switch {
	case given == "":
		return nil, nil
	case len(given) > maxKey || strings.ContainsFunc(given, func(r rune) bool { return r < ' ' || r > '~' }):
		return nil, jobs.Invalid{{Location: "header.Idempotency-Key", Message: fmt.Sprintf("must be of 1 to %d printable ASCII characters", maxKey)}}
	}
	sum := sha256.Sum256(request)
	return &store.Key{UserID: user.ID, Key: given, Request: sum[:]}, nil
}

// replayed is the header Idempotent-Replayed of an answer to a request with a key.
func replayed(key *store.Key) string {
	if key.Replays() {
		return "true"
	}
	return ""
}

// submit hands a submission to the engine and waits for the job's end where wait
// is positive, or lists everything that is wrong with it: what was found
// already, and what the engine finds.
func (s *Site) submit(ctx context.Context, user *jobs.User, spec jobs.Spec, key *store.Key, found jobs.Invalid, wait time.Duration) (*jobAnswer, error) {
	if unreadable(found) {
		return nil, found
	}
	if len(found) > 0 {
		more, err := s.engine.Check(ctx, &spec)
		if err != nil {
			return nil, err
		}
		return nil, merge(found, inBody(more))
	}
	id := s.store.NewJobID()
	news := s.store.Feed.WatchStates(id)
	defer news.Close()
	id, err := s.engine.Submit(ctx, engine.SubmitRequest{ID: id, User: user, Spec: spec, Key: key})
	var invalid jobs.Invalid
	if errors.As(err, &invalid) {
		err = inBody(invalid)
	}
	if err != nil {
		return nil, err
	}
	if wait > 0 && !key.Replays() && (spec.Inputs.Open || spec.Inputs.Count() > 0) {
		// It cannot have ended before there is news of it, so it need not be
		// looked at. Without a task it has ended already.
		select {
		case <-news.C:
		case <-time.After(min(wait, time.Second)):
		case <-ctx.Done():
		case <-s.draining.Done():
		}
	}
	answer, err := s.answer(ctx, store.As(user), id, wait)
	if key.Replays() && errors.Is(err, jobs.ErrNotFound) {
		kept, err := s.kept(ctx, key, err)
		if err != nil {
			return nil, err
		}
		return &jobAnswer{Job: *kept.Job}, nil
	}
	return answer, err
}

// waitPreference reads Prefer headers (RFC 7240). What makes no sense in them
// is ignored, as a preference may be.
func waitPreference(headers []string) (wait time.Duration, asked bool) {
	for _, header := range headers {
		for preference := range strings.SplitSeq(header, ",") {
			preference, _, _ = strings.Cut(preference, ";")
			name, value, _ := strings.Cut(strings.TrimSpace(preference), "=")
			seconds, err := strconv.ParseFloat(strings.Trim(strings.TrimSpace(value), `"`), 64)
			if strings.EqualFold(strings.TrimSpace(name), "wait") && err == nil && seconds >= 0 {
				return waitOf(seconds), true
			}
		}
	}
	return 0, false
}

// waitOf is a wait of so many seconds, at most maxWait.
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
	waiting, cancel := s.untilDrain(ctx)
	defer cancel()
	var first []store.Block
	job, err := s.engine.Await(waiting, engine.AwaitRequest{Job: id, AtMost: wait, Read: func(ctx context.Context) (job *jobs.Job, err error) {
		job, first, err = s.store.JobWithOutcomes(ctx, v, id, smallJob)
		return job, err
	}})
	if waiting.Err() != nil && ctx.Err() == nil { // the site drains; what was being read may be cut
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

// smallJob is of how many tasks a job may be for its outcomes to be read with it.
const smallJob = 1000

// smallOutputs are a job's outputs as a JSON array, or nil where that is more
// than maxOutputs. first is what was read of its outcomes already.
func (s *Site) smallOutputs(ctx context.Context, job *jobs.Job, first []store.Block) (json.RawMessage, error) {
	if 2*job.Counts.Total > maxOutputs {
		return nil, nil
	}
	var b strings.Builder
	q := resultQuery{site: s, job: job.ID, format: formats["outputs"], limit: maxOutputs + len("\n"), first: first}
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
	Queue []string `query:"queue,explode" doc:"Only jobs in this queue; where it is repeated, in all of them."`
	Tag   []string `query:"tag,explode" doc:"Only jobs with this tag; where it is repeated, with all of them."`
	Text  []string `query:"q,explode" doc:"A search: words of the name or the program, qualifiers (state: tag: queue: owner: name: id: age: created: priority:), - before what must not hold, a list after a qualifier for any of it, quotes around spaces."`
	Sort  string   `query:"sort" default:"-created" doc:"created, duration or failures; after - from the highest down."`

	filter store.Filter
}

// Resolve finds what is wrong with the parameters beyond their types.
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

// maxFilters bounds how many values of filters a list is asked for.
const maxFilters = 50

// at puts violations of a search at the place where it was given.
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

// suggest answers how a term of a search that is being typed may go on.
func (s *Site) suggest(ctx context.Context, in *struct {
	Term string `query:"term" maxLength:"200" doc:"What is typed of the term, without a dash in front."`
}) (*struct {
	Body struct {
		Items []jobs.Suggestion `json:"items" nullable:"false"`
	}
}, error) {
	if !storable(in.Term) {
		return nil, jobs.Invalid{{Location: "query.term", Message: "must be UTF-8 without NUL characters"}}
	}
	key, typed, complete := jobs.SuggestFor(in.Term)
	values, err := s.store.Suggest(ctx, store.As(callOf(ctx).user), key, typed)
	if err != nil {
		return nil, err
	}
	out := new(struct {
		Body struct {
			Items []jobs.Suggestion `json:"items" nullable:"false"`
		}
	})
	out.Body.Items = append([]jobs.Suggestion{}, complete(values)...)
	return out, nil
}

// commaList is the values of a parameter that may be repeated or parted by
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

// storable reports whether the database can compare with text.
func storable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

// JobPath is the address of a job. (Embedded types must be exported for huma to
// see their fields.)
type JobPath struct {
	ID string `path:"id"`
}

// one reads a job that a call is about.
func (s *Site) one(ctx context.Context, id string) (*jobs.Job, error) {
	return s.store.Job(ctx, store.As(callOf(ctx).user), id)
}

func (s *Site) getJob(ctx context.Context, in *struct {
	JobPath
	Wait float64 `query:"wait" minimum:"0" doc:"Seconds, at most 60, to hold the answer until the job has ended."`
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
	return nil, tell(err, jobs.ErrConflict, jobs.BulkDelete.Conflict())
}

type taskOutput struct{ Body *jobs.Task }

func (s *Site) getTask(ctx context.Context, in *TaskPath) (*taskOutput, error) {
	_, task, err := s.task(ctx, in.ID, in.Index)
	if err != nil {
		return nil, err
	}
	return &taskOutput{task}, nil
}

// A taskValue is one JSON value of a task.
type taskValue struct {
	Type string `header:"Content-Type"`
	Body []byte
}

// TaskPath is the address of a task.
type TaskPath struct {
	JobPath
	Index string `path:"index" doc:"From 0."`
}

func (s *Site) taskInput(ctx context.Context, in *TaskPath) (*taskValue, error) {
	_, task, err := s.task(ctx, in.ID, in.Index)
	if err != nil {
		return nil, err
	}
	return &taskValue{"application/json", task.Input}, nil
}

func (s *Site) taskOutput(ctx context.Context, in *TaskPath) (*taskValue, error) {
	_, task, err := s.task(ctx, in.ID, in.Index)
	if err != nil {
		return nil, err
	}
	if task.State != jobs.TaskSucceeded {
		return nil, tell(jobs.ErrConflict, jobs.ErrConflict, "The task has no output: it is "+string(task.State)+".")
	}
	return &taskValue{"application/json", task.Output}, nil
}

// task reads a task by its address.
func (s *Site) task(ctx context.Context, id, index string) (*jobs.Job, *jobs.Task, error) {
	n, err := strconv.ParseInt(index, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != index {
		return nil, nil, fmt.Errorf("task %q: %w", index, jobs.ErrNotFound)
	}
	job, err := s.one(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	task, err := s.store.Task(ctx, job, n)
	return job, task, err
}

type listErrorsInput struct {
	JobPath
	Paging
	count, first int64 // of the last group of the page before
}

// Resolve reads the cursor: how many tasks the last group has, and its first.
func (in *listErrorsInput) Resolve(huma.Context) []error {
	in.count, in.first = math.MaxInt64, 0
	if in.Cursor == "" {
		return nil
	}
	count, first, _ := strings.Cut(in.Cursor, "-")
	var err, err2 error
	in.count, err = strconv.ParseInt(count, 10, 64)
	in.first, err2 = strconv.ParseInt(first, 10, 64)
	if err != nil || err2 != nil {
		return unresolved(jobs.Invalid{{Location: "query.cursor", Message: "is not a next_cursor of this list", Value: in.Cursor}})
	}
	return nil
}

func (s *Site) listErrors(ctx context.Context, in *listErrorsInput) (*listOutput[jobs.FailureGroup], error) {
	job, err := s.one(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	groups, err := s.store.FailureGroupsAfter(ctx, job.ID, in.count, in.first, in.Limit+1)
	if err != nil {
		return nil, err
	}
	next := ""
	if len(groups) > in.Limit {
		groups = groups[:in.Limit]
		last := groups[in.Limit-1]
		next = fmt.Sprintf("%d-%d", last.Count, last.FirstIndex)
	}
	return listOf(groups, next), nil
}
