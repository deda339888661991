package http_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/allcores/allcores/internal/jobs"
)

func TestIdempotency(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	body := `{"program":{"command":{"argv":["true"]}},"inputs":{"items":[1]}}`
	first := s.call("POST", "/api/v1/jobs", body, "Idempotency-Key", "one")
	again := s.call("POST", "/api/v1/jobs", body, "Idempotency-Key", "one", "Prefer", "wait=0")
	var a, b job
	first.into(t, &a)
	again.into(t, &b)
	if first.StatusCode != 201 || again.StatusCode != 201 || a.ID != b.ID || again.Header.Get("Location") != first.Header.Get("Location") {
		t.Errorf("%d %d %s %s", first.StatusCode, again.StatusCode, a.ID, b.ID)
	}
	if first.Header.Get("Idempotent-Replayed") != "" || again.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%v %v", first.Header, again.Header)
	}
	other := s.call("POST", "/api/v1/jobs", body+" ", "Idempotency-Key", "one")
	if p := other.problem(t); other.StatusCode != 422 || len(p.Errors) != 1 || p.Errors[0].Location != "header.Idempotency-Key" {
		t.Errorf("%d %s", other.StatusCode, other.text)
	}
	if a := s.call("POST", "/api/v1/jobs", body, "Idempotency-Key", "one", "Authorization", "Bearer "+s.user("else", jobs.Submitter)); a.Header.Get("Idempotent-Replayed") != "" || a.StatusCode != 201 {
		t.Errorf("another user's key: %d %v", a.StatusCode, a.Header)
	}
	// Many submissions at once make one job.
	ids := make(chan string)
	for range 8 {
		go func() {
			var j job
			s.call("POST", "/api/v1/jobs", body, "Idempotency-Key", "race").into(t, &j)
			ids <- j.ID
		}()
	}
	seen := map[string]bool{}
	for range 8 {
		seen[<-ids] = true
	}
	if len(seen) != 1 {
		t.Errorf("jobs %v", seen)
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	var ids []string
	for i := range 5 {
		ids = append(ids, s.submit(fmt.Sprintf(`{"name":"job %d","tags":["t%d"],"program":{"command":{"argv":["true"]}},"inputs":{"items":[1]}}`, i, i%2)).ID)
	}
	s.call("POST", "/api/v1/jobs/"+ids[0]+"/cancel", "")
	type page struct {
		Items []job
		Next  *string `json:"next_cursor"`
	}
	list := func(query string) (names []string, next string) {
		t.Helper()
		var p page
		a := s.get("/api/v1/jobs" + query)
		a.into(t, &p)
		if a.StatusCode != http.StatusOK || p.Items == nil {
			t.Fatalf("%s: %d %s", query, a.StatusCode, a.text)
		}
		for _, j := range p.Items {
			names = append(names, j.Name)
		}
		if p.Next != nil {
			next = *p.Next
		}
		return names, next
	}
	check := func(query string, want ...string) {
		t.Helper()
		if names, _ := list(query); !cmp.Equal(names, want) {
			t.Errorf("%s: %v, want %v", query, names, want)
		}
	}
	check("", "job 4", "job 3", "job 2", "job 1", "job 0")
	check("?state=cancelled", "job 0")
	check("?state=cancelled,queued&limit=1", "job 4")
	check("?state=cancelled&state=succeeded", "job 0")
	check("?tag=t1", "job 3", "job 1")
	check("?q=job+2", "job 2")
	check("?queue=io")
	check("?q=%25")
	var walked []string
	for next := ""; ; {
		var names []string
		names, next = list("?limit=2&cursor=" + next)
		walked = append(walked, names...)
		if next == "" {
			break
		}
	}
	if len(walked) != 5 || walked[4] != "job 0" {
		t.Error(walked)
	}
	var queues struct {
		Items []jobs.Queue
		Next  *string `json:"next_cursor"`
	}
	s.get("/api/v1/queues?limit=1").into(t, &queues)
	if len(queues.Items) != 1 || queues.Items[0].Name != "cpu" || queues.Next == nil {
		t.Errorf("%+v", queues)
	}
	var q jobs.Queue
	s.get("/api/v1/queues/io").into(t, &q)
	if q.Name != "io" || q.PerCore != 8 {
		t.Errorf("%+v", q)
	}
	var nodes struct{ Items []jobs.Node }
	s.get("/api/v1/nodes").into(t, &nodes)
	if len(nodes.Items) != 1 || nodes.Items[0].ID != s.node || nodes.Items[0].Version != "test" || !nodes.Items[0].Alive {
		t.Errorf("%+v", nodes)
	}
}
