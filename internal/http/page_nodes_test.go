package http_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/insight"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

func TestQueueForms(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	post := func(path string, pairs ...string) *answer {
		t.Helper()
		v := url.Values{}
		for i := 0; i+1 < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return s.post(path, v)
	}
	queue := func(name string) (q jobs.Queue, status int) {
		t.Helper()
		a := s.get("/api/v1/queues/" + name)
		if a.StatusCode == http.StatusOK {
			a.into(t, &q)
		}
		return q, a.StatusCode
	}
	follow := func(a *answer, target string) *goquery.Document {
		t.Helper()
		if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != target {
			t.Fatalf("status %d to %q: %s", a.StatusCode, a.Header.Get("Location"), cut(a.text))
		}
		path, _, _ := strings.Cut(target, "#")
		return s.page(path, 200)
	}
	checkUnchangedForm(t, s, queue, follow)

	// The next page has a change, even while a stream watches.
	watching := s.events("/queues/live")
	one(t, watching)
	doc := follow(post("/queues/cpu", views.FieldPerCore, " 2.5 ", views.FieldMaxProcesses, "3"), "/queues#queue-cpu")
	if got := fields(doc.Find(`form[action="/queues/cpu"]`)); got.Get(views.FieldPerCore) != "2.5" || got.Get(views.FieldMaxProcesses) != "3" || got.Get(views.FieldPinned) != "" {
		t.Errorf("%v", got)
	}
	if q, _ := queue("cpu"); q.PerCore != 2.5 || q.Pinned || *q.MaxProcesses != 3 {
		t.Errorf("%+v", q)
	}
	if doc := follow(post("/queues/cpu/pause"), "/queues#queue-cpu"); !strings.Contains(text(doc, "#now-of-cpu header"), "paused") || doc.Find(`form[action="/queues/cpu/resume"]`).Length() != 1 {
		t.Error(text(doc, "#now-of-cpu"))
	}
	if doc := follow(post("/queues/cpu/resume"), "/queues#queue-cpu"); strings.Contains(text(doc, "#now-of-cpu header"), "paused") {
		t.Error(text(doc, "#now-of-cpu"))
	}

	// Mistakes are at their fields, with the typed text, and the first has the focus.
	for _, c := range []struct {
		path, field string
		pairs       []string
		want, focus string
	}{
		{"/queues/io", "per_core-of-io", []string{views.FieldPerCore, "many", views.FieldMaxProcesses, "x"}, "must be a number", "per_core-of-io"},
		{"/queues/io", "max_processes-of-io", []string{views.FieldPerCore, "many", views.FieldMaxProcesses, "x"}, "must be a whole number", "per_core-of-io"},
		{"/queues/io", "max_processes-of-io", []string{views.FieldPerCore, "1", views.FieldMaxProcesses, "0"}, "empty for no limit", "max_processes-of-io"},
		{"/queues/io", "per_core-of-io", []string{views.FieldPerCore, "0"}, "must be a number from", "per_core-of-io"},
		{"/queues/io", "per_core-of-io", []string{views.FieldPerCore, "0x10"}, "must be a number", "per_core-of-io"},
		{"/queues/io", "per_core-of-io", nil, "must be a number", "per_core-of-io"},
		{"/queues", "new-queue-name", []string{views.FieldName, "Große", views.FieldPerCore, "1"}, "lower-case", "new-queue-name"},
		{"/queues", "new-queue-name", []string{views.FieldName, "io", views.FieldPerCore, "9"}, "existing queue", "new-queue-name"},
		{"/queues", "new-queue-per_core", []string{views.FieldName, "gpu", views.FieldPerCore, "-1"}, "must be", "new-queue-per_core"},
	} {
		doc := document(t, post(c.path, c.pairs...), 422)
		checkMistake(t, doc, c.field, c.want, c.focus, c.pairs)

	}
	if q, _ := queue("io"); q.PerCore != 8 || q.MaxProcesses != nil {
		t.Errorf("a mistake changed %+v", q)
	}
	checkAddAndDelete(t, s, post, queue, follow)
}

