package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/allcores/allcores/internal/http/live"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// LastEventID is the id of the last event that the client got.
type LastEventID struct {
	LastID string `header:"Last-Event-ID" doc:"Ids continue after this one. Browsers send it when they reconnect."`
}

// An item is the last event of one job, queue or node.
type item struct {
	message live.Message
	version int64     // of the first view with it
	until   time.Time // when it is dropped; zero while its subject is read
}

// viewOf returns the view of items. Its messages are those of newer items.
func viewOf(version int64, items []item) *live.View {
	return &live.View{Version: version, Messages: func(since int64) (messages []live.Message, _ error) {
		for _, i := range items {
			if i.version > since {
				messages = append(messages, i.message)
			}
		}
		return messages, nil
	}}
}

// encode makes a message with v as JSON.
func encode(event string, v any) (live.Message, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return live.Message{}, fmt.Errorf("encode %s: %w", event, err)
	}
	return live.NewMessage(event, true, text), nil
}

// rateSlack is the share by which the rate of a job may change without an event: it
// decreases with time even if nothing happens.
const rateSlack = 0.1

// sameJob reports whether a job that was before and is now needs no event.
func sameJob(before, now *jobs.Job) bool {
	if before == nil || math.Abs(now.Rate-before.Rate) > rateSlack*before.Rate || (now.ETASeconds == nil) != (before.ETASeconds == nil) {
		return false
	}
	b, n := *before, *now
	b.Rate, b.ETASeconds, n.Rate, n.ETASeconds = 0, nil, 0, nil
	return reflect.DeepEqual(b, n)
}

// jobEvents streams a job: as it is now, then on each change, until it has
// ended.
func (s *Site) jobEvents(ctx context.Context, in *struct {
	JobPath
	LastEventID
}) (live.WriteFunc, error) {
	if _, err := s.one(ctx, in.ID); err != nil {
		return nil, err
	}
	// All that may see the job get the same events, so any of them may be the viewer.
	viewer := store.As(callOf(ctx).user)
	open := func() live.LookFunc { return (&jobLooks{site: s, viewer: viewer, id: in.ID}).look }
	return s.streams.WriteEvents(live.Hub{Key: "job " + in.ID, Watch: live.Watch{Job: in.ID, Gap: live.EventGap, Tick: time.Second}, Open: open}, in.LastID), nil
}

// jobLooks reads a job for its stream of events.
type jobLooks struct {
	site   *Site
	viewer store.Viewer
	id     string
	job    *jobs.Job // as in the last view
	view   *live.View
}

func (t *jobLooks) look(ctx context.Context) (*live.View, error) {
	job, err := t.site.store.Job(ctx, t.viewer, t.id)
	deleted := errors.Is(err, jobs.ErrNotFound)
	if err == nil {
		err = t.site.explainAll(ctx, []*jobs.Job{job}, false)
	}
	if err != nil && !deleted {
		return nil, err
	}
	if !deleted && t.view != nil && sameJob(t.job, job) {
		return t.view, nil
	}
	version := int64(1)
	if t.view != nil {
		version = t.view.Version + 1
	}
	var items []item
	if deleted {
		items = []item{{message: live.NewMessage("end", true, []byte("null")), version: version}}
	} else {
		now, err := encode("job", job)
		if err != nil {
			return nil, err
		}
		items = []item{{message: now, version: version}}
		if job.State.Ended() {
			now.Event = "end"
			items = append(items, item{message: now, version: version})
		}
	}
	t.job, t.view = job, viewOf(version, items)
	t.view.Last = deleted || job.State.Ended()
	return t.view, nil
}

// Bounds of what the stream of all jobs reads. Jobs that begin and end between two
// looks are found among the newest.
const (
	newestSeen = 50
	activeSeen = 1000
)

var activeStates = []jobs.State{jobs.Open, jobs.Queued, jobs.Running, jobs.Paused}

// allEvents streams every job that the caller may see and that changes, and for
// admins queues and nodes.
func (s *Site) allEvents(ctx context.Context, in *LastEventID) (live.WriteFunc, error) {
	user := callOf(ctx).user
	open := func() live.LookFunc {
		t := allLooks{site: s, viewer: store.As(user), admin: user.Role.Allows(jobs.Admin),
			jobs: make(map[string]*sentJob), machine: make(map[string]item)}
		return t.look
	}
	return s.streams.WriteEvents(live.Hub{Key: "all " + scope(user), Watch: live.Watch{Gap: live.EventGap, Tick: time.Second}, Open: open}, in.LastID), nil
}

// scope returns a text that is equal for users that may see and do the same.
func scope(user *jobs.User) string {
	if user.Role.SeesAll() {
		return string(user.Role)
	}
	return string(user.Role) + " " + user.ID
}

