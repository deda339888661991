package http_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
)

// TestKeysOutliveTheirJobs checks that a key answers for its 24 hours, also after its
// job was deleted.
func TestKeysOutliveTheirJobs(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	const open = `{"name":"kept","program":{"command":{"argv":["true"]}},"inputs":{"open":true},"tags":["a"]}`
	key := func(name string) []string { return []string{"Idempotency-Key", name} }
	first := s.call("POST", "/api/v1/jobs", open, key("submit")...)
	var j job
	first.into(t, &j)
	at := "/api/v1/jobs/" + j.ID
	calls := []struct {
		name, path, body string
		status           int
	}{
		{"submit", "/api/v1/jobs", open, 201},
		{"append", at + "/tasks", "1\n2\n", 200},
		{"seal", at + "/seal", "", 200},
		{"cancel", at + "/cancel", "", 200},
	}
	for _, c := range calls[1:] {
		if a := s.call("POST", c.path, c.body, key(c.name)...); a.StatusCode != c.status {
			t.Fatalf("%s: %d %s", c.name, a.StatusCode, a.text)
		}
	}
	before := s.get(at)
	if a := s.call("DELETE", at, ""); a.StatusCode != 204 {
		t.Fatal(a.text)
	}
	for range 2 {
		for _, c := range calls {
			a := s.call("POST", c.path, c.body, key(c.name)...)
			want := before.text
			if c.name == "append" {
				want = `{"first":0,"count":2}` + "\n"
			}
			if a.StatusCode != c.status || a.Header.Get("Idempotent-Replayed") != "true" || a.text != want {
				t.Errorf("%s: %d %q %s, want %s", c.name, a.StatusCode, a.Header.Get("Idempotent-Replayed"), a.text, want)
			}
		}
	}
	var kept int
	if err := s.store.Pool.QueryRow(t.Context(), `select count(*) from jobs`).Scan(&kept); err != nil || kept != 0 {
		t.Errorf("%d jobs, %v", kept, err)
	}
	for _, c := range []struct{ name, path, body string }{
		{"submit", "/api/v1/jobs", strings.Replace(open, "kept", "other", 1)}, {"append", at + "/tasks", "1\n3\n"}, {"append", at + "/tasks?seal=true", "1\n2\n"},
		{"seal", at + "/cancel", ""}, {"cancel", "/api/v1/jobs", open},
	} {
		if a := s.call("POST", c.path, c.body, key(c.name)...); a.StatusCode != 422 || !strings.Contains(a.text, "header.Idempotency-Key") {
			t.Errorf("another request with the key %s: %d %s", c.name, a.StatusCode, a.text)
		}
	}
	for _, path := range []string{at + "/cancel", at + "/tasks"} {
		if a := s.call("POST", path, "1\n", key("new")...); a.StatusCode != 404 {
			t.Errorf("%s with a new key: %d", path, a.StatusCode)
		}
		if a := s.call("POST", path, "1\n", "Idempotency-Key", "cancel", "Authorization", "Bearer "+s.userOnce("other", jobs.Submitter)); a.StatusCode != 404 {
			t.Errorf("%s with someone else's key: %d", path, a.StatusCode)
		}
	}
}

// userOnce returns the token of a user. It creates the user if none exists.
func (s *server) userOnce(name string, role jobs.Role) string {
	token := "token-of-" + name
	if _, err := s.store.UserByToken(s.t.Context(), token); err == nil {
		return token
	}
	return s.user(name, role)
}

// TestRetryInADeletedQueue checks that no job continues in a deleted queue.
func TestRetryInADeletedQueue(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	put := func() {
		if a := s.call("PUT", "/api/v1/queues/gone", `{"per_core":1,"pinned":false}`); a.StatusCode/100 != 2 {
			t.Fatal(a.text)
		}
	}
	put()
	id := s.submit(`{"program":{"command":{"argv":["true"]}},"inputs":{"items":[1,2]},"queue":"gone"}`).ID
	at := "/api/v1/jobs/" + id
	s.record(id, s.lease(id, 2), 1)
	if a := s.call("DELETE", "/api/v1/queues/gone", ""); a.StatusCode != 204 {
		t.Fatal(a.text)
	}
	for verb, want := range map[string]string{"retry": `The queue \"gone\" was deleted`, "resume": "already ended", "pause": "already ended", "cancel": "already ended", "tasks": "sealed or has ended"} {
		if a := s.call("POST", at+"/"+verb, "1\n"); a.StatusCode != 409 || !strings.Contains(a.text, want) {
			t.Errorf("%s: %d %s, want %s", verb, a.StatusCode, a.text, want)
		}
	}
	if a := s.call("POST", "/jobs/"+id+"/retry", ""); a.StatusCode != 409 || !strings.Contains(a.text, "was deleted") {
		t.Errorf("from the page: %d", a.StatusCode)
	}
	var j job
	if s.get(at).into(t, &j); j.State != jobs.Failed || j.Counts.Failed != 1 {
		t.Errorf("%+v", j)
	}
	put()
	if a := s.call("POST", at+"/retry", ""); a.StatusCode != 200 {
		t.Errorf("with the queue: %d %s", a.StatusCode, a.text)
	}
}

// TestShareOfFailuresOfAnOpenJob checks that a maximum share of failures refers to
// all inputs of an open job: it applies once the job is sealed. A maximum number
// applies at once.
func TestShareOfFailuresOfAnOpenJob(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	for _, c := range []struct {
		limit   string
		failed  []int64
		stopped bool // before it is sealed
	}{
		{`"50%"`, []int64{0, 1, 2, 3, 4}, false}, // 5 of 10: allowed
		{`"50%"`, []int64{0, 1, 2, 3, 4, 5}, false},
		{`"0%"`, []int64{0}, false},
		{`2`, []int64{0, 1}, false},
		{`2`, []int64{0, 1, 2}, true},
	} {
		id := s.submit(fmt.Sprintf(`{"program":{"command":{"argv":["true"]}},"inputs":{"open":true},"policy":{"max_failures":%s}}`, c.limit)).ID
		at := "/api/v1/jobs/" + id
		appendTo := func(query string) {
			if a := s.call("POST", at+"/tasks"+query, strings.Repeat("1\n", 4)); a.StatusCode != 200 {
				t.Fatalf("%s: %d %s", c.limit, a.StatusCode, a.text)
			}
		}
		appendTo("")
		appendTo("")
		s.record(id, s.lease(id, 8), c.failed...)
		var j job
		s.get(at).into(t, &j)
		if j.State.Ended() != c.stopped {
			t.Errorf("max_failures %s, %d failed of 8: %s before it is sealed", c.limit, len(c.failed), j.State)
		}
		if c.stopped {
			continue
		}
		if a := s.call("POST", at+"/tasks?seal=true", "1\n2\n"); a.StatusCode != 200 {
			t.Fatal(a.text)
		}
		s.get(at).into(t, &j)
		allowed := map[string]int{`"50%"`: 5, `"0%"`: 0, `2`: 2}[c.limit]
		if tooMany := len(c.failed) > allowed; j.State.Ended() != tooMany || tooMany && !strings.Contains(j.Reason, "max_failures allows") {
			t.Errorf("max_failures %s, %d failed of 10: %s, %q", c.limit, len(c.failed), j.State, j.Reason)
		}
	}
}
