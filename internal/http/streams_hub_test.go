package http_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// A reader reads a stream of events as they arrive.
type reader struct {
	mu     sync.Mutex
	events []event
	ended  bool
}

func (s *server) read(path string, headers ...string) *reader {
	s.t.Helper()
	r := new(reader)
	events := s.events(path, headers...)
	go func() {
		for e := range events {
			r.mu.Lock()
			r.events = append(r.events, e)
			r.mu.Unlock()
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended = true
	}()
	return r
}

// saw reports whether an event contains the text.
func (r *reader) saw(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if strings.Contains(e.data, text) {
			return true
		}
	}
	return false
}

func (r *reader) over() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

// TestStreamsReadTogether checks that two hundred streams of a job, and of a page,
// cost the database as much as one each, and occupy no connection of it.
func TestStreamsReadTogether(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	const streams, changes = 200, 8
	id := s.submit(`{"program":{"command":{"argv":["true"]}},"inputs":{"open":true}}`).ID
	ann := s.user("ann", jobs.Viewer)
	var readers []*reader
	for i := range streams {
		path := []string{"/api/v1/jobs/" + id + "/events", "/jobs/" + id + "/live", "/live", "/api/v1/events"}[i%4]
		who := []string{adminToken, ann}[i/4%2]
		readers = append(readers, s.read(path, "Authorization", "Bearer "+who))
	}
	all := func(text string) {
		t.Helper()
		for i, r := range readers {
			await(t, fmt.Sprintf("%q in stream %d", text, i), func() bool { return r.saw(text) })
		}
	}
	all(id)
	if guests, hubs := s.site.Streams(); guests != streams || hubs != 7 {
		t.Errorf("%d streams, %d hubs", guests, hubs) // of 4 pages and APIs each of 2 roles, but a job's events are the same for all
	}
	var listening int
	err := s.store.Pool.QueryRow(t.Context(), `select count(*) from pg_stat_activity where datname = current_database() and query = 'listen allcores'`).Scan(&listening)
	if err != nil || listening != 1 {
		t.Errorf("%d connections listen, %v", listening, err)
	}
	await(t, "no connection in use", func() bool { return s.store.Pool.Stat().AcquiredConns() == 0 })
	before := s.store.Pool.Stat().AcquireCount()
	began := time.Now()
	for i := range changes {
		name := fmt.Sprintf("%08d", 10000000+i)
		s.call("POST", "/api/v1/jobs/"+id+"/tasks", `"`+name+`"`, "Content-Type", "application/x-ndjson")
		s.submit(`{"name":"job ` + name + `","program":{"command":{"argv":["true"]}},"inputs":{"items":[1]}}`)
		for i, r := range readers {
			text := fmt.Sprintf(`"total":%d,`, changes)
			switch i % 4 {
			case 0:
				text = fmt.Sprintf(`"total":%d,`, name[7]-'0'+1)
			case 1:
				text = fmt.Sprintf(`max="%d"`, name[7]-'0'+1)
			default:
				text = "job " + name
			}
			await(t, fmt.Sprintf("%q in stream %d", text, i), func() bool { return r.saw(text) })
		}
	}
	// A look at the page of a job takes about 12 statements, and there are at most 4
	// looks a second and hub, one of them of each page and role.
	looks := 4*time.Since(began).Seconds() + 2*changes
	if used := float64(s.store.Pool.Stat().AcquireCount() - before); used > 40*looks {
		t.Errorf("%d changes in %v took %.0f uses of the database", changes, time.Since(began), used)
	}
}

