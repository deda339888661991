package http_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

func TestBadSubmissions(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	const fine = `"program":{"command":{"argv":["true"]}},"inputs":{"items":[1]}`
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	for name, c := range map[string]struct {
		body   string
		status int
		want   []string // locations
	}{
		"empty":              {" ", 422, []string{"body"}},
		"no JSON":            {`{"name": "x",}`, 422, []string{"body"}},
		"text after":         {`{} {}`, 422, []string{"body"}},
		"array":              {`[]`, 422, []string{"body"}},
		"null":               {`null`, 422, []string{"body"}},
		"nothing given":      {`{}`, 422, []string{"body.inputs", "body.program"}},
		"NUL byte":           {"{\"name\": \"a\x00b\"," + fine + "}", 422, []string{"body"}},
		"not UTF-8":          {"{\"name\": \"a\xffb\"," + fine + "}", 422, []string{"body"}},
		"too deep":           {deep, 422, []string{"body"}},
		"deep":               {`{"program":{"command":{"argv":["true"]}},"inputs":{"items":[` + deep[:600] + deep[len(deep)-600:] + `]}}`, 422, []string{"body"}},
		"too deep an input":  {`{"program":{"command":{"argv":["true"]}},"inputs":{"items":[` + deep + `]}}`, 422, []string{"body"}},
		"name twice":         {`{"name":"a","name":"b",` + fine + `}`, 422, []string{"body.name"}},
		"twice inside":       {`{"program":{"command":{"argv":["true"],"argv":["false"]}},"inputs":{"items":[1]}}`, 422, []string{"body.program.command.argv"}},
		"unknown field":      {`{"nmae":"a",` + fine + `}`, 422, []string{"body.nmae"}},
		"unknown inside":     {`{` + fine + `,"policy":{"thread":1,"processes":0}}`, 422, []string{"body.policy.processes", "body.policy.thread"}},
		"other case":         {`{"Name":"a",` + fine + `}`, 422, []string{"body.Name"}},
		"NUL in name":        {`{"name":"a\u0000",` + fine + `}`, 422, []string{"body.name"}},
		"NUL in argv":        {`{"program":{"command":{"argv":["a\u0000"]}},"inputs":{"items":[1]}}`, 422, []string{"body.program.command.argv[0]"}},
		"lone surrogates":    {`{"name":"\ud800","tags":["\ud83d\ude00"],"program":{"command":{"argv":["touch","x\udce9y"],"env":{"A":"\udfff"}}},"inputs":{"lines":"\udce9"}}`, 422, []string{"body.inputs.lines", "body.name", "body.program.command.argv[1]", "body.program.command.env.A"}},
		"member twice":       {`{"program":{"command":{"argv":["a"]}},"inputs":{"items":[{"a":1,"b":[{"c":1,"c":2}]}]}}`, 422, []string{"body.inputs.items[0]"}},
		"input as source":    {`{"program":{"command":{"argv":["env","bash","-ec","echo {}"]}},"inputs":{"items":[1]}}`, 422, []string{"body.program.command.argv[3]"}},
		"wrong types":        {`{"name":1,"program":[],"inputs":"x","queue":{},"priority":"2","policy":[],"tags":"a"}`, 422, []string{"body.inputs", "body.name", "body.policy", "body.priority", "body.program", "body.queue", "body.tags"}},
		"fractions":          {`{` + fine + `,"priority":2.5,"policy":{"threads":2.0,"processes":1e2,"max_attempts":1e999}}`, 422, []string{"body.policy.max_attempts", "body.policy.processes", "body.policy.threads", "body.priority"}},
		"huge numbers":       {`{` + fine + `,"priority":99999999999999999999999,"policy":{"threads":-99999999999999999999999}}`, 422, []string{"body.policy.threads", "body.priority"}},
		"huge range":         {`{"program":{"command":{"argv":["a"]}},"inputs":{"range":{"start":-9223372036854775809,"stop":9223372036854775808,"step":9223372036854775807}},"nmae":"a"}`, 422, []string{"body.inputs.range.start", "body.inputs.range.stop", "body.nmae"}},
		"both programs":      {`{"program":{"python":{"source":"def f(x): pass","function":"f"},"command":{"argv":["true"]}},"inputs":{"items":[1]}}`, 422, []string{"body.program"}},
		"empty python":       {`{"program":{"python":{}},"inputs":{"items":[1]}}`, 422, []string{"body.program.python.function", "body.program.python.source"}},
		"no such function":   {program("def f(x): pass", `{"items":[1]}`)[:0] + `{"program":{"python":{"source":"def f(x): pass","function":"g"}},"inputs":{"items":[1]}}`, 422, []string{"body.program.python.function"}},
		"syntax error":       {`{"program":{"python":{"source":"def f(x:\n  pass","function":"f"}},"inputs":{"items":[1]}}`, 422, []string{"body.program.python.source"}},
		"empty argv":         {`{"program":{"command":{"argv":[]}},"inputs":{"items":[1]}}`, 422, []string{"body.program.command.argv"}},
		"null in argv":       {`{"program":{"command":{"argv":[null]}},"inputs":{"items":[1]}}`, 422, []string{"body.program.command.argv[0]"}},
		"bad env":            {`{"program":{"command":{"argv":["a"],"env":{"A B":"x","C":5}}},"inputs":{"items":[1]}}`, 422, []string{"body.program.command.env", "body.program.command.env.C"}},
		"bad enumerations":   {`{"program":{"command":{"argv":["a"],"output":"xml","ok_exit_codes":[-1,300,"x"]}},"inputs":{"items":[1]}}`, 422, []string{"body.program.command.ok_exit_codes[0]", "body.program.command.ok_exit_codes[1]", "body.program.command.ok_exit_codes[2]", "body.program.command.output"}},
		"two inputs":         {`{"program":{"command":{"argv":["a"]}},"inputs":{"items":[1],"lines":"x"}}`, 422, []string{"body.inputs"}},
		"range without stop": {`{"program":{"command":{"argv":["a"]}},"inputs":{"range":{"start":1}}}`, 422, []string{"body.inputs.range.stop"}},
		"step 0":             {`{"program":{"command":{"argv":["a"]}},"inputs":{"range":{"stop":1,"step":0}}}`, 422, []string{"body.inputs.range.step"}},
		"endless range":      {`{"program":{"command":{"argv":["a"]}},"inputs":{"range":{"start":-9223372036854775808,"stop":9223372036854775807}}}`, 422, []string{"body.inputs.range"}},
		"range past int64":   {`{"program":{"command":{"argv":["a"]}},"inputs":{"range":{"stop":9223372036854775808}}}`, 422, []string{"body.inputs.range.stop"}},
		"too many items":     {`{"program":{"command":{"argv":["a"]}},"inputs":{"items":[1` + strings.Repeat(",1", 10_000) + `]}}`, 422, []string{"body.inputs.items"}},
		"NUL in lines":       {`{"program":{"command":{"argv":["a"]}},"inputs":{"lines":"a\u0000"}}`, 422, []string{"body.inputs.lines"}},
		"args of a range":    {`{"program":{"python":{"source":"def f(x): pass","function":"f","call":"args"}},"inputs":{"range":{"stop":3}}}`, 422, []string{"body.program.python.call"}},
		"no such queue":      {`{"queue":"nowhere",` + fine + `}`, 422, []string{"body.queue"}},
		"bad queue":          {`{"queue":"Ä b",` + fine + `}`, 422, []string{"body.queue"}},
		"bad policy": {`{` + fine + `,"policy":{"timeout":"soon","memory_limit":"1","retry_backoff":"99h","max_failures":"many"}}`, 422,
			[]string{"body.policy.max_failures", "body.policy.memory_limit", "body.policy.retry_backoff", "body.policy.timeout"}},
		"failure limits": {`{` + fine + `,"policy":{"max_failures":-1}}`, 422, []string{"body.policy.max_failures"}},
		"odd limit":      {`{` + fine + `,"policy":{"max_failures":"+5"}}`, 422, []string{"body.policy.max_failures"}},
		"zeroed limit":   {`{` + fine + `,"policy":{"max_failures":"007"}}`, 422, []string{"body.policy.max_failures"}},
		"object limit":   {`{` + fine + `,"policy":{"max_failures":{}}}`, 422, []string{"body.policy.max_failures"}},
		"bad tags":       {`{` + fine + `,"tags":["a b","",5,"` + strings.Repeat("x", 51) + `"]}`, 422, []string{"body.tags[0]", "body.tags[1]", "body.tags[2]", "body.tags[3]"}},
		"many at once": {`{"name":"` + strings.Repeat("n", 201) + `","priority":9,"nope":1,"program":{"python":{"source":"def f(x): pass","function":"1f","call":"star"}},"inputs":{"items":[1]},"policy":{"timeout":5}}`, 422,
			[]string{"body.name", "body.nope", "body.policy.timeout", "body.priority", "body.program.python.call", "body.program.python.function"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.call("POST", "/api/v1/jobs", c.body)
			if a.StatusCode != c.status {
				t.Fatalf("status %d, want %d: %s", a.StatusCode, c.status, cut(a.text))
			}
			got := a.problem(t).locations()
			slices.Sort(got)
			if diff := cmp.Diff(c.want, slices.Compact(got)); diff != "" {
				t.Errorf("locations (-want +got):\n%s%s", diff, cut(a.text))
			}
			if len(a.text) > 20_000 {
				t.Errorf("an answer of %d bytes", len(a.text))
			}
		})
	}
	checkNoJobs(t, s)
}