// checkUnchangedForm checks that a form that is sent unchanged changes nothing.
func checkUnchangedForm(t *testing.T, s *server, queue func(string) (jobs.Queue, int), follow func(*answer, string) *goquery.Document) {
	t.Helper()
	form := s.page("/queues", 200).Find(`form[action="/queues/cpu"]`)
	sent := fields(form)
	if sent.Get(views.FieldPerCore) != "1" || sent.Get(views.FieldPinned) == "" || sent.Get(views.FieldMaxProcesses) != "" {
		t.Fatalf("%v", sent)
	}
	follow(s.post("/queues/cpu", sent), "/queues#queue-cpu")
	if q, _ := queue("cpu"); q.PerCore != 1 || !q.Pinned || q.MaxProcesses != nil {
		t.Errorf("%+v", q)
	}
}

// checkMistake checks the message at a field, the focus, and that the form keeps the
// typed text.
func checkMistake(t *testing.T, doc *goquery.Document, field, want, focus string, pairs []string) {
	t.Helper()
	if got := text(doc, "#error-"+field); !strings.Contains(got, want) {
		t.Errorf("%v: %q at %s, want %q", pairs, got, field, want)
	}
	if got := doc.Find("[autofocus]").AttrOr("id", ""); got != focus {
		t.Errorf("%v: the focus is at %q", pairs, got)
	}
	if len(pairs) > 0 && doc.Find("#"+focus).AttrOr("value", "") != pairs[1] && focus != "max_processes-of-io" && focus != "new-queue-per_core" {
		t.Errorf("%v: what was typed is gone", pairs)
	}
	if _, keeps := doc.Find("#" + field).Closest("form").Attr("data-keep"); !keeps {
		t.Errorf("%v: the stream would wipe the message away", pairs)
	}
}

// checkAddAndDelete adds a queue by its form and deletes it.
func checkAddAndDelete(t *testing.T, s *server, post func(string, ...string) *answer, queue func(string) (jobs.Queue, int), follow func(*answer, string) *goquery.Document) {
	t.Helper()
	// Add and delete.
	if doc := follow(post("/queues", views.FieldName, "gpu", views.FieldPerCore, ".25", views.FieldPinned, "on"), "/queues#queue-gpu"); doc.Find("#queue-gpu").Length() != 1 {
		t.Error("the new queue is not on the page")
	}
	j := s.submit(`{"program":{"command":{"argv":["true"]}},"inputs":{"items":[1]},"queue":"gpu"}`)
	doc := document(t, post("/queues/gpu/delete"), 409)
	if got := text(doc, "[role=alert]"); !strings.Contains(got, "gpu was not deleted") || doc.Find(`[role=alert] a[href="/?q=queue%3Agpu"]`).Length() != 1 {
		t.Error(got)
	}
	if _, status := queue("gpu"); status != 200 {
		t.Errorf("the queue with work is gone: %d", status)
	}
	s.call("POST", "/api/v1/jobs/"+j.ID+"/cancel", "")
	if doc := follow(post("/queues/gpu/delete"), "/queues"); doc.Find("#queue-gpu").Length() != 0 {
		t.Error("the deleted queue is on the page")
	}
	for _, path := range []string{"/queues/none", "/queues/none/pause", "/queues/none/delete"} {
		document(t, post(path, views.FieldPerCore, "1"), 404)
	}
}

func TestOnlyAdminsSteerQueuesAndNodes(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	user := s.user("ann", jobs.Submitter)
	for _, path := range []string{"/queues", "/nodes"} {
		doc := document(t, s.get(path, "Authorization", "Bearer "+user), 200)
		if n := doc.Find("main form, main button:not([data-timeline])").Length(); n != 0 {
			t.Errorf("%s has %d forms and buttons for who may not use them", path, n)
		}
	}
	if got := text(document(t, s.get("/queues", "Authorization", "Bearer "+user), 200), "#limits-of-cpu"); !strings.Contains(got, "1 per core, each pinned to its own") {
		t.Errorf("%q", got)
	}
	for _, path := range []string{"/queues", "/queues/cpu", "/queues/cpu/pause", "/queues/cpu/resume", "/queues/cpu/delete", "/nodes/" + s.node + "/drain", "/nodes/" + s.node + "/resume"} {
		document(t, s.call("POST", path, "", "Authorization", "Bearer "+user), 403)
		page := "/queues"
		if strings.HasPrefix(path, "/nodes") {
			page = "/nodes"
		}
		if a := s.call("POST", path, "", "Authorization", ""); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/login?next="+url.QueryEscape(page) {
			t.Errorf("%s without signing in leads to %d %q", path, a.StatusCode, a.Header.Get("Location"))
		}
	}
}

