package http_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// TestShared checks the calls of outside clients on the objects of a job: every kind
// of answer, and errors with their kinds.
func TestShared(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	j := s.submit(`{"program":{"command":{"argv":["true"]}},"inputs":{"open":true}}`)
	at := "/api/v1/jobs/" + j.ID + "/shared"
	for _, c := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"/hits/add", `{"args":[2]}`, 200, `{"value":2}`},
		{"/hits/add", `{"args":[3],"kind":"value"}`, 200, `{"value":5}`},
		{"", `{"name":"a/b","op":"put","args":[{"x":1}]}`, 200, `{"value":null}`},
		{"/a%2Fb/size", ``, 200, `{"value":1}`},
		{"/a%2Fb/get", `{"timeout":0}`, 200, `{"value":{"x":1}}`},
		{"/a%2Fb/get", `{"timeout":0.01}`, 409, `"kind":"empty"`},
		{"/ages/set", `{"kind":"dict","args":["ada",36]}`, 200, `{"value":null}`},
		{"/ages/get", `{"args":["ada"]}`, 200, `{"value":[36]}`},
		{"/cells/make", `{"kind":"array","params":{"type":"i","size":3}}`, 200, `{"value":null}`},
		{"/cells/get", `{"args":[3]}`, 404, `"kind":"index"`},
		{"/cells/add", `{"kind":"value","args":[3]}`, 409, `"kind":"mismatch"`},
		{"/hits/jump", `{}`, 422, `"kind":"argument"`},
		{"/hits/add", `{"arg":[1]}`, 422, `unknown field \"arg\"`},
		{"/hits/add", `[1]`, 422, `"location":"body"`},
		{"/hits/add", `{"name":"x","args":[1]}`, 422, `the address has them`},
		{"/" + strings.Repeat("n", 257) + "/add", `{"args":[1]}`, 422, `"kind":"bounds"`},
		{"/hits/set", `{"args":["` + strings.Repeat("x", 1<<20) + `"]}`, 422, `"kind":"bounds"`},
		{"", `{"op":"ping","client":"me"}`, 200, `{"value":null}`},
		{"", `{"op":"end","client":"me"}`, 200, `{"value":null}`},
	} {
		if a := s.call("POST", at+c.path, c.body); a.StatusCode != c.status || !strings.Contains(a.text, c.want) {
			t.Errorf("POST %s %.60s: %d %.200s, want %d %s", c.path, c.body, a.StatusCode, a.text, c.status, c.want)
		}
	}
	var object struct {
		Name, Kind string
		Value      json.RawMessage
	}
	s.get(at+"/hits").into(t, &object)
	if object.Name != "hits" || object.Kind != "value" || string(object.Value) != "5" {
		t.Errorf("the object %+v", object)
	}
	if a := s.get(at + "/none"); a.StatusCode != 404 {
		t.Errorf("no object: %d %s", a.StatusCode, a.text)
	}
	if a := s.get(at); !strings.Contains(a.text, `"name":"hits","kind":"value"`) || !strings.Contains(a.text, `"name":"ages","kind":"dict"`) {
		t.Errorf("the list: %s", a.text)
	}
	if a := s.page("/jobs/"+j.ID, 200).Find("#job-shared tbody tr"); a.Length() != 4 {
		t.Errorf("%d rows on the page: %.300s", a.Length(), a.Text())
	}
}

// TestSharedBelongsToItsOwner checks who may look and call.
func TestSharedBelongsToItsOwner(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	j := s.submit(`{"program":{"command":{"argv":["true"]}},"inputs":{"open":true}}`)
	at := "/api/v1/jobs/" + j.ID + "/shared"
	eve, watcher := s.user("eve", jobs.Submitter), s.user("watcher", jobs.Viewer)
	s.call("POST", at+"/hits/add", `{"args":[1]}`)
	for _, c := range []struct {
		who, method, path string
		status            int
	}{
		{eve, "GET", at, 404}, {eve, "GET", at + "/hits", 404}, {eve, "POST", at + "/hits/add", 404}, {eve, "POST", at, 404},
		{watcher, "GET", at, 200}, {watcher, "GET", at + "/hits", 200}, {watcher, "POST", at + "/hits/add", 403},
		{watcher, "POST", "/api/v1/shared/team/hits/add", 403}, {watcher, "DELETE", "/api/v1/shared/team", 403},
	} {
		body := ""
		if c.method == "POST" {
			body = `{"args":[1]}`
		}
		if a := s.call(c.method, c.path, body, "Authorization", "Bearer "+c.who); a.StatusCode != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, a.StatusCode, a.text, c.status)
		}
	}
	// A name is the owner's own.
	as := func(who, method, path, body string) *answer {
		return s.call(method, "/api/v1/shared"+path, body, "Authorization", "Bearer "+who)
	}
	as(eve, "POST", "/team/hits/add", `{"args":[7]}`)
	as(adminToken, "POST", "/team/hits/add", `{"args":[1]}`)
	for who, want := range map[string]string{eve: `"value":7`, adminToken: `"value":1`} {
		if a := as(who, "GET", "/team/hits", ""); !strings.Contains(a.text, want) {
			t.Errorf("%s, want %s", a.text, want)
		}
	}
	if a := as(eve, "GET", "", ""); a.text != `{"items":[{"scope":"team"}]}`+"\n" {
		t.Errorf("eve's scopes: %s", a.text)
	}
	if a := as(eve, "GET", "/team", ""); !strings.Contains(a.text, `"name":"hits"`) {
		t.Errorf("eve's objects: %s", a.text)
	}
	for range 2 {
		if a := as(eve, "DELETE", "/team", ""); a.StatusCode != 204 {
			t.Errorf("delete: %d %s", a.StatusCode, a.text)
		}
	}
	if a := as(eve, "GET", "", ""); a.text != `{"items":[]}`+"\n" {
		t.Errorf("eve's scopes after the deletion: %s", a.text)
	}
	if a := as(adminToken, "GET", "/team/hits", ""); a.StatusCode != 200 {
		t.Errorf("the admin's scope of that name: %d", a.StatusCode)
	}
}

