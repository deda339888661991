package http_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// signIn follows the link that the server prints and returns the cookie.
func (s *server) signIn(token string, headers ...string) (*http.Cookie, *answer) {
	s.t.Helper()
	a := s.get("/login?token="+token, append([]string{"Authorization", ""}, headers...)...)
	for _, c := range a.Cookies() {
		if c.Name == "allcores_session" {
			return c, a
		}
	}
	return nil, a
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.manual(1)
	for _, header := range []string{"", "Bearer", "Bearer ", "Bearer wrong", "Basic YTpi", "Bearer \xff", adminToken} {
		for _, path := range []string{"/api/v1/jobs", "/api/v1/jobs/" + id, "/api/v1/jobs/nope", "/api/v1/jobs/" + id + "/results", "/api/v1/events", "/api/v1/queues", "/api/v1/nodes"} {
			a := s.get(path, "Authorization", header)
			if a.StatusCode != 401 || a.Header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%q %s: %d %v", header, path, a.StatusCode, a.Header)
				continue
			}
			a.problem(t)
		}
		if a := s.call("POST", "/api/v1/jobs", `{`, "Authorization", header); a.StatusCode != 401 {
			t.Errorf("%q: %d", header, a.StatusCode)
		}
	}
	if a := s.get("/api/v1/jobs", "Authorization", "bearer "+adminToken); a.StatusCode != 200 {
		t.Errorf("%d: a scheme's case does not matter", a.StatusCode)
	}
	for _, path := range []string{"/healthz", "/readyz", "/api/v1/openapi.json"} {
		if a := s.get(path, "Authorization", ""); a.StatusCode != 200 {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	viewer, ann, bob := s.user("vic", jobs.Viewer), s.user("ann", jobs.Submitter), s.user("bob", jobs.Submitter)
	body := `{"program":{"command":{"argv":["true"]}},"inputs":{"items":[1]}}`
	as := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	anns := s.submit(body, as(ann)...).ID

	for _, c := range []struct {
		who, method, path, body string
		status                  int
	}{
		{viewer, "POST", "/api/v1/jobs", body, 403},
		{viewer, "POST", "/api/v1/jobs", "garbage", 403},
		{viewer, "POST", "/api/v1/jobs/" + anns + "/cancel", "", 403},
		{viewer, "DELETE", "/api/v1/jobs/" + anns, "", 403},
		{viewer, "GET", "/api/v1/jobs", "", 200},
		{viewer, "GET", "/api/v1/queues", "", 200},
		{viewer, "GET", "/", "", 200},
		{viewer, "GET", "/jobs/new", "", 403},
		{viewer, "POST", "/jobs/new", "", 403},
		{viewer, "POST", "/jobs/" + anns + "/cancel", "", 403},
		{viewer, "POST", "/api/v1/jobs/" + anns + "/tasks", "1", 403},
		{viewer, "GET", "/api/v1/jobs/" + anns, "", 200},
		{viewer, "GET", "/api/v1/jobs/" + anns + "/results", "", 200},
		{viewer, "GET", "/api/v1/jobs/" + anns + "/logs", "", 200},
		{viewer, "GET", "/api/v1/jobs/" + anns + "/tasks/0", "", 200},
		{viewer, "GET", "/jobs/" + anns, "", 200},
		{viewer, "GET", "/jobs/" + anns + "/tasks/0", "", 200},
		{viewer, "GET", "/jobs/new?from=" + anns, "", 403},
		{bob, "GET", "/api/v1/jobs/" + anns, "", 404},
		{bob, "GET", "/api/v1/jobs/" + anns + "/results", "", 404},
		{bob, "GET", "/api/v1/jobs/" + anns + "/logs", "", 404},
		{bob, "GET", "/api/v1/jobs/" + anns + "/errors", "", 404},
		{bob, "GET", "/api/v1/jobs/" + anns + "/events", "", 404},
		{bob, "GET", "/api/v1/jobs/" + anns + "/tasks/0", "", 404},
		{bob, "POST", "/api/v1/jobs/" + anns + "/cancel", "", 404},
		{bob, "DELETE", "/api/v1/jobs/" + anns, "", 404},
		{bob, "GET", "/jobs/" + anns, "", 404},
		{bob, "GET", "/jobs/" + anns + "/live", "", 404},
		{bob, "GET", "/jobs/" + anns + "/tasks/0", "", 404},
		{bob, "GET", "/jobs/new?from=" + anns, "", 404},
		{bob, "POST", "/jobs/" + anns + "/cancel", "", 404},
		{ann, "GET", "/api/v1/jobs/" + anns, "", 200},
		{adminToken, "GET", "/api/v1/jobs/" + anns, "", 200},
		{adminToken, "POST", "/api/v1/jobs/" + anns + "/cancel", "", 200},
		{ann, "POST", "/api/v1/jobs/" + anns + "/cancel", "", 200},
		{ann, "DELETE", "/api/v1/jobs/" + anns, "", 204},
	} {
		if a := s.call(c.method, c.path, c.body, as(c.who)...); a.StatusCode != c.status {
			t.Errorf("%s %s %s: status %d, want %d: %s", c.who, c.method, c.path, a.StatusCode, c.status, cut(a.text))
		}
	}
	var list struct{ Items []job }
	s.get("/api/v1/jobs", as(bob)...).into(t, &list)
	if len(list.Items) != 0 {
		t.Errorf("bob sees %v", list.Items)
	}
	kept := s.submit(body, as(ann)...).ID
	if s.get("/api/v1/jobs", as(viewer)...).into(t, &list); len(list.Items) != 1 {
		t.Errorf("the viewer sees %v", list.Items)
	}
	page := document(t, s.get("/jobs/"+kept, as(viewer)...), 200)
	if n := page.Find("#job-title form, #job-title .button, #job-title button:not([data-copy])").Length(); n != 0 {
		t.Errorf("the viewer's page of a job has %d buttons: %s", n, text(page, "#job-title"))
	}
	// The stream of all jobs has the jobs that the caller may see.
	events := s.events("/api/v1/events", as(viewer)...)
	if e, ok := one(t, events); !ok || e.name != "job" || !strings.Contains(e.data, `"owner":"ann"`) {
		t.Errorf("%+v", e)
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	cookie, a := s.signIn(adminToken)
	if cookie == nil || a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/" {
		t.Fatalf("%d %v", a.StatusCode, a.Header)
	}
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Secure || cookie.Path != "/" || cookie.MaxAge != int(store.SessionLength.Seconds()) {
		t.Errorf("%+v", cookie)
	}
	if strings.Contains(cookie.Value, adminToken) {
		t.Error("the cookie contains the token")
	}
	if c, _ := s.signIn(adminToken, "X-Forwarded-Proto", "https"); !c.Secure {
		t.Error("behind TLS the cookie is not Secure")
	}
	browser := []string{"Authorization", "", "Cookie", "allcores_session=" + cookie.Value}
	for path, status := range map[string]int{"/": 200, "/api/v1/jobs": 200, "/docs": 200, "/queues": 200, "/nodes": 200, "/jobs/new": 200, "/nowhere": 404} {
		if a := s.get(path, browser...); a.StatusCode != status {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
	if c, a := s.signIn("wrong"); c != nil || a.StatusCode != 401 || !strings.Contains(a.text, "not valid") {
		t.Errorf("%d %v", a.StatusCode, c)
	}
	form := []string{"Authorization", "", "Content-Type", "application/x-www-form-urlencoded"}
	if a := s.call("POST", "/login", "token="+adminToken+"&next=%2Fqueues", form...); a.StatusCode != 303 || a.Header.Get("Location") != "/queues" || len(a.Cookies()) != 1 {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	if a := s.call("POST", "/login", "token=nope&next=%2Fqueues", form...); a.StatusCode != 401 || len(a.Cookies()) != 0 || !strings.Contains(a.text, `value="/queues"`) {
		t.Errorf("%d %v %s", a.StatusCode, a.Header, a.text)
	}
	for _, next := range []string{"https://evil.example/", "//evil.example", "///evil.example", "/\\evil.example", "javascript:alert(1)", "evil", "%2F%09%2Fevil"} {
		if a := s.call("POST", "/login", "token="+adminToken+"&next="+next, form...); a.Header.Get("Location") != "/" {
			t.Errorf("%s leads to %s", next, a.Header.Get("Location"))
		}
	}
	// A user who is not signed in is redirected to the form, and back.
	for path, want := range map[string]string{
		"/": "/login", "/jobs/new?example=squares": "/login?next=%2Fjobs%2Fnew%3Fexample%3Dsquares", "/queues": "/login?next=%2Fqueues",
	} {
		if a := s.get(path, "Authorization", ""); a.StatusCode != 303 || a.Header.Get("Location") != want {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.Header.Get("Location"))
		}
	}
	if a := s.get("/live", "Authorization", ""); a.StatusCode != 401 {
		t.Errorf("/live: %d", a.StatusCode)
	}
	// Signing out ends the session itself, not only the cookie.
	if a := s.call("POST", "/logout", "", browser...); a.StatusCode != 303 || len(a.Cookies()) != 1 || a.Cookies()[0].MaxAge >= 0 {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	if a := s.get("/api/v1/jobs", browser...); a.StatusCode != 401 {
		t.Errorf("after signing out: %d", a.StatusCode)
	}
}

func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	cookie, _ := s.signIn(adminToken)
	browser := []string{"Authorization", "", "Cookie", "allcores_session=" + cookie.Value}
	body := `{"program":{"command":{"argv":["true"]}},"inputs":{"items":[1]}}`
	id := s.manual(1)
	for _, c := range []struct {
		path    string
		headers []string
		status  int
	}{
		{"/api/v1/jobs", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"/api/v1/jobs", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"/api/v1/jobs", []string{"Origin", "https://evil.example"}, 403},
		{"/api/v1/jobs", []string{"Origin", "null"}, 403},
		{"/jobs/" + id + "/cancel", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"/jobs/new", []string{"Origin", "https://evil.example"}, 403},
		{"/logout", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"/login", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"/api/v1/jobs", []string{"Sec-Fetch-Site", "same-origin"}, 201},
		{"/api/v1/jobs", []string{"Origin", s.url}, 201},
		{"/api/v1/jobs", nil, 201},
		{"/api/v1/jobs", []string{"Origin", "https://app.example", "Authorization", "Bearer " + adminToken}, 201},
	} {
		a := s.call("POST", c.path, body, append(slices.Clone(browser), c.headers...)...)
		if a.StatusCode != c.status {
			t.Errorf("%s %v: status %d, want %d: %s", c.path, c.headers, a.StatusCode, c.status, cut(a.text))
		}
	}
	var j job
	s.get("/api/v1/jobs/"+id).into(t, &j)
	if j.State != jobs.Queued {
		t.Errorf("the job of the user is %s", j.State)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	for _, path := range []string{"/login", "/", "/api/v1/jobs", "/nowhere", "/healthz"} {
		h := s.get(path).Header
		if csp := h.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'self';") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: %q", path, csp)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") == "" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, h)
		}
	}
	if h := s.get("/docs", "Accept-Encoding", "gzip;q=0").Header; h.Get("Content-Encoding") != "" {
		t.Errorf("a page is compressed although gzip is refused: %v", h)
	}
	if h := s.get("/docs", "Accept-Encoding", "gzip").Header; h.Get("Content-Encoding") != "gzip" || !strings.Contains(h.Get("Vary"), "Accept-Encoding") {
		t.Errorf("a page is not compressed: %v", h)
	}
	if got := s.get("/healthz", "X-Request-Id", "abc-1").Header.Get("X-Request-Id"); got != "abc-1" {
		t.Error(got)
	}
	if got := s.get("/healthz", "X-Request-Id", "a b").Header.Get("X-Request-Id"); got == "a b" || got == "" {
		t.Error(got)
	}
	if a := s.call("HEAD", "/", ""); a.StatusCode != 200 || a.text != "" {
		t.Errorf("%d %q", a.StatusCode, a.text)
	}
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	a := s.get("/api/v1/openapi.json")
	var doc struct {
		OpenAPI    string
		Paths      map[string]map[string]struct{ Responses map[string]any }
		Components struct{ Schemas map[string]schema }
	}
	a.into(t, &doc)
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Error(doc.OpenAPI)
	}
	for path, methods := range map[string][]string{
		"/api/v1/jobs": {"get", "post"}, "/api/v1/jobs/{id}": {"get", "delete"}, "/api/v1/jobs/{id}/cancel": {"post"},
		"/api/v1/jobs/{id}/results": {"get"}, "/api/v1/jobs/{id}/tasks/{index}": {"get"}, "/api/v1/jobs/{id}/errors": {"get"},
		"/api/v1/jobs/{id}/logs": {"get"}, "/api/v1/jobs/{id}/events": {"get"}, "/api/v1/events": {"get"},
		"/api/v1/queues": {"get"}, "/api/v1/queues/{name}": {"get"}, "/api/v1/nodes": {"get"},
	} {
		for _, method := range methods {
			if _, ok := doc.Paths[path][method]; !ok {
				t.Errorf("%s %s is not described", method, path)
			}
		}
	}
	all := doc.Components.Schemas
	if got := all["Policy"].Required; len(got) != 0 {
		t.Errorf("a policy requires %v", got)
	}
	if got := all["Range"].Required; !slices.Equal(got, []string{"stop"}) {
		t.Errorf("a range requires %v", got)
	}
	for name, want := range map[string]string{"chunk_size": `["integer","null"]`, "timeout": `["string","null"]`, "memory_limit": `["string","null"]`, "max_attempts": `["integer","null"]`} {
		if got := string(all["Policy"].Properties[name].Type); got != want {
			t.Errorf("policy.%s is of type %s", name, got)
		}
	}
	for name, want := range map[string]string{"started_at": `["string","null"]`, "created_at": `"string"`, "eta_seconds": `["number","null"]`} {
		if got := string(all["Job"].Properties[name].Type); got != want {
			t.Errorf("job.%s is of type %s", name, got)
		}
	}
	if !strings.Contains(a.text, `"#/components/schemas/Spec"`) || !strings.Contains(a.text, "application/x-ndjson") || !strings.Contains(a.text, "text/event-stream") {
		t.Error("the body of a submission or the streams are not described")
	}
}

// A schema is the part of a schema that the test reads.
type schema struct {
	Type       json.RawMessage
	Required   []string
	Properties map[string]struct{ Type json.RawMessage }
}

// TestStreamsEndWithTheSession checks that streams end soon after their user may no
// longer read, and that those of others continue.
func TestStreamsEndWithTheSession(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	s.site.SetRecheck(50 * time.Millisecond)
	id := s.manual(2)
	paths := []string{"/live", "/jobs/" + id + "/live", "/jobs/" + id + "/tasks/0/live", "/queues/live", "/nodes/live", "/pages/live?page=/live&page=/nodes/live",
		"/api/v1/jobs/" + id + "/events", "/api/v1/events", "/api/v1/jobs/" + id + "/results?follow=true", "/api/v1/jobs/" + id + "/results?follow=true&order=completion"}
	open := func(headers ...string) []*http.Response {
		t.Helper()
		var all []*http.Response
		for _, path := range paths {
			res := s.send("GET", path, "", headers...)
			t.Cleanup(func() { res.Body.Close() })
			if res.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s", path, res.Status)
			}
			all = append(all, res)
		}
		return all
	}
	drain := func(r *http.Response) <-chan struct{} {
		done := make(chan struct{})
		go func() { _, _ = io.Copy(io.Discard, r.Body); close(done) }()
		return done
	}
	cookie, _ := s.signIn(adminToken)
	browser := []string{"Authorization", "", "Cookie", "allcores_session=" + cookie.Value}
	revoked, demoted, others := s.user("rita", jobs.Viewer), s.user("dan", jobs.Admin), open()
	exec := func(sql string, args ...any) {
		t.Helper()
		if tag, err := s.store.Pool.Exec(t.Context(), sql, args...); err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("%s: %v, %v", sql, tag, err)
		}
	}
	for name, c := range map[string]struct {
		headers []string
		end     func()
	}{
		"signing out":     {browser, func() { s.call("POST", "/logout", "", browser...) }},
		"a revoked token": {[]string{"Authorization", "Bearer " + revoked}, func() { exec(`delete from tokens where hash = sha256($1::bytea)`, []byte(revoked)) }},
		"another role":    {[]string{"Authorization", "Bearer " + demoted}, func() { exec(`update users set role = 'user' where name = 'dan'`) }},
	} {
		streams := open(c.headers...)
		c.end()
		for i, stream := range streams {
			select {
			case <-drain(stream):
			case <-time.After(10 * time.Second):
				t.Errorf("%s goes on after %s", paths[i], name)
			}
		}
	}
	s.record(id, s.lease(id, 1))
	for i, stream := range others {
		if !strings.Contains(paths[i], "results") {
			continue
		}
		if line := next(t, bufio.NewReader(stream.Body)); line != `{"index":0,"state":"succeeded","output":0}`+"\n" {
			t.Errorf("%s: %q", paths[i], line)
		}
	}
}
