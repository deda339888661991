package http_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// listed returns a job as the list of jobs has it.
func (s *server) listed(id string) (found job) {
	s.t.Helper()
	var list struct{ Items []job }
	s.get("/api/v1/jobs?limit=1000").into(s.t, &list)
	for _, j := range list.Items {
		if j.ID == id {
			return j
		}
	}
	s.t.Fatalf("job %s is not listed", id)
	return found
}

// TestWhyAJobWaits pauses a queue and reads the reason of its job from every page
// and call.
func TestWhyAJobWaits(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const reason = "Queue cpu is paused."
	s.call("POST", "/api/v1/queues/cpu/pause", "")
	// The node follows within a moment; until then it may begin a job by itself.
	await(t, "the node has closed the queue", func() bool {
		var nodes struct{ Items []jobs.Node }
		s.get("/api/v1/nodes").into(t, &nodes)
		return len(nodes.Items) == 1 && nodes.Items[0].Slots["cpu"].Total == 0
	})
	submitted := s.submit(program(squares, `{"range":{"stop":3}}`))
	if w := submitted.Waiting; w == nil || w.Kind != jobs.WaitQueuePaused || w.Message != reason || submitted.Reason != reason {
		t.Errorf("as answered to its submission: %+v", submitted)
	}
	path := "/api/v1/jobs/" + submitted.ID
	for name, a := range map[string]*answer{
		"GET": s.get(path), "GET that waits": s.get(path + "?wait=0.05"),
		"POST that waits": s.call("POST", "/api/v1/jobs", program(squares, `{"range":{"stop":3}}`), "Prefer", "wait=0.05", "Idempotency-Key", "x"),
	} {
		var j job
		a.into(t, &j)
		if j.Reason != reason || j.Waiting == nil {
			t.Errorf("%s: %s", name, a.text)
		}
	}
	await(t, "the list says so", func() bool { return s.listed(submitted.ID).Reason == reason })
	events, all, live := s.events(path+"/events"), s.events("/api/v1/events"), s.events("/jobs/"+submitted.ID+"/live")
	for name, stream := range map[string]<-chan event{"its events": events, "all events": all} {
		for {
			e, ok := one(t, stream)
			var j jobs.Job
			if err := json.Unmarshal([]byte(e.data), &j); err != nil || !ok {
				t.Fatal(err, ok)
			}
			if e.name == "job" && j.ID == submitted.ID {
				if j.Waiting == nil || j.Waiting.Kind != jobs.WaitQueuePaused {
					t.Errorf("%s: %s", name, e.data)
				}
				break
			}
		}
	}
	if got := text(s.page("/jobs/"+submitted.ID, 200), "#job-waiting .note.warm"); got != reason {
		t.Errorf("the page says %q", got)
	}
	if got := text(s.page("/", 200), "#job-"+submitted.ID+" .c-left"); got != "queue paused" {
		t.Errorf("the list says %q", got)
	}
	if e, _ := one(t, live); !strings.Contains(e.data, reason) {
		t.Errorf("the page's stream says %q", e.data)
	}
	s.call("POST", "/api/v1/queues/cpu/resume", "")
	for {
		e, ok := one(t, live)
		if strings.Contains(e.data, `<div id="job-waiting"></div>`) {
			break
		}
		if !ok {
			t.Fatal("the page's stream ended with the reason on the page")
		}
	}
	if j := s.ended(submitted.ID); j.Reason != "" || j.Waiting != nil {
		t.Errorf("once it has ended: %+v", j)
	}
}

// TestPlacesInLine checks the places of jobs that wait for a node whose process is
// stopped.
func TestPlacesInLine(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	if err := s.store.Register(t.Context(), store.NewNode{ID: store.NewID(), Host: "stopped", Role: "worker", Cores: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.Pool.Exec(t.Context(), `update nodes set heartbeat_at = now() + interval '1 hour' where host = 'stopped'`); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for range 3 {
		ids = append(ids, s.submit(program(squares, `{"range":{"stop":300}}`)).ID)
	}
	if _, err := s.store.Pool.Exec(t.Context(), `insert into chunks (job_id, first, count, state, attempt, losses, node_id, lane, leased_at) values ($1, 0, 1, 'leased', 1, 0, $2, 0, now() + interval '1 hour')`,
		s.manual(1), store.NewID()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"next in line", "2nd in line", "3rd in line"} {
		var j job
		s.get("/api/v1/jobs/"+ids[i]).into(t, &j)
		if w := j.Waiting; w == nil || w.Kind != jobs.WaitBusy || w.Position != int64(i+1) || w.JobsBefore != int64(i+1) || w.StartsIn == nil || !strings.Contains(w.Message, want) {
			t.Errorf("job %d: %+v", i, w)
		}
		await(t, "the list has its place", func() bool {
			w := s.listed(ids[i]).Waiting
			return w != nil && w.Position == int64(i+1)
		})
		if got := text(s.page("/", 200), "#job-"+ids[i]+" .c-left"); got != want {
			t.Errorf("the page of the list says %q, want %q", got, want)
		}
		if got := text(s.page("/jobs/"+ids[i], 200), "#job-waiting"); !strings.Contains(got, want+" for the 1 slot of queue cpu") {
			t.Errorf("the page says %q", got)
		}
	}
}
