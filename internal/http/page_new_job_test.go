package http_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/views"
)

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
	if j := s.posted(s.post("/jobs/new", with(views.FieldRangeStop, "30"))); j.State != jobs.Succeeded || j.Counts.Total != 30 {
		t.Errorf("the form as it is: %s, %+v", j.State, j.Counts)
	}
	// Every violation is at its field, and the typed text remains.
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
		t.Error("the typed text is gone")
	}
	for _, odd := range []string{"+5", "007", "1e3", "NaN%", "0x5", "5 %", "\u0665"} {
		if a := s.post("/jobs/new", with(views.FieldMaxFailures, odd)); a.StatusCode != 422 && a.StatusCode != 303 {
			t.Errorf("max_failures %q: status %d", odd, a.StatusCode)
		}
	}
	checkFiles(t, s, with)

	checkTrying(t, s, with)
}

// checkFiles checks how files become inputs, and the messages about invalid ones.
func checkFiles(t *testing.T, s *server, with func(...string) url.Values) {
	t.Helper()
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
}

// checkTrying checks that a try shows its outcome and makes no job.
func checkTrying(t *testing.T, s *server, with func(...string) url.Values) {
	t.Helper()
	count := func() (n int) {
		if err := s.store.Pool.QueryRow(t.Context(), `select count(*) from jobs`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	doc := document(t, s.post("/jobs/new", with(views.FieldTry, "1", views.FieldSource, "def work(x):\n    print('tried')\n    return {'got': x}\n", views.FieldRangeStart, "41")), 200)
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
	// Many inputs are copied without passing through the form.
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
	// A try uses them too, and checks them when the call changes their form.
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