// TestHubsAreNotShared checks that a hub sends its data only to users who may see it.
func TestHubsAreNotShared(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	ann, bob := s.user("ann", jobs.Submitter), s.user("bob", jobs.Submitter)
	as := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	var anns job
	s.call("POST", "/api/v1/jobs", `{"name":"secret of ann","program":{"command":{"argv":["true"]}},"inputs":{"items":[1]}}`, as(ann)...).into(t, &anns)
	hers := []*reader{s.read("/live", as(ann)...), s.read("/api/v1/events", as(ann)...), s.read("/jobs/"+anns.ID+"/live", as(ann)...)}
	for _, r := range hers {
		await(t, "her own", func() bool { return r.saw("secret of ann") })
	}
	his := []*reader{s.read("/live", as(bob)...), s.read("/api/v1/events", as(bob)...)}
	s.call("POST", "/api/v1/jobs", `{"name":"of bob","program":{"command":{"argv":["true"]}},"inputs":{"items":[1]}}`, as(bob)...)
	for _, r := range his {
		await(t, "his own", func() bool { return r.saw("of bob") })
		if r.saw("secret of ann") {
			t.Error("bob receives ann's job")
		}
	}
	for _, path := range []string{"/jobs/" + anns.ID + "/live", "/api/v1/jobs/" + anns.ID + "/events"} {
		if a := s.get(path, as(bob)...); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
	// A stream of several pages leaves out that page alone.
	both := s.read("/pages/live?page="+url.QueryEscape("/jobs/"+anns.ID+"/live")+"&page=/live", as(bob)...)
	await(t, "his own", func() bool { return both.saw("of bob") })
	await(t, "the missing one", func() bool {
		both.mu.Lock()
		defer both.mu.Unlock()
		for _, e := range both.events {
			if e.name == "gone" {
				return strings.HasPrefix(e.data, "/jobs/"+anns.ID+"/live\n")
			}
		}
		return false
	})
	if both.saw("secret of ann") {
		t.Error("bob receives ann's job")
	}
}

// TestStreamsNeverGoBack checks that a stream never takes a page back to a
// state before it was loaded.
func TestStreamsNeverGoBack(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.submit(`{"program":{"command":{"argv":["true"]}},"inputs":{"open":true}}`).ID
	path := "/api/v1/jobs/" + id + "/events"
	s.read(path) // keeps the hub
	for n := range 12 {
		// This server's own store would notify the hub at once.
		if _, err := s.store.Pool.Exec(t.Context(), `update progress set total = $2 where job_id = $1`, id, n+1); err != nil {
			t.Fatal(err)
		}
		e, ok := one(t, s.events(path))
		var j jobs.Job
		if err := json.Unmarshal([]byte(e.data), &j); !ok || err != nil || j.Counts.Total != int64(n+1) {
			t.Errorf("%d tasks, but the first event is %s, %v", n+1, e.data, err)
		}
	}
}

// deaf opens a stream that the test reads later.
func (s *server) deaf(path string) *bufio.Reader {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		s.t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", path, adminToken)
	body := bufio.NewReaderSize(conn, 16)
	if line, err := body.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		s.t.Fatal(line, err)
	}
	return body
}

// wide submits a job with large events, so that few fill a connection.
func (s *server) wide() string {
	s.t.Helper()
	source := "def f(x): return x\n# " + strings.Repeat("x", 200<<10)
	return s.submit(program(source, `{"open":true}`)).ID
}

// TestSlowReadersSkip checks that a slow reader skips intermediate states and
// receives the newest, and that others do not wait for it.
func TestSlowReadersSkip(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.wide()
	path := "/api/v1/jobs/" + id + "/events"
	quick, slow := s.read(path), s.deaf(path)
	const changes = 12
	for n := range changes {
		s.call("POST", "/api/v1/jobs/"+id+"/tasks", "1", "Content-Type", "application/x-ndjson")
		await(t, "the change", func() bool { return quick.saw(fmt.Sprintf(`"total":%d,`, n+1)) })
	}
	var totals []int
	for len(totals) == 0 || totals[len(totals)-1] < changes {
		line, err := slow.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if at := strings.Index(line, `"total":`); at >= 0 {
			var n int
			fmt.Sscanf(line[at:], `"total":%d`, &n)
			totals = append(totals, n)
		}
	}
	if len(totals) > changes/2 {
		t.Errorf("the slow reader received all of %v", totals)
	}
}

// TestDeafReadersAreCut checks that only the client that never reads is cut off.
func TestDeafReadersAreCut(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	const timeout = 500 * time.Millisecond
	s.site.SetWriteTimeout(timeout)
	id := s.wide()
	path := "/api/v1/jobs/" + id + "/events"
	quick := s.read(path)
	var deaf []*bufio.Reader
	for range 5 {
		deaf = append(deaf, s.deaf(path))
	}
	await(t, "six streams", func() bool { guests, _ := s.site.Streams(); return guests == 6 })
	await(t, "the cut", func() bool {
		s.call("POST", "/api/v1/jobs/"+id+"/tasks", "1", "Content-Type", "application/x-ndjson")
		guests, _ := s.site.Streams()
		return guests == 1
	})
	for i, body := range deaf {
		if rest, err := io.ReadAll(body); err == nil {
			t.Errorf("client %d read %d bytes and an end in order", i, len(rest))
		}
	}
	s.call("POST", "/api/v1/jobs/"+id+"/seal", "")
	s.call("POST", "/api/v1/jobs/"+id+"/cancel", "")
	await(t, "the end for who reads", quick.over)
}