func checkNoJobs(t *testing.T, s *server) {
	t.Helper()
	n := 0
	if err := s.store.Pool.QueryRow(t.Context(), `select count(*) from jobs`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d jobs in the database, %v", n, err)
	}
}

func cut(text string) string { return text[:min(len(text), 1500)] }

func TestBadJSONTellsThePlace(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	p := s.call("POST", "/api/v1/jobs", "{\n  \"name\": nope\n}").problem(t)
	if len(p.Errors) != 1 || !strings.Contains(p.Errors[0].Message, "line 2, column 12") {
		t.Errorf("%+v", p)
	}
	p = s.call("POST", "/api/v1/jobs", `{"priority":9,"program":{"command":{"argv":["a"]}},"inputs":{"items":[1]}}`).problem(t)
	if len(p.Errors) != 1 || p.Errors[0].Value != 9.0 || p.Errors[0].Message != "must be from 1 to 4" || p.Detail != "1 violation" {
		t.Errorf("%+v", p)
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	j := s.submit(`{"program":{"command":{"argv":["true"]}},"inputs":{"items":[1,2,3]}}`)
	at := "/api/v1/jobs/" + j.ID
	other := store.NewID()
	for _, c := range []struct {
		method, path string
		status       int
		want         string // location
	}{
		{"GET", "/api/v1/jobs?limit=0", 422, "query.limit"},
		{"GET", "/api/v1/jobs?limit=1001", 422, "query.limit"},
		{"GET", "/api/v1/jobs?limit=abc", 422, "query.limit"},
		{"GET", "/api/v1/jobs?limit=99999999999999999999", 422, "query.limit"},
		{"GET", "/api/v1/jobs?cursor=garbage", 422, "query.cursor"},
		{"GET", "/api/v1/jobs?cursor=%00", 422, "query.cursor"},
		{"GET", "/api/v1/jobs?state=running,asleep", 422, "query.state"},
		{"GET", "/api/v1/jobs?q=%00", 422, "query.q"},
		{"GET", "/api/v1/jobs?q=%ff", 422, "query.q"},
		{"GET", "/api/v1/jobs?tag=%ff", 422, "query.tag"},
		{"GET", "/api/v1/jobs?queue=%00", 422, "query.queue"},
		{"GET", "/api/v1/jobs?stat=running", 422, "query.stat"},
		{"GET", "/api/v1/jobs/nope", 404, ""},
		{"GET", "/api/v1/jobs/" + other, 404, ""},
		{"GET", "/api/v1/jobs/" + strings.ToUpper(j.ID), 404, ""},
		{"GET", "/api/v1/jobs/%00", 404, ""},
		{"GET", at + "?wait=long", 422, "query.wait"},
		{"GET", at + "?wait=-1", 422, "query.wait"},
		{"DELETE", "/api/v1/jobs/nope", 404, ""},
		{"DELETE", "/api/v1/jobs/" + other, 404, ""},
		{"DELETE", at, 409, ""},
		{"POST", "/api/v1/jobs/nope/cancel", 404, ""},
		{"POST", "/api/v1/jobs/" + other + "/cancel", 404, ""},
		{"GET", at + "/tasks/3", 404, ""},
		{"GET", at + "/tasks/-1", 404, ""},
		{"GET", at + "/tasks/01", 404, ""},
		{"GET", at + "/tasks/x", 404, ""},
		{"GET", at + "/tasks/99999999999999999999", 404, ""},
		{"GET", at + "/errors?limit=-5", 422, "query.limit"},
		{"GET", "/api/v1/jobs/" + other + "/errors", 404, ""},
		{"GET", at + "/results?format=xml", 422, "query.format"},
		{"GET", at + "/results?after=x", 422, "query.after"},
		{"GET", at + "/results?after=-2", 422, "query.after"},
		{"GET", at + "/results?after=9223372036854775807", 422, "query.after"},
		{"GET", at + "/results?after=1000000001&follow=true&format=csv", 422, "query.after"},
		{"GET", at + "/results?after=0&after=1", 422, "query.after"},
		{"GET", at + "/results?follow=true&follow=false", 422, "query.follow"},
		{"GET", at + "/results?after=1;follow=true", 422, "query"},
		{"GET", at + "/results?after=%zz", 422, "query"},
		{"GET", at + "/results?follow=perhaps", 422, "query.follow"},
		{"GET", at + "/results?order=random", 422, "query.order"},
		{"GET", at + "/results?order=completion&after=1", 422, "query.after"},
		{"GET", at + "/results?state=running", 422, "query.state"},
		{"GET", "/api/v1/jobs/" + other + "/results", 404, ""},
		{"GET", at + "/logs?after=x", 422, "query.after"},
		{"GET", at + "/logs?task=7", 422, "query.task"},
		{"GET", at + "/logs?task=9223372036854775807", 422, "query.task"},
		{"GET", at + "/logs?after=0&after=0", 422, "query.after"},
		{"GET", at + "?wait=1&wait=2", 422, "query.wait"},
		{"GET", "/api/v1/jobs?limit=1&limit=2", 422, "query.limit"},
		{"GET", "/api/v1/jobs?cursor=" + j.ID + "&cursor=" + other, 422, "query.cursor"},
		{"GET", "/api/v1/queues?limit=1&limit=1", 422, "query.limit"},
		{"POST", at + "/tasks?seal=false&seal=true", 422, "query.seal"},
		{"GET", "/api/v1/jobs/" + other + "/logs", 404, ""},
		{"GET", "/api/v1/jobs/" + other + "/events", 404, ""},
		{"GET", "/api/v1/queues/nowhere", 404, ""},
		{"GET", "/api/v1/queues/%00", 404, ""},
		{"GET", "/api/v1/queues?cursor=x", 422, "query.cursor"},
		{"GET", "/api/v1/nodes?limit=x", 422, "query.limit"},
		{"GET", "/api/v1/nothing", 404, ""},
		{"PUT", "/api/v1/jobs", 405, ""},
		{"POST", "/api/v1/queues", 405, ""},
		{"BREW", "/api/v1/queues", 405, ""},
	} {
		checkRefused(t, s.call(c.method, c.path, ""), c.method+" "+c.path, c.status, c.want)

	}
	checkOddRequests(t, s, j.ID, other)
}

// checkRefused checks the status of an answer. If want is not empty, its problem
// must have that location.
func checkRefused(t *testing.T, a *answer, what string, status int, want string) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("%s: status %d, want %d: %s", what, a.StatusCode, status, cut(a.text))
		return
	}
	p := a.problem(t)
	if want != "" && !slices.Contains(p.locations(), want) {
		t.Errorf("%s: %+v, want %s", what, p, want)
	}
	if a.Header.Get("X-Request-Id") == "" {
		t.Errorf("%s: no request id", what)
	}
}

