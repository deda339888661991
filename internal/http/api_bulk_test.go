package http_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
)

// bulk starts a bulk operation and waits for its end.
func (s *server) bulk(body string, headers ...string) (b jobs.Bulk) {
	s.t.Helper()
	a := s.call("POST", "/api/v1/jobs/bulk", body, headers...)
	if a.StatusCode != 200 && a.StatusCode != 202 {
		s.t.Fatalf("%s: %d %s", body, a.StatusCode, a.text)
	}
	a.into(s.t, &b)
	if a.Header.Get("Location") != "/api/v1/jobs/bulk/"+b.ID || (a.StatusCode == 200) != (b.State == "done") {
		s.t.Errorf("%d %v %+v", a.StatusCode, a.Header, b)
	}
	await(s.t, "the end of a bulk operation", func() bool {
		s.get("/api/v1/jobs/bulk/"+b.ID, headers...).into(s.t, &b)
		return b.State == "done"
	})
	if b.Done+b.Refused != b.Total || b.FinishedAt == nil || int64(len(b.Refusals))+b.More != b.Refused {
		s.t.Errorf("%+v", b)
	}
	return b
}

func list(ids ...string) string {
	text, err := json.Marshal(ids)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestBulk(t *testing.T) {
	t.Parallel()
	s := serve(t, true) // nothing executes, so jobs stay queued
	add := func(name string, headers ...string) string {
		return s.submit(program(squares, `{"items":[1]}`, fmt.Sprintf(`,"name":%q,"tags":["x"]`, name)), headers...).ID
	}
	eve, viewer := s.user("eve", jobs.Submitter), s.user("vera", jobs.Viewer)
	asEve := []string{"Authorization", "Bearer " + eve}
	a, b, c, hers := add("a"), add("b"), add("c"), add("hers", asEve...)
	none := "01957a3e-7b5c-7d1e-8f00-000000000000"
	state := func(id string) jobs.State {
		var j job
		s.get("/api/v1/jobs/"+id).into(t, &j)
		return j.State
	}
	reasons := func(b jobs.Bulk) string {
		text := fmt.Sprint(b.Done)
		for _, r := range b.Reasons {
			text += fmt.Sprintf("; %d %s", r.Count, r.Reason)
		}
		return text
	}
	checkVerbMessages(t, s, c, none)

	s.call("POST", "/api/v1/jobs/"+c+"/resume", "")
	for _, step := range []struct {
		body, want string
		headers    []string
	}{
		{`{"action":"pause","ids":` + list(a, b, b, none, "x") + `}`, "2; 2 " + jobs.NotFoundSentence, nil},
		{`{"action":"resume","search":"state:paused name:a"}`, "1", nil},
		{`{"action":"cancel","search":"-name:c owner:admin"}`, "2", nil},
		{`{"action":"cancel","ids":` + list(a) + `}`, "1", nil}, // holds already
		{`{"action":"pause","search":"tag:x owner:admin"}`, "1; 2 " + jobs.BulkPause.Conflict(), nil},
		{`{"action":"retry","ids":` + list(b, c) + `}`, "1; 1 " + jobs.BulkRetry.Conflict(), nil},
		{`{"action":"delete","ids":` + list(a, c) + `}`, "1; 1 " + jobs.BulkDelete.Conflict(), nil},
		{`{"action":"cancel","ids":` + list(hers, b) + `}`, "1; 1 " + jobs.NotFoundSentence, asEve},
		{`{"action":"tag","tags":["New","x"],"search":"name:b,c"}`, "2", nil},
		{`{"action":"untag","tags":["x"],"search":"tag:new"}`, "2", nil},
		{`{"action":"delete","search":"state:failed"}`, "0", nil},
	} {
		if got := reasons(s.bulk(step.body, step.headers...)); got != step.want {
			t.Errorf("%s: %s, want %s", step.body, got, step.want)
		}
	}
	if got := []jobs.State{state(b), state(c), state(hers), state(a)}; !slices.Equal(got, []jobs.State{jobs.Queued, jobs.Paused, jobs.Cancelled, ""}) {
		t.Errorf("states %q", got)
	}
	if got := s.names("tag:new -tag:x"); len(got) != 2 {
		t.Errorf("tagged: %q", got)
	}
	// A key makes one operation; another user's is not found; viewers change nothing.
	body := `{"action":"retry","ids":` + list(hers) + `}`
	first := s.bulk(body, append(asEve, "Idempotency-Key", "k")...)
	s.bulk(`{"action":"cancel","ids":` + list(hers) + `}`)
	again := s.call("POST", "/api/v1/jobs/bulk", body, append(asEve, "Idempotency-Key", "k")...)
	var replay jobs.Bulk
	again.into(t, &replay)
	if diff := cmp.Diff(first, replay); diff != "" || again.Header.Get("Idempotent-Replayed") != "true" || state(hers) != jobs.Cancelled {
		t.Errorf("replayed: %s %v %s", diff, again.Header, state(hers))
	}
	for _, wrong := range []bulkCall{
		{"POST", "", `{"action":"delete","search":"tag:x"}`, viewer, 403},
		{"GET", "/" + s.bulk(`{"action":"tag","tags":["t"],"ids":`+list(b)+`}`).ID, "", eve, 404},
		{"GET", "/" + first.ID, "", viewer, 200},
		{"GET", "/" + none, "", eve, 404},
		{"GET", "/x", "", eve, 404},
		{"POST", "", body + " ", eve, 200},
	} {
		wrong.check(t, s)
	}

	checkBadBulks(t, s)
}

// checkVerbMessages checks the messages of single verbs. Bulk operations repeat
// them.
func checkVerbMessages(t *testing.T, s *server, c, none string) {
	t.Helper()
	for path, want := range map[string]string{"/retry": jobs.BulkRetry.Conflict(), "/pause": ""} {
		if got := s.call("POST", "/api/v1/jobs/"+c+path, ""); want != "" && got.problem(t).Detail != want {
			t.Errorf("%s: %s", path, got.text)
		}
	}
	if got := s.call("POST", "/api/v1/jobs/"+none+"/pause", "").problem(t).Detail; got != jobs.NotFoundSentence {
		t.Error(got)
	}
}

// A bulkCall is a call about bulk operations with the token of a user.
type bulkCall struct {
	method, path, body, token string
	status                    int
}

func (c bulkCall) check(t *testing.T, s *server) {
	t.Helper()
	if a := s.call(c.method, "/api/v1/jobs/bulk"+c.path, c.body, "Authorization", "Bearer "+c.token); a.StatusCode != c.status {
		t.Errorf("%+v: %d %s", c, a.StatusCode, a.text)
	}
}

// checkBadBulks checks that invalid bulk operations are refused.
func checkBadBulks(t *testing.T, s *server) {
	t.Helper()
	for body, want := range map[string]string{
		`{"action":"cancel"}`:                                                   "body",
		`{"action":"cancel","ids":["x"],"search":"y"}`:                          "body",
		`{"action":"stop","ids":["x"]}`:                                         "body.action",
		`{"ids":["x"]}`:                                                         "body.action",
		`{"action":"cancel","ids":[]}`:                                          "body.ids",
		`{"action":"cancel","ids":"x"}`:                                         "body.ids",
		`{"action":"cancel","ids":null}`:                                        "body.ids",
		`{"action":"cancel","ids":["\u0000"]}`:                                  "body.ids[0]",
		`{"action":"cancel","ids":[` + strings.Repeat(`"x",`, 10_000) + `"x"]}`: "body.ids",
		`{"action":"cancel","search":" "}`:                                      "body.search",
		`{"action":"cancel","search":"stat:failed"}`:                            "body.search",
		`{"action":"cancel","search":"x","tags":["a"]}`:                         "body.tags",
		`{"action":"tag","search":"x"}`:                                         "body.tags",
		`{"action":"tag","search":"x","tags":["a b"]}`:                          "body.tags[0]",
		`{"action":"cancel","id":["x"]}`:                                        "body.id",
		`[]`:                                                                    "body",
		`{`:                                                                     "body",
	} {
		if a := s.call("POST", "/api/v1/jobs/bulk", body); a.StatusCode != 422 || !slices.Equal(a.problem(t).locations(), []string{want}) {
			t.Errorf("%.60s: %d %.300s", body, a.StatusCode, a.text)
		}
	}
}

// TestBulkIsTakenOver checks that another node finishes the operation of a dead node,
// and does nothing twice.
func TestBulkIsTakenOver(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	s := serveAt(t, url, engine.RoleWeb)
	var ids []string
	for i := range 30 {
		ids = append(ids, s.submit(program(squares, `{"items":[1]}`, fmt.Sprintf(`,"name":"j%d"`, i))).ID)
	}
	s.bulk(`{"action":"cancel","search":"name:j"}`)
	b := s.bulk(`{"action":"retry","ids":` + list(ids...) + `}`)
	if b.Done != 30 {
		t.Fatalf("%+v", b)
	}
	// The state after the node died: 10 jobs are recorded, the others done but not recorded.
	if _, err := s.store.Pool.Exec(t.Context(), `update bulk_operations set next = 10, done = 10, finished_at = null, node_id = $2 where id = $1`, b.ID, ids[0]); err != nil {
		t.Fatal(err)
	}
	await(t, "the operation's end", func() bool {
		s.get("/api/v1/jobs/bulk/"+b.ID).into(t, &b)
		return b.State == "done"
	})
	if b.Done != 30 || b.Refused != 0 {
		t.Errorf("taken over: %+v", b)
	}
}