// TestSharedKeys checks that a repeated call counts once, and that a call whose request
// ended goes on waiting under its key.
func TestSharedKeys(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	j := s.submit(`{"program":{"command":{"argv":["true"]}},"inputs":{"open":true}}`)
	at := "/api/v1/jobs/" + j.ID + "/shared"
	for range 3 {
		if a := s.call("POST", at+"/hits/add", `{"args":[1]}`, "Idempotency-Key", "k1"); a.text != `{"value":1}`+"\n" {
			t.Errorf("a repeated call: %d %s", a.StatusCode, a.text)
		}
	}
	if a := s.call("POST", at+"/hits/add", `{"args":[2]}`, "Idempotency-Key", "k1"); a.StatusCode != 422 || !strings.Contains(a.text, `"kind":"differs"`) {
		t.Errorf("another call with the key: %d %s", a.StatusCode, a.text)
	}
	get := func(wait string) *answer {
		return s.call("POST", at+"/todo/get", `{"kind":"queue"}`, "Idempotency-Key", "k2", "Prefer", "wait="+wait)
	}
	if a := get("1"); a.StatusCode != 202 || a.text != `{"waiting":true}`+"\n" {
		t.Errorf("a call that waits: %d %s", a.StatusCode, a.text)
	}
	answered := make(chan *answer, 1)
	go func() { answered <- get("30") }()
	s.call("POST", at+"/todo/put", `{"args":["x"]}`)
	select {
	case a := <-answered:
		if a.text != `{"value":"x"}`+"\n" {
			t.Errorf("the item: %d %s", a.StatusCode, a.text)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the call that waits got nothing")
	}
	if a := get("1"); a.text != `{"value":"x"}`+"\n" {
		t.Errorf("asked again: %d %s", a.StatusCode, a.text)
	}
}

// TestSharedCallOfAClientThatLeaves checks that the wait of a request ends with it.
func TestSharedCallOfAClientThatLeaves(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	j := s.submit(`{"program":{"command":{"argv":["true"]}},"inputs":{"open":true}}`)
	at := "/api/v1/jobs/" + j.ID + "/shared"
	s.call("POST", at+"/todo/make", `{"kind":"queue"}`)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+at+"/todo/get", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	req.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{DisableKeepAlives: true}
	left := make(chan error, 1)
	go func() {
		answer, err := transport.RoundTrip(req)
		if err == nil {
			answer.Body.Close()
		}
		left <- err
	}()
	waiting := func() string {
		a := s.get(at + "/todo")
		return a.text
	}
	await(t, "the call waits", func() bool { return strings.Contains(waiting(), `"waiting":1`) })
	leave()
	<-left
	await(t, "the call is taken back", func() bool { return strings.Contains(waiting(), `"waiting":0`) })
	if a := s.call("POST", at+"/todo/put", `{"args":[1]}`); a.StatusCode != 200 {
		t.Error(a.text)
	}
	if a := s.call("POST", at+"/todo/get", `{"timeout":0}`); a.text != `{"value":1}`+"\n" {
		t.Errorf("the item: %s", a.text)
	}
}

// TestTasksShare checks that a Python task over frames, a command with curl and an
// outside client see one object.
func TestTasksShare(t *testing.T) {
	t.Parallel()
	s := serve(t)
	adds := `
import json, os, struct
import allcores
def add(x):
    conn = allcores._task_upgrade("allcores-shared")
    args = json.dumps({"kind": "value", "args": [x]}).encode()
    conn.sendall(struct.pack("<IIQBHH", 17 + 3 + 4 + 4 + len(args), 1, allcores._task_index(), 3, 4, 4) + b"addteamhits" + args)
    answer = conn.recv(1000)
    conn.close()
    return json.loads(answer[9:].decode())
`
	if j := s.ended(s.submit(program(adds, `{"range":{"start":1,"stop":11}}`)).ID); j.State != jobs.Succeeded {
		t.Fatalf("%s: %s", j.State, s.get("/api/v1/jobs/"+j.ID+"/errors").text)
	}
	curl := `curl -sS --fail --unix-socket \"$ALLCORES_SOCKET\" \"$ALLCORES_TASK_URL/shared/hits/add?scope=team\" -d \"$1\"`
	j := s.ended(s.submit(fmt.Sprintf(`{"program":{"command":{"argv":["sh","-c","%s","sh","{}"]}},"inputs":{"range":{"start":1,"stop":11}}}`, curl)).ID)
	if j.State != jobs.Succeeded {
		t.Fatalf("%s: %s", j.State, s.get("/api/v1/jobs/"+j.ID+"/errors").text)
	}
	if a := s.get("/api/v1/shared/team/hits"); !strings.Contains(a.text, `"value":110}`) {
		t.Errorf("the sum: %s", a.text)
	}
}