// allLooks reads all that its viewer may see for a stream of events.
type allLooks struct {
	site   *Site
	viewer store.Viewer
	admin  bool

	view    *live.View
	differs bool                // the fields below are newer than the view
	newest  string              // id of the newest job so far
	jobs    map[string]*sentJob // active, or among the newest, by id
	machine map[string]item     // queues and nodes
	looked  time.Time           // when queues and nodes were read
}

// A sentJob is a job as in its last event.
type sentJob struct {
	item
	job *jobs.Job
}

// keepFor is how long the last event of a job that is no longer read is kept for
// streams that have not sent it yet. A client that reads nothing for so long is cut
// off.
const keepFor = live.WriteTimeout + 5*time.Second

func (t *allLooks) look(ctx context.Context) (*live.View, error) {
	list, err := t.changedJobs(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.site.explainAll(ctx, list, false); err != nil {
		return nil, err
	}
	version := int64(1)
	if t.view != nil {
		version = t.view.Version + 1
	}
	seen := make(map[string]bool, len(list))
	for _, job := range list {
		seen[job.ID] = true
		before := t.jobs[job.ID]
		if before != nil && sameJob(before.job, job) {
			before.until = time.Time{}
			continue
		}
		now, err := encode("job", job)
		if err != nil {
			return nil, err
		}
		t.differs = true
		t.jobs[job.ID] = &sentJob{item{message: now, version: version}, job}
		t.newest = max(t.newest, job.ID)
	}
	for id, sent := range t.jobs {
		switch {
		case seen[id]:
		case sent.until.IsZero():
			sent.until = time.Now().Add(keepFor)
		case time.Now().After(sent.until) || len(t.jobs) > 4*activeSeen:
			delete(t.jobs, id)
		}
	}
	if t.admin && time.Since(t.looked) >= time.Second {
		if err := t.lookAtCluster(ctx, version); err != nil {
			return nil, err
		}
	}
	if t.view != nil && !t.differs {
		return t.view, nil
	}
	items := make([]item, 0, len(t.jobs)+len(t.machine))
	for _, id := range slices.Sorted(maps.Keys(t.jobs)) {
		items = append(items, t.jobs[id].item)
	}
	for _, name := range slices.Sorted(maps.Keys(t.machine)) {
		items = append(items, t.machine[name])
	}
	t.view, t.differs = viewOf(version, items), false
	return t.view, nil
}

// changedJobs reads the jobs that may have changed: active ones, those that were
// active, and new ones.
func (t *allLooks) changedJobs(ctx context.Context) ([]*jobs.Job, error) {
	active, err := t.site.store.Jobs(ctx, t.viewer, store.Filter{States: activeStates, Limit: activeSeen})
	if err != nil {
		return nil, err
	}
	list := active.Jobs
	seen := make(map[string]bool, len(list))
	for _, job := range list {
		seen[job.ID] = true
	}
	add := func(job *jobs.Job) {
		if !seen[job.ID] {
			seen[job.ID] = true
			list = append(list, job)
		}
	}
	for cursor, first := "", true; ; first = false {
		page, err := t.site.store.Jobs(ctx, t.viewer, store.Filter{Cursor: cursor, Limit: newestSeen})
		if err != nil {
			return nil, err
		}
		old := false
		for _, job := range page.Jobs {
			old = old || job.ID <= t.newest
			if first || job.ID > t.newest {
				add(job)
			}
		}
		// At first the newest page is enough; later every page of new jobs.
		if page.Next == "" || t.newest == "" || old || len(list) > 2*activeSeen {
			break
		}
		cursor = page.Next
	}
	for id, was := range t.jobs {
		if was.job.State.Ended() || seen[id] {
			continue
		}
		job, err := t.site.store.Job(ctx, t.viewer, id)
		if errors.Is(err, jobs.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		add(job)
	}
	return list, nil
}

// lookAtCluster reads queues and nodes for the view of that version.
func (t *allLooks) lookAtCluster(ctx context.Context, version int64) error {
	fleet, err := t.site.cluster.now(ctx)
	if err != nil {
		return err
	}
	machine := make(map[string]item, len(fleet.queues)+len(fleet.nodes))
	add := func(event, key string, v any) error {
		now, err := encode(event, v)
		if err != nil {
			return err
		}
		before, known := t.machine[key]
		if !known || !bytes.Equal(before.message.Data, now.Data) {
			before, t.differs = item{message: now, version: version}, true
		}
		machine[key] = before
		return nil
	}
	for _, q := range fleet.queues {
		if err := add("queue", "queue "+q.Name, q); err != nil {
			return err
		}
	}
	for _, n := range fleet.nodes {
		if err := add("node", "node "+n.ID, n); err != nil {
			return err
		}
	}
	t.machine, t.looked = machine, time.Now()
	return nil
}
