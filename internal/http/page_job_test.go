package http_test

import (
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/views"
)

// page gets a page with that status.
func (s *server) page(path string, status int) *goquery.Document {
	s.t.Helper()
	return document(s.t, s.get(path), status)
}

func document(t testing.TB, a *answer, status int) *goquery.Document {
	t.Helper()
	if a.StatusCode != status || a.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%s: %d %v: %s", a.Request.URL, a.StatusCode, a.Header, cut(a.text))
	}
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(a.text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// text is the text of what a selector finds, with single spaces.
func text(doc *goquery.Document, selector string) string {
	return strings.Join(strings.Fields(doc.Find(selector).Text()), " ")
}

// fields are what a browser would send of a form.
func fields(form *goquery.Selection) url.Values {
	v := url.Values{}
	form.Find("input, select, textarea").Each(func(_ int, f *goquery.Selection) {
		name, kind := f.AttrOr("name", ""), f.AttrOr("type", "")
		_, checked := f.Attr("checked")
		switch {
		case name == "" || (kind == "radio" || kind == "checkbox") && !checked || kind == "file" || kind == "submit":
		case goquery.NodeName(f) == "textarea":
			v.Set(name, strings.TrimPrefix(f.Text(), "\n"))
		case goquery.NodeName(f) == "select":
			v.Set(name, f.Find("option[selected]").AttrOr("value", f.Find("option").AttrOr("value", "")))
		default:
			v.Set(name, f.AttrOr("value", "on"))
		}
	})
	return v
}

// post sends a plain form.
func (s *server) post(path string, v url.Values) *answer {
	s.t.Helper()
	return s.call("POST", path, v.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

// upload sends the form of a new job with a file.
func (s *server) upload(v url.Values, name, content string) *answer {
	s.t.Helper()
	var b strings.Builder
	w, kind := multipartOf(s.t, &b, v, name, content)
	w.Close()
	return s.call("POST", "/jobs/new", b.String(), "Content-Type", kind)
}

// multipartOf writes the fields of a form and then its file.
func multipartOf(t testing.TB, to io.Writer, v url.Values, name, content string) (w *multipart.Writer, kind string) {
	t.Helper()
	w = multipart.NewWriter(to)
	for _, key := range slices.Sorted(maps.Keys(v)) {
		if err := w.WriteField(key, v.Get(key)); err != nil {
			t.Fatal(err)
		}
	}
	part, err := w.CreateFormFile(views.FieldFile, name)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(part, content)
	return w, w.FormDataContentType()
}

// posted is the job that the answer to a form leads to.
func (s *server) posted(a *answer) job {
	s.t.Helper()
	id, ok := strings.CutPrefix(a.Header.Get("Location"), "/jobs/")
	if a.StatusCode != http.StatusSeeOther || !ok {
		s.t.Fatalf("status %d to %q: %s", a.StatusCode, a.Header.Get("Location"), cut(a.text))
	}
	return s.ended(id)
}

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
	// What tasks print must not break the stream.
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

func TestNewJobForm(t *testing.T) {
	t.Parallel()
	s := serve(t)
	blank := fields(s.page("/jobs/new", 200).Find("#newjob"))
	with := func(pairs ...string) url.Values {
		v := url.Values{}
		for key := range blank {
			v.Set(key, blank.Get(key))
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return v
	}
	if j := s.posted(s.post("/jobs/new", blank)); j.State != jobs.Succeeded || j.Counts.Total != 1000 {
		t.Errorf("the form as it is: %+v", j)
	}
	// Everything that is wrong stands at its field, and what was typed stays.
	a := s.post("/jobs/new", with(views.FieldSource, "def work(x:\n  pass", views.FieldFunction, "work", views.FieldTimeout, "soon",
		views.FieldPriority, "9", views.FieldQueue, "nowhere", views.FieldMaxFailures, "+5x", views.FieldRangeStop, "many", views.FieldName, "kept"))
	doc := document(t, a, 422)
	var wrong []string
	doc.Find("[aria-invalid]").Each(func(_ int, f *goquery.Selection) { wrong = append(wrong, f.AttrOr("name", "?")) })
	for _, want := range []string{views.FieldSource, views.FieldTimeout, views.FieldPriority, views.FieldQueue, views.FieldMaxFailures, views.FieldRangeStop} {
		if !strings.Contains(strings.Join(wrong, " "), want) {
			t.Errorf("%s is not marked, but %v", want, wrong)
		}
	}
	if doc.Find("#name").AttrOr("value", "") != "kept" || !strings.Contains(doc.Find("#source").Text(), "def work(x:") {
		t.Error("what was typed is gone")
	}
	for _, odd := range []string{"+5", "007", "1e3", "NaN%", "0x5", "5 %", "\u0665"} {
		if a := s.post("/jobs/new", with(views.FieldMaxFailures, odd)); a.StatusCode != 422 && a.StatusCode != 303 {
			t.Errorf("max_failures %q: status %d", odd, a.StatusCode)
		}
	}
	outputs := func(id string) string {
		return strings.TrimSpace(s.get("/api/v1/jobs/" + id + "/results?format=outputs").text)
	}
	// Files.
	echo := with(views.FieldSource, "def work(x):\n    return x\n", views.FieldInputs, views.InputsFile)
	for _, c := range []struct {
		format, column, header, content, want string
	}{
		{views.FormatLines, "", "", "a\r\nb\n\nc", `["a","b","","c"]`},
		{views.FormatNDJSON, "", "", "\ufeff{\"a\": 1}\n\n[2]\r\n\"x\"", `[{"a":1},[2],"x"]`},
		{views.FormatCSV, "name", "on", "id,name\n1,\"x, y\"\n2,z\n", `["x, y","z"]`},
		{views.FormatCSV, "2", "on", "id,name\n1,a\n2\n", `["a",""]`},
		{views.FormatCSV, "1", "", "1,a\n2,b\n", `["1","2"]`},
		{views.FormatCSV, "1", "", "\"two\nlines\",a\n2,b\n", `["two\nlines","2"]`},
	} {
		v := url.Values{}
		for key := range echo {
			v.Set(key, echo.Get(key))
		}
		v.Set(views.FieldFileFormat, c.format)
		v.Set(views.FieldCSVColumn, c.column)
		v.Set(views.FieldCSVHeader, c.header)
		j := s.posted(s.upload(v, "inputs.txt", c.content))
		if got := outputs(j.ID); strings.ReplaceAll(got, ": ", ":") != c.want && strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(c.want, " ", "") {
			t.Errorf("%s %q: %s, want %s", c.format, c.content, got, c.want)
		}
	}
	for _, c := range []struct{ format, column, header, content, want string }{
		{views.FormatNDJSON, "", "", "1\n{x}\n3", "line 2 is not JSON"},
		{views.FormatNDJSON, "", "", strings.Repeat("[", 600) + strings.Repeat("]", 600), "nested"},
		{views.FormatCSV, "nome", "on", "id,name\n", `has no column "nome"; its columns are id, name`},
		{views.FormatCSV, "name", "", "1,2\n", "must be a number"},
		{views.FormatCSV, "1", "", "a,\"b\n", "is not CSV"},
		{views.FormatLines, "", "", "a\xff", "must be UTF-8"},
		{views.FormatLines, "", "", "a\n" + strings.Repeat("x", 16<<20+1), "line 2 is longer than"},
		{views.FormatLines, "", "", "a\nb\x00", "line 2 must not contain NUL"},
		{views.FormatCSV, "2", "", "1,\"a\nb\"\n2,c\n3,\xff\n", "line 4 must be UTF-8"},
		{views.FormatCSV, "1", "", "a\nb\n\"" + strings.Repeat("x,\n", 6<<20), "after line 2 comes a record that is longer"},
	} {
		v := with(views.FieldInputs, views.InputsFile, views.FieldFileFormat, c.format, views.FieldCSVColumn, c.column, views.FieldCSVHeader, c.header)
		doc := document(t, s.upload(v, "bad.txt", c.content), 422)
		if got := text(doc, "#file-error"); !strings.Contains(got, c.want) {
			t.Errorf("%s %q: %q, want %q; all: %s", c.format, cut(c.content)[:min(20, len(c.content))], got, c.want, text(doc, "#errors"))
		}
	}
	if doc := document(t, s.post("/jobs/new", with(views.FieldInputs, views.InputsFile)), 422); !strings.Contains(text(doc, "#file-error"), "choose a file") {
		t.Error(text(doc, "#errors"))
	}
	// Trying leaves nothing behind.
	count := func() (n int) {
		if err := s.store.Pool.QueryRow(t.Context(), `select count(*) from jobs`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	doc = document(t, s.post("/jobs/new", with(views.FieldTry, "1", views.FieldSource, "def work(x):\n    print('tried')\n    return {'got': x}\n", views.FieldRangeStart, "41")), 200)
	if got := text(doc, "#try"); !strings.Contains(got, `{"got": 41}`) && !strings.Contains(got, `{"got":41}`) || !strings.Contains(got, "tried") {
		t.Error(got)
	}
	doc = document(t, s.post("/jobs/new", with(views.FieldTry, "1", views.FieldSource, "def work(x):\n    return 1 / x\n")), 200)
	if got := text(doc, "#try"); !strings.Contains(got, "ZeroDivisionError") {
		t.Error(got)
	}
	doc = document(t, s.post("/jobs/new", with(views.FieldTry, "1", views.FieldRangeStop, "0")), 422)
	if got := text(doc, "#errors"); !strings.Contains(got, "nothing to run") {
		t.Error(got)
	}
	doc = document(t, s.post("/jobs/new", with(views.FieldTry, "1", views.FieldSource, "def work(x:")), 422)
	if got := text(doc, "#source-error"); got == "" {
		t.Error(text(doc, "#errors"))
	}
	if got := count(); got != before {
		t.Errorf("%d jobs more after trying", got-before)
	}
}

func TestRunAgain(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, inputs := range []string{`{"items":[1,{"a":[2]},"x\ny"]}`, `{"lines":"a\nb\n"}`, `{"range":{"start":5,"stop":1,"step":-2}}`} {
		first := s.submit(program("def f(x): return x\n", inputs, `,"tags":["t"],"priority":3,"policy":{"max_failures":"5%","timeout":"1m"}`), "Prefer", "wait=20")
		again := s.posted(s.post("/jobs/new", fields(s.page("/jobs/new?from="+first.ID, 200).Find("#newjob"))))
		var outputs []string
		for _, id := range []string{first.ID, again.ID} {
			outputs = append(outputs, s.get("/api/v1/jobs/"+id+"/results?format=outputs").text)
		}
		if outputs[0] != outputs[1] || again.Priority != 3 || *again.Policy.MaxFailures != "5%" || *again.Policy.Timeout != "1m" || len(again.Tags) != 1 {
			t.Errorf("%s: %q %+v", inputs, outputs, again)
		}
	}
	// Many inputs are taken over without passing through the form.
	var b strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&b, "line %d\\n", i)
	}
	first := s.submit(program("def f(x): return len(x)\n", `{"lines":"`+b.String()+`"}`), "Prefer", "wait=20")
	v := fields(s.page("/jobs/new?from="+first.ID, 200).Find("#newjob"))
	if v.Get(views.FieldInputs) != views.InputsSame || v.Get(views.FieldFrom) != first.ID {
		t.Fatalf("%v", v)
	}
	if again := s.posted(s.post("/jobs/new", v)); again.Counts.Succeeded != 20_000 || again.Inputs.Kind != "lines" {
		t.Errorf("%+v", again)
	}
	// So they are tried, and looked at where the call changes what they must be.
	v.Set(views.FieldTry, "1")
	if doc := document(t, s.post("/jobs/new", v), 200); !strings.Contains(text(doc, "#try"), "line 0") {
		t.Error(text(doc, "#try"))
	}
	v.Del(views.FieldTry)
	v.Set(views.FieldCall, jobs.CallArgs)
	if doc := document(t, s.post("/jobs/new", v), 422); !strings.Contains(text(doc, "#call-error"), "must be an array") {
		t.Error(text(doc, "#errors"))
	}
	open := s.submit(program("def f(*x): return x\n", `{"open":true}`))
	path := "/api/v1/jobs/" + open.ID + "/tasks"
	s.call("POST", path, strings.Repeat("[1, 2]\n", 20_000)+"3\n", "Content-Type", ndjsonType)
	args := fields(s.page("/jobs/new?from="+open.ID, 200).Find("#newjob"))
	args.Set(views.FieldCall, jobs.CallArgs)
	if doc := document(t, s.post("/jobs/new", args), 422); !strings.Contains(text(doc, "#inputs-error"), "no. 20001 must be an array") {
		t.Error(text(doc, "#errors"))
	}
	args.Set(views.FieldCall, jobs.CallValue)
	if again := s.posted(s.post("/jobs/new", args)); again.Counts.Succeeded != 20_001 || again.Inputs.Kind != "items" {
		t.Errorf("%+v", again)
	}
	v.Set(views.FieldCall, jobs.CallValue)
	v.Set(views.FieldFrom, "nothing")
	if doc := document(t, s.post("/jobs/new", v), 422); !strings.Contains(text(doc, "#errors"), "not there any more") {
		t.Error(text(doc, "#errors"))
	}
}
