package http_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/allcores/allcores/internal/jobs"
)

func TestFirstJobByOneClick(t *testing.T) {
	t.Parallel()
	s := serve(t)
	doc := s.page("/", 200)
	form := doc.Find(`main form[action="/jobs/new"]`)
	if form.Length() != 1 || !strings.Contains(text(doc, "main"), "No jobs yet") || !strings.Contains(doc.Find("main").Text(), s.url) {
		t.Fatal(text(doc, "main"))
	}
	j := s.posted(s.post("/jobs/new", fields(form)))
	if j.State != jobs.Succeeded || j.Counts.Total != 200 {
		t.Errorf("%+v", j)
	}
	doc = s.page("/", 200)
	if got := doc.Find("#jobs tbody tr").Length(); got != 1 || !strings.Contains(text(doc, "#jobs tbody tr"), "succeeded") {
		t.Errorf("%d rows: %s", got, text(doc, "#jobs"))
	}
	doc = s.page("/?q=state:failed+nothing", 200)
	if got := text(doc, "#jobs"); !strings.Contains(got, "No jobs match") {
		t.Error(got)
	}
	for _, odd := range []string{"/?q=%ff%00", "/?cursor=x", "/?q=" + strings.Repeat("x", 3000)} {
		s.page(odd, 200)
	}
	for _, path := range []string{"/queues", "/nodes", "/docs", "/jobs/new", "/jobs/new?example=files", "/jobs/new?from=" + j.ID} {
		s.page(path, 200)
	}
	s.page("/jobs/new?example=nothing", 404)
	s.page("/jobs/new?from=nothing", 404)
	s.page("/jobs/nothing", 404)
}

func TestJobPages(t *testing.T) {
	t.Parallel()
	s := serve(t)
	j := s.ended(s.submit(program("def f(x):\n    print('line of', x)\n    if x % 50 == 7: raise ValueError('unlucky <b>')\n    return [x, '&']\n", `{"range":{"stop":1000}}`)).ID)
	doc := s.page("/jobs/"+j.ID, 200)
	if got := text(doc, "#job-title"); !strings.Contains(got, "failed (20 of 1,000)") {
		t.Error(got)
	}
	if got := text(doc, "#job-failures"); !strings.Contains(got, "20") || !strings.Contains(got, "unlucky <b>") {
		t.Error(got)
	}
	if got := doc.Find("#job-results tbody tr").Length(); got != 100 {
		t.Errorf("%d results", got)
	}
	if got := text(doc, "#job-logs"); !strings.Contains(got, "line of") {
		t.Error(got)
	}
	if got := text(doc, ".facts"); !strings.Contains(got, j.ID) || !strings.Contains(got, "cpu") || !strings.Contains(got, "admin") || !strings.Contains(got, "Priority2") {
		t.Errorf("the header says %q", got)
	}
	if title := doc.Find(".facts time").AttrOr("title", ""); !strings.Contains(title, j.CreatedAt.UTC().Format("15:04:05")) {
		t.Errorf("submitted %q, want %v", title, j.CreatedAt)
	}
	cells, _ := doc.Find("#strip").Attr("data-cells")
	failed, _ := doc.Find("#strip").Attr("data-mixed")
	if len(cells) != 334 || strings.Count(cells, "f") != 20 || !strings.HasPrefix(failed, "2:2/1/0/0@7,19:2/1/0/0@57,") {
		t.Errorf("%d cells %s %s", len(cells), cells, failed)
	}
	if _, live := doc.Find("body").Attr("data-live"); live {
		t.Error("the page of an ended job is live")
	}
	doc = s.page("/jobs/"+j.ID+"/tasks/7", 200)
	if got := text(doc, "#task"); !strings.Contains(got, "ValueError") || !strings.Contains(got, "line of 7") {
		t.Error(got)
	}
	if next := doc.Find(`#task a.danger`).AttrOr("href", ""); next != "/jobs/"+j.ID+"/tasks/57" {
		t.Error(next)
	}
	if next := s.page("/jobs/"+j.ID+"/tasks/957", 200).Find(`#task a.danger`); next.Length() != 0 {
		t.Error("there is a failed task after the last one")
	}
	for typed, status := range map[string]int{"7": 303, "1%2C0": 303, "1000": 422, "-1": 422, "x": 422, "": 422} {
		if a := s.get("/jobs/" + j.ID + "/tasks?index=" + typed); a.StatusCode != status {
			t.Errorf("index %q: %d", typed, a.StatusCode)
		} else if status == 422 {
			doc := document(t, a, 422)
			if got := text(doc, "#goto-error"); !strings.HasPrefix(got, "There is no task ") || !strings.HasSuffix(got, ": indexes go from 0 to 999.") || doc.Find("#goto[aria-invalid]").Length() != 1 {
				t.Errorf("index %q: %q", typed, got)
			}
		}
	}
	s.page("/jobs/"+j.ID+"/tasks/1000", 404)
	a := s.call("POST", "/jobs/"+j.ID+"/cancel", "")
	if got := text(document(t, a, 409), "main"); !strings.Contains(got, "already ended") {
		t.Error(got)
	}
}