// checkOddRequests checks requests past the last task, repeated parameters of pages,
// and windows at the ends of time.
func checkOddRequests(t *testing.T, s *server, id, other string) {
	t.Helper()
	at := "/api/v1/jobs/" + id
	for _, query := range []string{"?after=1000000000", "?after=1000000000&format=csv", "?after=2&format=outputs", "?after=1000000000&state=cancelled"} {
		if a := s.get(at + "/results" + query); a.StatusCode != 200 || strings.Contains(a.text, "cancelled") || strings.Contains(a.text, "null") {
			t.Errorf("results%s past the last task: %d %s", query, a.StatusCode, cut(a.text))
		}
	}
	for _, path := range []string{"/jobs/" + id + "/tasks?index=0&index=1", "/?cursor=" + other + "&cursor=" + other, "/?q=%zz"} {
		if a := s.get(path); a.StatusCode != 422 || !strings.Contains(a.text, "query") {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
	for _, query := range []string{"from=1970-01-01T00:00:00Z&to=9999-12-31T00:00:00Z&width=1", "from=9998-12-31T00:00:00Z&to=9999-12-31T00:00:00Z", "to=9999-12-31T00:00:00Z&since=9999-01-01T00:00:00Z"} {
		for _, path := range []string{"/api/v1/stream?", at + "/stream?"} {
			if a := s.get(path + query); a.StatusCode != 200 || strings.Contains(a.text, "9223372036") {
				t.Errorf("%s%s: %d %s", path, query, a.StatusCode, cut(a.text))
			}
		}
	}
	if got := s.call("PUT", "/api/v1/jobs", "").Header.Get("Allow"); got != "GET, HEAD, POST" {
		t.Errorf("Allow: %q", got)
	}
}

func TestAllViolationsOfAQuery(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	at := "/api/v1/jobs/" + s.manual(3)
	for _, c := range []struct {
		method, path string
		want         []string
	}{
		{"GET", "/api/v1/jobs?limit=0&state=asleep&stat=x&cursor=y&tag=%ff&and=z", []string{"query.and", "query.cursor", "query.limit", "query.stat", "query.state", "query.tag"}},
		{"GET", "/api/v1/jobs?state=asleep,running&state=tired&stat=x", []string{"query.stat", "query.state", "query.state"}},
		{"GET", at + "?wait=x&limit=1", []string{"query.limit", "query.wait"}},
		{"GET", at + "?limit=1", []string{"query.limit"}},
		{"GET", at + "/results?format=xml&state=running&foll\"ow=true&after=-2", []string{"query.after", `query.foll"ow`, "query.format", "query.state"}},
		{"GET", at + "/results?order=completion&after=1&seek=2", []string{"query.after", "query.seek"}},
		{"GET", at + "/events?since=1", []string{"query.since"}},
		{"POST", at + "/cancel?now=true", []string{"query.now"}},
	} {
		a := s.call(c.method, strings.ReplaceAll(c.path, `"`, "%22"), "")
		p := a.problem(t)
		if diff := cmp.Diff(c.want, p.locations()); a.StatusCode != 422 || diff != "" {
			t.Errorf("%s: %d, locations (-want +got):\n%s", c.path, a.StatusCode, diff)
		}
		if want := fmt.Sprintf("%d violation", len(c.want)); !strings.HasPrefix(p.Detail, want) {
			t.Errorf("%s: %q", c.path, p.Detail)
		}
	}
	var j job
	if s.get(at).into(t, &j); j.State != jobs.Queued {
		t.Errorf("the job is %s", j.State)
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	const fine = `{"program":{"command":{"argv":["true"]}},"inputs":{"items":[1]}}`
	for kind, status := range map[string]int{
		"application/json": 201, "application/json; charset=utf-8": 201, "": 201, "application/vnd.x+json": 201,
		"text/plain": 415, "application/x-www-form-urlencoded": 415, "multipart/form-data": 415, ";;": 415,
	} {
		if a := s.call("POST", "/api/v1/jobs", fine, "Content-Type", kind); a.StatusCode != status {
			t.Errorf("%q: status %d, want %d: %s", kind, a.StatusCode, status, a.text)
		}
	}
	large := `{"name":"` + strings.Repeat("x", 32<<20) + `"}`
	if a := s.call("POST", "/api/v1/jobs", large); a.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d: %s", a.StatusCode, cut(a.text))
	} else {
		a.problem(t)
	}
	if a := s.call("POST", "/api/v1/jobs", "x", "Content-Encoding", "gzip"); a.StatusCode != 422 && a.StatusCode != 415 {
		t.Errorf("status %d: %s", a.StatusCode, a.text)
	}
	if a := s.call("POST", "/api/v1/jobs", ""); a.StatusCode != 422 {
		t.Errorf("no body at all: status %d: %s", a.StatusCode, a.text)
	}
	var kept int
	if err := s.store.Pool.QueryRow(t.Context(), `select count(*) from jobs`).Scan(&kept); err != nil || kept != 4 {
		t.Error(fmt.Sprint(kept, err))
	}
	for _, key := range []string{strings.Repeat("k", 256), "kä"} {
		a := s.call("POST", "/api/v1/jobs", `{"nope":1}`, "Idempotency-Key", key)
		if got := a.problem(t).locations(); a.StatusCode != 422 || !slices.Contains(got, "header.Idempotency-Key") || !slices.Contains(got, "body.nope") {
			t.Errorf("%d %v", a.StatusCode, got)
		}
	}
}

// TestSlowBody checks that the server bounds the wait for a body, and that the wait
// for a job may last much longer.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.site.SetBodyTimeout(300 * time.Millisecond)
	open := s.submit(program(squares, `{"open":true}`)).ID
	for _, path := range []string{"/jobs", "/jobs/" + open + "/tasks"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /api/v1%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\n1\n", path, adminToken)
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "408") {
			t.Errorf("%s: %q, %v", path, line, err)
		}
	}
	j := s.submit(program("import time\ndef f(x): time.sleep(1)\n", `{"items":[1]}`), "Prefer", "wait=20")
	if j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
}

// TestBrokenBody checks that a body that breaks off is reported as the client's
// fault.
func TestBrokenBody(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	open := s.submit(program(squares, `{"open":true}`)).ID
	for path, rest := range map[string]string{
		"/jobs":                     "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
		"/jobs/" + open + "/tasks":  "Transfer-Encoding: chunked\r\n\r\n2\r\n1\n\r\nnonsense\r\n",
		"/jobs/" + open + "/tasks?": "Content-Length: 100\r\n\r\n1\n2\n",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /api/v1%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s", path, adminToken, rest)
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "400") {
			t.Errorf("%s: %q, %v", path, line, err)
		}
	}
	var j job
	if s.get("/api/v1/jobs/"+open).into(t, &j); j.Counts.Total != 0 {
		t.Errorf("of broken requests is kept: %+v", j.Counts)
	}
}
