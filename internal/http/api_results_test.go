package http_test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// A result is a line of the results.
type result struct {
	Index  int64
	State  jobs.TaskState
	Output any
	Error  *jobs.TaskError
}

func (r result) String() string { return fmt.Sprintf("%d %s", r.Index, r.State) }

// results returns the lines of a job's results in short.
func (s *server) results(id, query string) []string {
	s.t.Helper()
	a := s.get("/api/v1/jobs/" + id + "/results" + query)
	if a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/x-ndjson" {
		s.t.Fatalf("%d %v: %s", a.StatusCode, a.Header, a.text)
	}
	var out []string
	for _, r := range lines[result](s.t, a.text) {
		out = append(out, r.String())
	}
	return out
}

func TestResults(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.manual(10)
	first, second, third := s.lease(id, 2), s.lease(id, 3), s.lease(id, 2)
	s.record(id, third)
	s.record(id, first, 1)
	check := func(query string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, s.results(id, query)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	check("", "0 succeeded", "1 failed", "5 succeeded", "6 succeeded")
	check("?order=completion", "5 succeeded", "6 succeeded", "0 succeeded", "1 failed")
	check("?after=0", "1 failed", "5 succeeded", "6 succeeded")
	check("?after=5&state=succeeded,failed", "6 succeeded")
	check("?after=99")
	check("?state=failed", "1 failed")
	check("?state=cancelled")
	if got := s.get("/api/v1/jobs/" + id + "/results?format=outputs").text; got != "[0,null,null,null,null,5,6]\n" {
		t.Error(got)
	}
	s.record(id, second)
	a := s.call("POST", "/api/v1/jobs/"+id+"/cancel", "")
	var j job
	a.into(t, &j)
	if a.StatusCode != 200 || j.State != jobs.Cancelled || j.Counts.Cancelled != 3 {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	all := []string{"0 succeeded", "1 failed", "2 succeeded", "3 succeeded", "4 succeeded", "5 succeeded", "6 succeeded", "7 cancelled", "8 cancelled", "9 cancelled"}
	check("", all...)
	check("?follow=true", all...)
	check("?after=8", "9 cancelled")
	check("?state=cancelled&state=failed", "1 failed", "7 cancelled", "8 cancelled", "9 cancelled")
	check("?order=completion&follow=true", append(append([]string{"5 succeeded", "6 succeeded", "0 succeeded", "1 failed"}, all[2:5]...), all[7:]...)...)
	if got := s.get("/api/v1/jobs/" + id + "/results?format=outputs&follow=true").text; got != "[0,null,2,3,4,5,6,null,null,null]\n" {
		t.Error(got)
	}
	if got := s.get("/api/v1/jobs/" + id + "/results?format=outputs&state=succeeded").text; got != "[0,2,3,4,5,6]\n" {
		t.Error(got)
	}
	if got := s.get("/api/v1/jobs/" + id + "/results?format=outputs&order=completion").text; got != "[5,6,0,null,2,3,4,null,null,null]\n" {
		t.Error(got)
	}
	checkEndedResults(t, s, id)
}

// checkEndedResults checks the formats of the ended job of TestResults, its task and
// its errors, and deletes it.
func checkEndedResults(t *testing.T, s *server, id string) {
	t.Helper()
	a := s.get("/api/v1/jobs/" + id + "/results?format=csv")
	if got := a.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/csv") || !strings.HasPrefix(a.text, "index,state,output,error\r\n0,succeeded,0,\r\n") {
		t.Errorf("%s %q", got, a.text)
	}
	rows, err := csv.NewReader(strings.NewReader(a.text)).ReadAll()
	if err != nil || len(rows) != 11 || rows[2][3] != `exception: ValueError: bad, "1"` || rows[9][1] != "cancelled" {
		t.Errorf("%q %v", rows, err)
	}
	none := s.manual(2)
	s.call("POST", "/api/v1/jobs/"+none+"/cancel", "")
	for _, query := range []string{"", "&order=completion", "&follow=true"} {
		if got := s.get("/api/v1/jobs/" + none + "/results?format=outputs" + query).text; got != "[null,null]\n" {
			t.Errorf("%s: %q", query, got)
		}
	}
	if a := s.call("HEAD", "/api/v1/jobs/"+id+"/results", ""); a.StatusCode != 200 || a.text != "" {
		t.Errorf("HEAD: %d %q", a.StatusCode, a.text)
	}
	// The task of a range has its input, its error and its node.
	var task jobs.Task
	s.get("/api/v1/jobs/"+id+"/tasks/1").into(t, &task)
	if task.State != jobs.TaskFailed || string(task.Input) != "1" || task.Error.Type != "ValueError" || task.NodeID != s.node {
		t.Errorf("%+v", task)
	}
	var groups struct {
		Items      []jobs.FailureGroup
		NextCursor *string `json:"next_cursor"`
	}
	a = s.get("/api/v1/jobs/" + id + "/errors")
	a.into(t, &groups)
	if len(groups.Items) != 1 || groups.Items[0].FirstIndex != 1 || groups.Items[0].Count != 1 || !strings.Contains(a.text, `"next_cursor":null`) {
		t.Error(a.text)
	}
	if a := s.call("DELETE", "/api/v1/jobs/"+id, ""); a.StatusCode != 204 || a.text != "" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if a := s.get("/api/v1/jobs/" + id); a.StatusCode != 404 {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}

// next reads one line within some seconds.
func next(t *testing.T, body *bufio.Reader) string {
	t.Helper()
	type read struct {
		text string
		err  error
	}
	got := make(chan read, 1)
	go func() {
		text, err := body.ReadString('\n')
		got <- read{text, err}
	}()
	select {
	case r := <-got:
		if r.err != nil {
			t.Fatalf("%q, %v", r.text, r.err)
		}
		return r.text
	case <-time.After(10 * time.Second):
		t.Fatal("no line came")
		return ""
	}
}

func TestResultsFollow(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.manual(6)
	one, two, three := s.lease(id, 2), s.lease(id, 2), s.lease(id, 2)
	open := func(query string) (*bufio.Reader, io.Closer) {
		res := s.send("GET", "/api/v1/jobs/"+id+"/results?follow=true"+query, "")
		t.Cleanup(func() { res.Body.Close() })
		if res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
		return bufio.NewReader(res.Body), res.Body
	}
	ordered, _ := open("")
	asDone, _ := open("&order=completion")
	expect := func(body *bufio.Reader, indexes ...int64) {
		t.Helper()
		for _, want := range indexes {
			var r result
			if err := json.Unmarshal([]byte(next(t, body)), &r); err != nil || r.Index != want {
				t.Fatalf("%v %v, want %d", r, err, want)
			}
		}
	}
	s.record(id, three)
	expect(asDone, 4, 5)
	s.record(id, one)
	expect(asDone, 0, 1)
	expect(ordered, 0, 1)
	resumed, broken := open("&after=0")
	expect(resumed, 1)
	broken.Close()
	s.record(id, two, 3)
	expect(asDone, 2, 3)
	expect(ordered, 2, 3, 4, 5) // 4 and 5 had to wait for their turn
	for _, body := range []*bufio.Reader{asDone, ordered} {
		if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
			t.Errorf("after the end: %q, %v", rest, err)
		}
	}
}

// TestResultsCutByDrain checks that a stream that cannot be completed does not look
// complete.
func TestResultsCutByDrain(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.manual(2)
	res := s.send("GET", "/api/v1/jobs/"+id+"/results?follow=true", "")
	defer res.Body.Close()
	waited := make(chan *answer, 1)
	go func() { waited <- s.get("/api/v1/jobs/" + id + "?wait=60") }()
	s.record(id, s.lease(id, 1))
	body := bufio.NewReader(res.Body)
	next(t, body)
	if a := s.get("/readyz"); a.StatusCode != 200 || a.text != "ready\n" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	s.site.Drain()
	if rest, err := io.ReadAll(body); err == nil {
		t.Errorf("the stream ended in order after %q", rest)
	}
	select {
	case a := <-waited:
		if a.StatusCode != 200 || !strings.Contains(a.text, `"state":"running"`) {
			t.Errorf("%d %s", a.StatusCode, a.text)
		}
	case <-time.After(10 * time.Second):
		t.Error("the wait for the job goes on")
	}
	if a := s.get("/readyz"); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if a := s.get("/healthz"); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}

// TestLargeOutputs checks that outputs larger than one read arrive whole.
func TestLargeOutputs(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.manual(6)
	var want []any
	for i, sizes := range [][]int{{1 << 20, 0, 3<<20 + 5, 1<<20 - 3}, {10, 5 << 20}} {
		lease := s.lease(id, len(sizes))
		run := outcomes.Encoded{First: lease.First, Count: lease.Count, Durations: make([]byte, 2*lease.Count)}
		for n, size := range sizes {
			output := strings.Repeat(string(rune('a'+i*4+n)), size)
			want = append(want, output)
			run.Outputs = fmt.Appendf(run.Outputs, "%q\n", output)
		}
		if p, _, err := s.store.Record(t.Context(), store.Record{Job: id, Lease: lease.ID, Count: lease.Count, Outcomes: []outcomes.Encoded{run}}, nil); err != nil || !p.Held {
			t.Fatal(p, err)
		}
	}
	for query, from := range map[string]int{"": 0, "?order=completion": 0, "?after=1": 2, "?after=4": 5, "?follow=true&after=2": 3} {
		var got []any
		for _, r := range lines[result](t, s.get("/api/v1/jobs/"+id+"/results"+query).text) {
			if r.Index != int64(from+len(got)) {
				t.Errorf("%s: index %d", query, r.Index)
			}
			got = append(got, r.Output)
		}
		if !cmp.Equal(got, want[from:]) {
			t.Errorf("%s: %d outputs that differ", query, len(got))
		}
	}
	var all []any
	if s.get("/api/v1/jobs/"+id+"/results?format=outputs").into(t, &all); !cmp.Equal(all, want) {
		t.Errorf("%d outputs that differ", len(all))
	}
}

// TestSlowReader checks that results are not buffered: a client that reads nothing
// stops the server's reading too, occupies no connection of the database meanwhile,
// and is cut off.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	s := serve(t)
	id := s.submit(program("def f(x): return 'x' * 1000\n", `{"range":{"stop":60000}}`)).ID
	s.ended(id)
	const timeout = 2 * time.Second
	s.site.SetWriteTimeout(timeout)
	began := time.Now()
	var slow []*bufio.Reader
	for _, query := range []string{"", "?follow=true", "?order=completion", "?format=outputs", "?format=csv"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /api/v1/jobs/%s/results%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", id, query, adminToken)
		body := bufio.NewReaderSize(conn, 16)
		if line, err := body.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatal(line, err)
		}
		slow = append(slow, body)
	}
	// All clients wait, and no transaction is open for them. (The node itself has
	// short ones.)
	await(t, "an end of the reading", func() bool {
		var held int
		err := s.store.Pool.QueryRow(t.Context(), `
			select count(*) from pg_stat_activity where datname = current_database() and backend_type = 'client backend'
			and pid <> pg_backend_pid() and (xact_start is not null or state <> 'idle')`).Scan(&held)
		return err == nil && held == 0 && s.store.Pool.Stat().AcquiredConns() == 0
	})
	if waited := time.Since(began); waited > timeout {
		t.Errorf("transactions were held for %v", waited)
	}
	// Meanwhile others are served.
	for range 10 {
		if a := s.get("/api/v1/jobs/" + id + "/tasks/5"); a.StatusCode != 200 {
			t.Fatal(a.text)
		}
	}
	if got := len(s.get("/api/v1/jobs/" + id + "/results").text); got < 60_000_000 {
		t.Errorf("%d bytes", got)
	}
	// The server cuts off a client that reads nothing.
	await(t, "the write timeout", func() bool { return time.Since(began) > 2*timeout })
	for i, body := range slow {
		rest, err := io.ReadAll(body)
		if len(rest) > 50_000_000 || strings.HasSuffix(string(rest), "\r\n0\r\n\r\n") {
			t.Errorf("client %d read %d bytes more, %v; want the connection cut", i, len(rest), err)
		}
	}
}