func TestEarlierAttemptsOfATask(t *testing.T) {
	t.Parallel()
	s := serve(t)
	source := fmt.Sprintf("import os\ndef f(x):\n    with open(%q, 'a') as file:\n        file.write('x')\n    if os.path.getsize(%[1]q) < 3: raise ConnectionError('not yet <b>')\n    return x\n", filepath.Join(t.TempDir(), "runs"))
	j := s.ended(s.submit(program(source, `{"items":[5]}`, `,"policy":{"max_attempts":4,"retry_backoff":"10ms"}`)).ID)
	doc := s.page("/jobs/"+j.ID+"/tasks/0", 200)
	if got := doc.Find("#task .failures tbody tr").Length(); got != 2 || !strings.Contains(text(doc, ".figures"), "Attempts3 of 4") {
		t.Fatalf("%d earlier attempts: %s", got, text(doc, "#task"))
	}
	row := doc.Find("#task .failures tbody tr").Last()
	if got := row.Find("summary").Text(); got != "not yet <b>" || row.Find("details[open]").Length() != 0 || !strings.Contains(row.Find("pre").Text(), "line 5, in f") {
		t.Errorf("%q %q", got, row.Find("pre").Text())
	}
	var cells []string
	row.Find("td").Each(func(_ int, cell *goquery.Selection) {
		cells = append(cells, strings.Join(strings.Fields(cell.Text()), " "))
	})
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if len(cells) != 6 || cells[0] != "2" || cells[1] != "ConnectionError" || !strings.HasSuffix(cells[3], " ago") || cells[4] == "" || !strings.HasPrefix(cells[5], host) {
		t.Errorf("%q", cells)
	}
	if doc := s.page("/jobs/"+s.ended(s.submit(program(squares, `{"items":[5]}`)).ID).ID+"/tasks/0", 200); doc.Find("#attempts-title").Length() != 0 {
		t.Error("a task of one attempt has earlier ones")
	}
}

func TestLivePages(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.manual(10)
	list, one1, task := s.events("/live"), s.events("/jobs/"+id+"/live"), s.events("/jobs/"+id+"/tasks/9/live")
	queues, nodes := s.events("/queues/live"), s.events("/nodes/live")
	patch := func(stream <-chan event) *goquery.Document {
		t.Helper()
		e, ok := one(t, stream)
		if !ok || e.name != "patch" {
			t.Fatalf("%v %+v", ok, e)
		}
		doc, err := goquery.NewDocumentFromReader(strings.NewReader(e.data))
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	for _, c := range []struct {
		stream   <-chan event
		selector string
	}{
		{list, "#jobs #job-" + id}, {list, ""}, {one1, "#job-progress"}, {task, "#task"}, {queues, "#queues"}, {nodes, "#nodes"},
	} {
		if c.selector != "" && patch(c.stream).Find(c.selector).Length() != 1 {
			t.Errorf("no %s", c.selector)
		}
	}
	first, rest := s.lease(id, 4), s.lease(id, 6)
	s.record(id, first)
	for n := ""; n != "4"; {
		n = patch(one1).Find("#progress").AttrOr("value", "")
	}
	for {
		if doc := patch(list); strings.Contains(doc.Find("#job-"+id).Text(), "running") {
			break
		}
	}
	// Printed lines must not break the stream.
	if err := s.store.AppendLogs(t.Context(), id, rest.ID, []jobs.LogLine{{Task: 4, Stream: "stdout", Line: "50 %\r100 %\r\n  event: end"}}); err != nil {
		t.Fatal(err)
	}
	for doc := patch(one1); ; doc = patch(one1) {
		if logs := doc.Find("#job-logs").Text(); strings.Contains(logs, "100 %") {
			break
		}
	}
	s.record(id, rest, 9)
	for _, stream := range []<-chan event{one1, task} {
		var last event
		for {
			e, ok := one(t, stream)
			if !ok {
				break
			}
			if e.name == "patch" && last.name == "end" {
				t.Error("a patch after the end")
			}
			last = e
		}
		if last.name != "end" {
			t.Errorf("the last event is %+v", last)
		}
	}
	s.site.Drain()
	for _, stream := range []<-chan event{list, queues, nodes} {
		for ok := true; ok; {
			_, ok = one(t, stream)
		}
	}
}