// fake registers a node that lives for as long as a lease.
func (s *server) fake(host string, status store.NodeStatus) string {
	s.t.Helper()
	id := store.NewID()
	err := s.store.Register(s.t.Context(), store.NewNode{ID: id, Host: host, Version: "test", Role: engine.RoleWorker, Cores: len(status.Cores)})
	if err == nil {
		_, err = s.store.Beat(s.t.Context(), id, status)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

func TestNodeForms(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.fake("worker-1", store.NodeStatus{Cores: []jobs.Core{{Core: 0, BusyPercent: 50}}, Pins: true})
	press := func(verb, want string) {
		t.Helper()
		if a := s.call("POST", "/nodes/"+id+"/"+verb, ""); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/nodes#node-"+id {
			t.Fatalf("%s: %d %s", verb, a.StatusCode, cut(a.text))
		}
		if got := text(s.page("/nodes", 200), "#node-"+id+"-now"); !strings.Contains(got, want) {
			t.Errorf("after %s: %s", verb, got)
		}
	}
	press("drain", "draining")
	press("drain", "No turn is running")
	press("resume", "alive")
	document(t, s.call("POST", "/nodes/nothing/drain", ""), 404)
	if _, err := s.store.Pool.Exec(t.Context(), `update nodes set state = 'dead', lost_chunks = 2, lost_tasks = 500 where id = $1`, id); err != nil {
		t.Fatal(err)
	}
	if got := text(document(t, s.call("POST", "/nodes/"+id+"/drain", ""), 409), "main"); !strings.Contains(got, "no longer alive") {
		t.Error(got)
	}
	doc := s.page("/nodes", 200)
	if got := text(doc, "#node-"+id); !strings.Contains(got, "2 chunks with 500 tasks were returned for other nodes to run") || doc.Find("#node-"+id+" form").Length() != 0 {
		t.Error(got)
	}
}

// TestRunningTurnsOfOthers reads a node of 128 cores that runs jobs of two users.
func TestRunningTurnsOfOthers(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	ann, bob := s.user("ann", jobs.Submitter), s.user("bob", jobs.Submitter)
	body := func(name string) string {
		return `{"name":"` + name + `","program":{"command":{"argv":["true"]}},"inputs":{"items":[1]}}`
	}
	anns := s.submit(body("secret of ann"), "Authorization", "Bearer "+ann).ID
	bobs := s.submit(body("secret of bob"), "Authorization", "Bearer "+bob).ID
	status := store.NodeStatus{Pins: true, Slots: map[string]jobs.SlotUse{"cpu": {Used: 128, Total: 128}}}
	for i := range 128 {
		status.Cores = append(status.Cores, jobs.Core{Core: i, BusyPercent: 90, User: 80, System: 10, Turns: []jobs.CoreTurn{{Job: []string{anns, bobs}[i%2], Lane: i, First: int64(1000 * i), Count: 20}}})
	}
	status.Unpinned = []jobs.CoreTurn{{Job: bobs, Lane: 500, First: 7, Count: 1}}
	id := s.fake("big", status)
	for _, c := range []struct {
		token        string
		anns, others int // rows
	}{{ann, 64, 64}, {bob, 0, 64}, {adminToken, 64, 0}} {
		doc := document(t, s.get("/nodes", "Authorization", "Bearer "+c.token), 200)
		rows := doc.Find("#node-" + id + " .cores > li")
		if rows.Length() != 128 {
			t.Fatalf("%d rows", rows.Length())
		}
		count := func(what string) int { return strings.Count(rows.Text(), what) }
		if count("secret of ann") != c.anns || count("another user’s job") != c.others {
			t.Errorf("%d rows of ann's and %d of others, want %+v", count("secret of ann"), count("another user’s job"), c)
		}
		if links := rows.Find(`a[href="/jobs/` + anns + `"]`).Length(); links != c.anns {
			t.Errorf("%d links to ann's job", links)
		}
		if a, b := rows.First().Find("[data-ink]").AttrOr("data-ink", ""), rows.Last().Find("[data-ink]").AttrOr("data-ink", ""); a == "" || b == "" || a == b {
			t.Errorf("the jobs' colours are %q and %q", a, b)
		}
		if got := text(doc, "#in-hand"); !strings.Contains(got, "64 turns") || !strings.Contains(got, "65 turns") {
			t.Error(got)
		}
	}
	if got := text(document(t, s.get("/jobs/"+anns, "Authorization", "Bearer "+ann), 200), "#job-places"); !strings.Contains(got, "big") || !strings.Contains(got, "64 turns") {
		t.Errorf("where it runs: %s", got)
	}
	queues := text(s.page("/queues", 200), "#now-of-cpu")
	if !strings.Contains(queues, "128 of 128") || !strings.Contains(queues, "big128 / 128") {
		t.Error(queues)
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	viewer := s.user("vic", jobs.Viewer)
	id := s.fake("worker-1", store.NodeStatus{Cores: []jobs.Core{{Core: 4}, {Core: 5}}, Memory: jobs.Memory{Total: 1 << 30}})
	var runs insight.TimeClasses
	for range 100 {
		runs.AddDuration(20 * time.Millisecond)
	}
	sample := insight.NodeSample{Node: id, User: 40, System: 10, Cores: []int16{4, 5}, Busy: []int16{80, 20}, Load: 2, Memory: 1 << 29}
	done := []insight.QueueSample{{Queue: "io", Succeeded: 90, Failed: 10, Runs: runs.Since(new(insight.TimeClasses))}}
	if err := s.store.AddSamples(t.Context(), sample, done); err != nil {
		t.Fatal(err)
	}
	var queue insight.QueueHistory
	s.get("/api/v1/queues/io/history", "Authorization", "Bearer "+viewer).into(t, &queue)
	if len(queue.Points) != 120 || queue.Succeeded != 90 || queue.Failed != 10 || queue.Wait != nil || queue.Run == nil || queue.Run.P50 < 17 || queue.Run.P99 > 24 {
		t.Errorf("%d points of %d, %d, %+v", len(queue.Points), queue.Succeeded, queue.Failed, queue.Run)
	}
	var node insight.NodeHistory
	s.get("/api/v1/nodes/"+id+"/history", "Authorization", "Bearer "+viewer).into(t, &node)
	if len(node.Points) != 1 || node.Points[0].User != 40 || node.Points[0].Busy[0] != 80 || node.Cores[1] != 5 || node.Points[0].Memory != 1<<29 {
		t.Errorf("%+v", node)
	}
	for _, path := range []string{"/api/v1/queues/none/history", "/api/v1/nodes/none/history", "/api/v1/nodes/" + store.NewID() + "/history"} {
		if a := s.get(path); a.StatusCode != 404 {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
	doc := s.page("/queues", 200)
	if n := doc.Find("#hour-of-io .chart svg[role=img]").Length(); n != 3 {
		t.Errorf("%d charts of io", n)
	}
	if got := text(doc, "#table-of-io tbody tr:first-child"); !strings.Contains(got, "100") || !strings.Contains(got, " ms") {
		t.Errorf("the table says %s", got)
	}
	if n := s.page("/nodes", 200).Find("#node-" + id + "-hour .chart").Length(); n != 3 {
		t.Errorf("%d charts of the node", n)
	}
}

// TestManyWatchersReadOnce counts the database's statements while 50 clients watch,
// beside those of the engine.
func TestManyWatchersReadOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	const window = 3 * time.Second // longer than any table of the pages is kept
	asked := func() float64 {
		before := s.store.Pool.Stat().AcquireCount()
		time.Sleep(window) // what is measured is a rate
		return float64(s.store.Pool.Stat().AcquireCount()-before) / window.Seconds()
	}
	s.site.SetRecheck(time.Hour) // it is not what is counted
	quiet := asked()
	var streams []*http.Response
	for i := range 50 {
		path := []string{"/queues/live", "/nodes/live"}[i%2]
		res := s.send("GET", path, "", "Accept", "text/event-stream")
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatal(res.Status)
		}
		go func() {
			buffer := make([]byte, 64<<10)
			for {
				if _, err := res.Body.Read(buffer); err != nil {
					return
				}
			}
		}()
		streams = append(streams, res)
	}
	// The browsers that show the nodes also read the timeline.
	over, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	for range 25 {
		asking.Go(func() {
			for over.Err() == nil {
				if a := s.get("/api/v1/stream?width=900"); a.StatusCode != http.StatusOK {
					t.Error(a.Status)
				}
			}
		})
	}
	watched := asked()
	stop()
	asking.Wait()
	if watched > quiet+30 { // each for itself would ask hundreds of times
		t.Errorf("%.1f questions a second with 50 who watch, %.1f without", watched, quiet)
	}
	for _, res := range streams {
		res.Body.Close()
	}
	await(t, "the reader's end", func() bool { return !s.site.Watched() })
}
