package http

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/store"
)

type submitInput struct {
	Key    string `header:"Idempotency-Key" doc:"Within 24 hours, the same key and body return the same job."`
	Prefer string `header:"Prefer" doc:"wait=SECONDS, at most 60: answer when the job has ended or the time is over."`
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
	// Its place in line is not worth a query for each submission.
	if err := s.explainAll(ctx, []*jobs.Job{&answer.Job}, false); err != nil {
		return nil, err
	}
	out := &submitOutput{Location: apiPrefix + "/jobs/" + answer.ID, Replayed: replayed(key), Body: *answer}
	if asked {
		out.Applied = "wait"
	}
	return out, nil
}

// newKey returns the key of a request that may be repeated, or nil if none was
// given. Submissions with the same key must have the same request. The error is
// jobs.Invalid.
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

// replayed returns the header Idempotent-Replayed of the answer.
func replayed(key *store.Key) string {
	if key.Replays() {
		return "true"
	}
	return ""
}

// submit submits a job to the engine and, if wait is positive, waits for its end.
// The error is jobs.Invalid with everything that is wrong with the submission:
// found, and what the engine finds.
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
		// It cannot end before there is news of it, so it is not read until then.
		// Without a task it has ended already.
		select {
		case <-news.C:
		case <-time.After(min(wait, time.Second)):
		case <-ctx.Done():
		case <-s.streams.Draining().Done():
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

// waitPreference reads Prefer headers (RFC 7240). Preferences that it does not know
// are ignored.
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