// TestStreamsLeaveNothing checks that nothing runs for streams once all clients have
// left.
func TestStreamsLeaveNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	id, ended := s.manual(1), s.manual(1)
	s.call("POST", "/api/v1/jobs/"+ended+"/cancel", "")
	var open sync.WaitGroup
	for i := range 60 {
		path := []string{"/live", "/queues/live", "/api/v1/events", "/jobs/" + id + "/live", "/jobs/" + ended + "/live",
			"/pages/live?page=/live&page=/nodes/live&page=/jobs/" + id + "/live", "/api/v1/jobs/" + id + "/results?follow=true"}[i%7]
		open.Go(func() {
			req, err := http.NewRequestWithContext(ctx, "GET", s.url+path, nil)
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+adminToken)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				return
			}
			defer res.Body.Close()
			_, _ = io.Copy(io.Discard, res.Body) // it is cut
		})
	}
	await(t, "streams", func() bool { guests, _ := s.site.Streams(); return guests > 40 })
	cancel()
	open.Wait()
	await(t, "nothing left", func() bool {
		guests, hubs := s.site.Streams()
		return guests == 0 && hubs == 0 && s.store.Pool.Stat().AcquiredConns() == 0
	})
}

func TestStreamOfPages(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.manual(1)
	page := func(path string) string { return "&page=" + url.QueryEscape(path) }
	job, list, task := "/jobs/"+id+"/live", "/live?q=state%3Aqueued", "/jobs/"+id+"/tasks/0/live"
	stream := s.events("/pages/live?" + page(job) + page(list) + page(task) + page("/nodes/live") + page(job))
	first, last := map[string]string{}, map[string]string{}
	follow := func(what string, until func() bool) {
		t.Helper()
		for !until() {
			e, ok := one(t, stream)
			if !ok {
				t.Fatalf("the stream ended before %s: %v", what, last)
			}
			of, html, _ := strings.Cut(e.data, "\n")
			if first[of] == "" {
				first[of] = e.name + html
			}
			if last[of] == "end" {
				t.Errorf("%s after the end of %s", e.name, of)
			}
			last[of] = e.name
		}
	}
	follow("every page", func() bool { return len(first) == 4 })
	for of, want := range map[string]string{job: `id="job-progress"`, list: `id="jobs"`, task: `id="task"`, "/nodes/live": `id="nodes"`} {
		if !strings.HasPrefix(first[of], "patch") || !strings.Contains(first[of], want) {
			t.Errorf("its first event of %s is %.300s", of, first[of])
		}
	}
	s.record(id, s.lease(id, 1))
	follow("the ends", func() bool { return last[job] == "end" && last[task] == "end" })
	seen := false
	for !seen { // the others go on
		e, ok := one(t, stream)
		if !ok {
			t.Fatal("the stream has ended")
		}
		seen = strings.HasPrefix(e.data, "/nodes/live\n")
	}
	for query, want := range map[string]string{
		"":                       "1 to 64",
		"?page=/nosuch":          "address of a page",
		"?page=/":                "address of a page",
		"?page=//else/live":      "address of a page",
		"?page=http://x/live":    "address of a page",
		"?page=/pages/live":      "address of a page",
		"?page=%0Aevent:%20x":    "address of a page",
		"?page=/api/v1/events":   "address of a page",
		"?" + manyPages(65)[1:]:  "1 to 64",
		"?page=/live&page=/nope": "address of a page",
	} {
		if a := s.get("/pages/live" + query); a.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(a.text, want) {
			t.Errorf("%.60s: %d, want %q in %s", query, a.StatusCode, want, cut(a.text))
		}
	}
	if a := s.get("/pages/live?page=/live", "Authorization", ""); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %d", a.StatusCode)
	}
}

func manyPages(n int) (query string) {
	for i := range n {
		query += fmt.Sprintf("&page=/live%%3Fq=%d", i)
	}
	return query
}
