package views

import (
	"bytes"
	"encoding/json"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/a-h/templ"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/static"
)

func render(t *testing.T, c templ.Component) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func parse(t *testing.T, html string) *goquery.Document {
	t.Helper()
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(html))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// routes are the addresses that pages may link to or post to.
var routes = []*regexp.Regexp{
	regexp.MustCompile(`^/(live)?$`),
	regexp.MustCompile(`^/jobs/new$`),
	regexp.MustCompile(`^/jobs/[0-9a-f-]{36}(/tasks(/\d+)?|/(cancel|pause|resume|retry|delete))?$`),
	regexp.MustCompile(`^/(queues|nodes|login|logout|docs)$`),
	regexp.MustCompile(`^/api/v1/jobs/[0-9a-f-]{36}/(results|logs|report)$`),
	regexp.MustCompile(`^/queues/[a-z][a-z0-9_-]*(/(pause|resume|delete))?$`),
	regexp.MustCompile(`^/nodes/[0-9a-f-]{36}/(drain|resume)$`),
	regexp.MustCompile(`^/jobs/[0-9a-f-]{36}/(results|logs)$`),
	regexp.MustCompile(`^/api/v1/jobs/[0-9a-f-]{36}/(errors|tasks/[0-9]+/(input|output))$`),
	regexp.MustCompile(`^/admin/river/$`),
	regexp.MustCompile(`^/api/v1/openapi\.json$`),
}

func TestEveryPage(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			html := render(t, s.page)
			doc := parse(t, html)

			ids := map[string]bool{}
			doc.Find("[id]").Each(func(_ int, e *goquery.Selection) {
				id := e.AttrOr("id", "")
				if id == "" || ids[id] {
					t.Errorf("id %q is empty or twice there", id)
				}
				ids[id] = true
			})
			for _, name := range []string{"for", "aria-labelledby", "aria-describedby", "list", "popovertarget", "data-copy"} {
				doc.Find("[" + name + "]").Each(func(_ int, e *goquery.Selection) {
					for _, id := range strings.Fields(e.AttrOr(name, "")) {
						if !ids[id] && !(id == "try-title" || id == "failures-title" || id == "strip-title") {
							t.Errorf("%s=%q names nothing", name, id)
						}
					}
				})
			}

			doc.Find("*").Each(func(_ int, e *goquery.Selection) {
				for _, a := range e.Nodes[0].Attr {
					if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
						t.Errorf("<%s> has %s, which the content security policy forbids", goquery.NodeName(e), a.Key)
					}
					if strings.HasPrefix(a.Val, "data:") || strings.HasPrefix(a.Val, "javascript:") {
						t.Errorf("%s=%q", a.Key, a.Val)
					}
				}
			})
			doc.Find("style, script:not([src])").Each(func(_ int, e *goquery.Selection) {
				t.Errorf("inline <%s>", goquery.NodeName(e))
			})

			doc.Find("input:not([type=hidden]), select, textarea, progress").Each(func(_ int, e *goquery.Selection) {
				id := e.AttrOr("id", "")
				if doc.Find(`label[for="`+id+`"]`).Length() != 1 && e.AttrOr("aria-label", "") == "" {
					t.Errorf("%s %q has no label", goquery.NodeName(e), id)
				}
			})
			doc.Find("button, a").Each(func(_ int, e *goquery.Selection) {
				if strings.TrimSpace(e.Text()) == "" && e.AttrOr("aria-label", "") == "" {
					t.Errorf("%s has no name", goquery.NodeName(e))
				}
			})
			doc.Find("button:not([type])").Each(func(_ int, e *goquery.Selection) { t.Errorf("button %q has no type", e.Text()) })
			doc.Find("table").Each(func(_ int, e *goquery.Selection) {
				if e.Find("caption").Length() != 1 {
					t.Error("a table has no caption")
				}
				if e.Find("th:not([scope])").Length() != 0 || e.Find("thead th").Length() == 0 {
					t.Error("a table's headings have no scope")
				}
			})
			if n := doc.Find("h1").Length(); n != 1 {
				t.Errorf("%d headings of first rank", n)
			}
			if n := doc.Find("[autofocus]").Length(); n > 1 {
				t.Errorf("%d elements want the focus", n)
			}
			if title := doc.Find("title").Text(); !strings.Contains(title, " · Allcores") {
				t.Errorf("title %q", title)
			}

			doc.Find("a[href], form[action], button[formaction]").Each(func(_ int, e *goquery.Selection) {
				target := e.AttrOr("href", e.AttrOr("action", e.AttrOr("formaction", "")))
				u, err := url.Parse(target)
				if err != nil || u.Host != "" {
					t.Errorf("link to %q", target)
					return
				}
				if goquery.NodeName(e) == "a" && u.Path == "" && u.Fragment != "" {
					if !ids[u.Fragment] {
						t.Errorf("link to %q, which is not on the page", target)
					}
					return
				}
				if target != "" && !slices.ContainsFunc(routes, func(r *regexp.Regexp) bool { return r.MatchString(u.Path) }) {
					t.Errorf("link to %q, which is no route", target)
				}
			})
			doc.Find("link[href], script[src]").Each(func(_ int, e *goquery.Selection) {
				if src := e.AttrOr("href", e.AttrOr("src", "")); !strings.HasPrefix(src, static.Prefix) {
					t.Errorf("loads %q", src)
				}
			})

			for _, f := range s.parts {
				part := render(t, f.Component)
				if !strings.Contains(html, part) {
					t.Errorf("fragment %s is not what the page has", f.ID)
				}
				if !strings.Contains(part[:min(len(part), 200)], `id="`+f.ID+`"`) {
					t.Errorf("fragment %s does not begin with its id: %.100s", f.ID, part)
				}
			}
			if strings.Contains(html, "<script>alert") {
				t.Error("a name is not escaped")
			}
		})
	}
}

func TestSnapshots(t *testing.T) {
	var shown *Snapshot
	snap := func(p interface{ Fragments() []Fragment }) string {
		t.Helper()
		html, now, err := patch(t.Context(), shown, p.Fragments())
		if err != nil {
			t.Fatal(err)
		}
		if shown != nil && (html == nil) != (now == shown) {
			t.Errorf("version %d after %d sends %.200s", now.Version, shown.Version, html)
		}
		shown = now
		return string(html)
	}
	p := sampleJobsPage()
	// What is left of a job that runs does not become less by itself.
	p.Jobs = slices.DeleteFunc(slices.Clone(p.Jobs), func(j jobs.Job) bool { return j.State == jobs.Running })
	first := snap(p)
	if !strings.Contains(first, `id="jobs"`) || !strings.Contains(first, `id="states"`) || strings.Count(first, `<tr id=`) != len(p.Jobs) {
		t.Errorf("the first snapshot lacks a fragment: %.200s", first)
	}
	began := shown
	if again := snap(p); again != "" {
		t.Errorf("nothing has changed, but it sends %.200s", again)
	}
	p.Now = p.Now.Add(90 * time.Minute)
	if again := snap(p); again != "" {
		t.Errorf("times go on by themselves, but it sends %.200s", again)
	}

	p.Jobs = slices.Clone(p.Jobs)
	p.Jobs[1].Counts.Succeeded++
	p.Jobs[1].Counts.Waiting--
	row := snap(p)
	if !strings.HasPrefix(row, `<table><tbody><tr id="`+rowID(p.Jobs[1].ID)+`"`) || strings.Count(row, "<tr") != 1 {
		t.Errorf("one row has changed, but it sends %.300s", row)
	}

	p.Jobs[2].Name = "a\rb\nc"
	if row := snap(p); strings.Contains(row, "\r") || !strings.Contains(row, "a&#13;b\nc") || strings.Count(row, "<tr") != 1 {
		t.Errorf("a carriage return would break the stream: %q", row)
	}
	// Who missed something is sent all that differs, but no more.
	if missed, err := shown.Since(began.Version); err != nil || strings.Count(string(missed), "<tr") != 2 || strings.Contains(string(missed), `id="states"`) {
		t.Errorf("%v, two rows have changed, but it sends %.300s", err, missed)
	}

	p.Jobs = p.Jobs[1:]
	if list := snap(p); !strings.HasPrefix(list, `<div id="jobs"`) || strings.Count(list, `<tr id=`) != len(p.Jobs) {
		t.Errorf("a row has gone, but it sends %.300s", list)
	}
	if again := snap(p); again != "" {
		t.Errorf("nothing has changed, but it sends %.200s", again)
	}
	// Whoever comes later is sent what is true then.
	p.Jobs = slices.Clone(p.Jobs)
	p.Jobs[0].Name = "the latest"
	snap(p)
	if whole, err := shown.Since(0); err != nil || !strings.Contains(string(whole), "the latest") || !strings.Contains(string(whole), `id="states"`) {
		t.Errorf("%v, %.300s", err, whole)
	}
	// The last job goes, and one comes.
	rest := p.Jobs
	p.Jobs = nil
	if list := snap(p); !strings.HasPrefix(list, `<div id="jobs"`) || strings.Contains(list, "<tr") {
		t.Errorf("there are no jobs, but it sends %.300s", list)
	}
	p.Jobs = rest[:1]
	if list := snap(p); !strings.HasPrefix(list, `<div id="jobs"`) || strings.Count(list, `<tr id=`) != 1 {
		t.Errorf("there is one job, but it sends %.300s", list)
	}
}

func TestListQuery(t *testing.T) {
	valid := func(cursor string) bool { return strings.HasPrefix(cursor, "c") }
	for address, want := range map[string]string{
		"":                                    "/",
		"q=":                                  "/",
		"q=state%3Afailed+a%26b&cursor=c1":    "/?cursor=c1&q=state%3Afailed+a%26b",
		"q=++two++%22words%22+&sort=-created": "/?q=++two++%22words%22+",
		"sort=-duration&before=c2&cursor=c1":  "/?before=c2&sort=-duration",
		"sort=odd&cursor=x&before=y":          "/",
		"q=%ff%00x":                           "/?q=x",
	} {
		values, err := url.ParseQuery(address)
		if err != nil {
			t.Fatal(err)
		}
		q := ParseListQuery(values, valid)
		if got := q.URL(); got != want {
			t.Errorf("%s leads to %s, want %s", address, got, want)
		}
	}
	q := ParseListQuery(url.Values{"q": {`-tag:"a b"  state:failed,open x`}, "cursor": {"c1"}}, valid)
	for got, want := range map[string]string{
		q.in(jobs.Running).Text:                                  `-tag:"a b" x state:running`,
		q.in("").Text:                                            `-tag:"a b" x`,
		q.by(jobs.ByFailures).URL():                              "/?q=-tag%3A%22a+b%22++state%3Afailed%2Copen+x&sort=-failures",
		q.by(jobs.ByCreated).Order.String():                      "created",
		q.by(jobs.ByDuration).by(jobs.ByDuration).Order.String(): "duration",
		searchURL(jobs.SearchFor("tag", "a,b")):                  "/?q=tag%3A%22a%2Cb%22",
		ListQuery{}.LiveURL():                                    "/live",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                       nil,
		"  ":                     nil,
		"sha256sum {}":           {"sha256sum", "{}"},
		"a  b\tc\n d":            {"a", "b", "c", "d"},
		`sh -c 'cat {} | wc -l'`: {"sh", "-c", "cat {} | wc -l"},
		`a "b c" d`:              {"a", "b c", "d"},
		`a "" ''`:                {"a", "", ""},
		`a\ b "c\"d\e" 'f\g'`:    {"a b", `c"d\e`, `f\g`},
		`pre'fix 'post`:          {"prefix post"},
		`'it'\''s'`:              {"it's"},
		`--name=$HOME *.txt ~ é`: {"--name=$HOME", "*.txt", "~", "é"},
	} {
		got, err := splitWords(text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("splitWords(%q) = %q, %v; want %q", text, got, err, want)
		}
		again, err := splitWords(joinWords(got))
		if err != nil || !slices.Equal(again, got) {
			t.Errorf("%q does not survive joinWords: %q, %v", got, again, err)
		}
	}
	for _, text := range []string{`a 'b`, `a "b`, `"\"`} {
		if got, err := splitWords(text); err == nil {
			t.Errorf("splitWords(%q) = %q, want an error", text, got)
		}
	}
}

func TestFormRoundTrip(t *testing.T) {
	for _, e := range examples {
		f := FormOf(e.spec)
		values := url.Values{}
		for _, field := range f.given() {
			values.Set(field.name, strings.ReplaceAll(field.value, "\n", "\r\n"))
		}
		f = ParseNewJobForm(values)
		got, wrong := f.Spec(nil)
		if wrong != nil {
			t.Errorf("%s: %v", e.name, wrong)
		}
		if body(got) != body(e.spec) {
			t.Errorf("%s becomes\n%s, want\n%s", e.name, body(got), body(e.spec))
		}
		if !json.Valid([]byte(body(got))) {
			t.Errorf("%s: the request is not JSON: %s", e.name, body(got))
		}
	}
	full := jobs.Spec{
		Name: "n", Queue: "io", Priority: 4, Tags: []string{"a", "b"},
		Program: jobs.Program{Python: &jobs.Python{Source: "def f(x): pass", Function: "f", Call: jobs.CallArgs, Env: map[string]string{"B": "2=3", "A": " 1"}, Interpreter: "python3.11"}},
		Inputs:  jobs.Inputs{Items: []json.RawMessage{[]byte(`[1,"],["]`), []byte(`["a\\",{"b":[]}]`)}},
		Policy: jobs.Policy{Processes: ptr(3), Threads: ptr(2), CoresPerProcess: ptr(2), ChunkSize: ptr(10), Timeout: ptr(jobs.Duration("30s")),
			MemoryLimit: ptr(jobs.Size("1GiB")), MaxAttempts: ptr(3), RetryBackoff: ptr(jobs.Duration("2s")), MaxFailures: ptr(jobs.FailureLimit("5%"))},
	}
	f := FormOf(full)
	got, wrong := f.Spec(nil)
	if wrong != nil || body(got) != body(full) {
		t.Errorf("becomes %v\n%s, want\n%s", wrong, body(got), body(full))
	}
	var back jobs.Spec
	if err := json.Unmarshal([]byte(body(full)), &back); err != nil || body(back) != body(full) {
		t.Errorf("the request says something else: %v\n%s", err, body(back))
	}
	j := jobs.Job{ID: sampleID(1), Name: "n", Program: full.Program, Policy: full.Policy, Inputs: jobs.InputsShape{Kind: "lines", Count: 5}, Counts: jobs.Counts{Total: 5}}
	again := FormOfJob(&j, nil)
	if _, wrong := again.Spec(nil); again.Inputs != InputsSame || again.From != j.ID || wrong != nil {
		t.Errorf("running again takes inputs %q of %q: %v", again.Inputs, again.From, wrong)
	}
}

func TestFormErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*NewJobForm)
		field  string
		says   string
	}{
		{"empty source", func(f *NewJobForm) { f.Source, f.Function = " ", "f" }, FieldSource, "empty"},
		{"not a name", func(f *NewJobForm) { f.Function = "a b" }, FieldFunction, "name of a function"},
		{"open quote", func(f *NewJobForm) { f.Kind, f.Command = KindCommand, "a 'b" }, FieldCommand, "not closed"},
		{"no command", func(f *NewJobForm) { f.Kind = KindCommand }, FieldCommand, "first element"},
		{"exit code", func(f *NewJobForm) { f.Kind, f.Command, f.OKExitCodes = KindCommand, "a", "0 many" }, FieldOKExitCodes, "whole number"},
		{"environment", func(f *NewJobForm) { f.PythonEnv = "A=1\nB" }, FieldPythonEnv, "NAME=value"},
		{"no items", func(f *NewJobForm) { f.Inputs = InputsItems }, FieldItems, "array"},
		{"bad items", func(f *NewJobForm) { f.Inputs, f.Items = InputsItems, "[1,\n2,,]" }, FieldItems, "line 2"},
		{"an object", func(f *NewJobForm) { f.Inputs, f.Items = InputsItems, `{"a": 1}` }, FieldItems, "begin with ["},
		{"null", func(f *NewJobForm) { f.Inputs, f.Items = InputsItems, `null` }, FieldItems, "begin with ["},
		{"no file", func(f *NewJobForm) { f.Inputs = InputsFile }, FieldFile, "choose"},
		{"no end", func(f *NewJobForm) { f.RangeStop = "" }, FieldRangeStop, "whole number"},
		{"step 0", func(f *NewJobForm) { f.RangeStep = "0" }, FieldRangeStep, "0"},
		{"half a start", func(f *NewJobForm) { f.RangeStart = "0.5" }, FieldRangeStart, "whole number"},
		{"wrong shape", func(f *NewJobForm) { f.Call, f.Inputs, f.Items = "args", InputsItems, "[[1], 2]" }, FieldItems, "no. 2 must be an array"},
		{"timeout", func(f *NewJobForm) { f.Timeout = "soon" }, FieldTimeout, "duration"},
		{"processes", func(f *NewJobForm) { f.Processes = "0" }, FieldProcesses, "from 1"},
		{"share", func(f *NewJobForm) { f.MaxFailures = "200%" }, FieldMaxFailures, "100%"},
		{"tag", func(f *NewJobForm) { f.Tags = strings.Repeat("x", 60) }, FieldTags, "no. 1 at most"},
		{"queue", func(f *NewJobForm) { f.Queue = "A b" }, FieldQueue, "lower-case"},
		{"priority", func(f *NewJobForm) { f.Priority = "9" }, FieldPriority, "from 1 to 4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := NewForm()
			tt.change(&f)
			_, wrong := f.Spec(nil)
			f.Reject(wrong)
			if got := f.mistakes(); len(got) != 1 || got[0].field != tt.field || !strings.Contains(got[0].message, tt.says) {
				t.Fatalf("mistakes are %+v; want one at %s with %q", got, tt.field, tt.says)
			}
			doc := parse(t, render(t, NewJob(NewJobPage{Page: samplePage(""), Form: f, Queues: sampleQueues()})))
			field := doc.Find("#" + tt.field)
			if field.AttrOr("aria-invalid", "") != "true" || field.Length() != 1 || doc.Find("[autofocus]").AttrOr("id", "") != tt.field {
				t.Errorf("the field is not marked: %v", field.Nodes)
			}
			described := false
			for _, id := range strings.Fields(field.AttrOr("aria-describedby", "")) {
				described = described || strings.Contains(doc.Find("#"+id).Text(), tt.says)
			}
			if !described || !strings.Contains(doc.Find(`#errors a[href="#`+tt.field+`"]`).Text(), tt.says) {
				t.Error("the message stands neither at the field nor in the summary")
			}
			if fold := field.Closest("details"); fold.Length() > 0 {
				if _, open := fold.Attr("open"); !open {
					t.Error("the field is folded away")
				}
			}
		})
	}
}

func TestFormKeepsWhatWasTyped(t *testing.T) {
	f := NewForm()
	for name, value := range f.fields() {
		switch name {
		case FieldKind, FieldInputs, FieldCall, FieldOutput, FieldFileFormat, FieldPriority, FieldQueue, FieldStdin, FieldCSVHeader, FieldFrom:
		default:
			*value = "\n <" + name + `> "typed" `
		}
	}
	f.From = sampleID(1)
	doc := parse(t, render(t, NewJob(NewJobPage{Page: samplePage(""), Form: f, Queues: sampleQueues()})))
	for name, value := range f.fields() {
		e := doc.Find(`#newjob [name="` + name + `"]`)
		got := e.AttrOr("value", "")
		switch {
		case goquery.NodeName(e) == "textarea":
			got = e.Text()
		case goquery.NodeName(e) == "select":
			got = e.Find("[selected]").AttrOr("value", "")
		case e.AttrOr("type", "") == "radio":
			got = e.Filter("[checked]").AttrOr("value", "")
		case e.AttrOr("type", "") == "checkbox":
			got = e.Filter("[checked]").AttrOr("value", "")
		}
		if got != *value {
			t.Errorf("%s holds %q, want %q", name, got, *value)
		}
	}
}

func TestBars(t *testing.T) {
	for _, c := range []jobs.Counts{
		{},
		{Total: 1, Waiting: 1},
		{Total: 1, Succeeded: 1},
		{Total: 3, Failed: 3},
		{Total: 1_000_000_000, Succeeded: 999_999_998, Failed: 1, Running: 1},
		{Total: 1_000_000, Succeeded: 1, Failed: 1, Running: 1, Cancelled: 1, Waiting: 999_996},
		{Total: 4, Succeeded: 1, Failed: 1, Running: 1, Cancelled: 1},
		{Total: 100_000, Running: 42_618, Waiting: 57_382},
	} {
		for _, big := range []bool{false, true} {
			x := 0
			for _, s := range segments(&jobs.Job{Counts: c, Executing: min(c.Running, 1)}, big) {
				n := map[string]int64{"s": c.Succeeded, "f": c.Failed, "c": c.Cancelled, "r": min(c.Running, 1), "k": max(c.Running-1, 0)}[s.class]
				if s.x != x || s.width < 0 || (s.width > 0) != (n > 0) {
					t.Errorf("%+v: segment %+v begins at %d", c, s, x)
				}
				x += s.width
			}
			if full := c.Total > 0 && c.Waiting == 0; full != (x == barWidth) || x > barWidth {
				t.Errorf("%+v fills %d of %d", c, x, barWidth)
			}
		}
	}
}

func TestStrip(t *testing.T) {
	for total, size := range map[int64]int64{0: 1, 1: 1, 400: 1, 401: 2, 1_000_000: 2500, 1_000_001: 2501} {
		if got := CellSize(total); got != size {
			t.Errorf("CellSize(%d) = %d, want %d", total, got, size)
		}
	}
	p := JobPage{Job: jobs.Job{Counts: jobs.Counts{Total: 801}}}
	p.Cells = []Cell{{}, {Succeeded: 3}, {Succeeded: 2}, {Succeeded: 1, Running: 1}, {Running: 1, Failed: 2, FirstFailed: 13}, {Cancelled: 3}, {Failed: 1}}
	for len(p.Cells) < 266 {
		p.Cells = append(p.Cells, Cell{})
	}
	p.Cells = append(p.Cells, Cell{Succeeded: 3})
	if got := cellLetters(p); got[:7] != "wsprfcf" || got[266] != 's' {
		t.Errorf("letters are %.10s…%s", got, got[260:])
	}
	if got, want := mixedCells(p), "2:2/0/0/0@6,3:1/0/1/0@9,4:0/2/1/0@13,6:0/1/0/0@18"; got != want {
		t.Errorf("mixed cells are %q, want %q", got, want)
	}
	// Each cell is filled once, from 1 to 9, and each state of it can be seen.
	p.Cells[5] = Cell{Succeeded: 2, Failed: 1, FirstFailed: 15}
	rects := regexp.MustCompile(`M(\d+) ([\d.]+)h8v([\d.]+)h-8z`)
	filled, states := make(map[int]float64), make(map[int]string)
	for _, b := range stripBlocks(p) {
		for _, path := range b.paths {
			for _, m := range rects.FindAllStringSubmatch(path.d, -1) {
				x, _ := strconv.Atoi(m[1])
				y, _ := strconv.ParseFloat(m[2], 64)
				height, _ := strconv.ParseFloat(m[3], 64)
				cell := b.first + x/10
				if filled[cell] += height; height < 0.75 || y < 1 || y+height > 9.01 {
					t.Errorf("cell %d: %s", cell, m[0])
				}
				states[cell] += path.class
				if path.class == "f" && cell == 5 && height > 5 {
					t.Errorf("a failure of three takes %g of 8", height)
				}
			}
		}
	}
	if len(filled) != len(p.Cells) || states[5] != "sf" || states[3] != "swk" || states[0] != "w" {
		t.Errorf("%d cells are drawn, want %d: %v", len(filled), len(p.Cells), states)
	}
	for cell, height := range filled {
		if math.Abs(height-8) > 0.11 {
			t.Errorf("cell %d is filled by %g of 8", cell, height)
		}
	}
	// A single failure of 2,500 shows, and is far from the whole.
	one := Cell{Succeeded: 2499, Failed: 1}.parts(2500)
	if len(one) != 2 || one[0].class != 'f' || one[0].height < 1.5 || one[0].height > 2.5 {
		t.Errorf("%+v", one)
	}
}

func TestStateShare(t *testing.T) {
	for want, j := range map[string]jobs.Job{
		"n failed (20 of 1,000,000)": {State: jobs.Failed, Counts: jobs.Counts{Total: 1_000_000, Succeeded: 999_980, Failed: 20}},
		"n cancelled (3 of 9)":       {State: jobs.Cancelled, Counts: jobs.Counts{Total: 9, Succeeded: 5, Failed: 1, Cancelled: 3}},
		"n succeeded":                {State: jobs.Succeeded, Counts: jobs.Counts{Total: 9, Succeeded: 9}},
		"n cancelled":                {State: jobs.Cancelled},
	} {
		j.Name = "n"
		if got := progressTitle(&j); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSteering(t *testing.T) {
	p := sampleRunning()
	has := func(p JobPage, selector string) bool { return parse(t, render(t, Job(p))).Find(selector).Length() > 0 }
	if !has(p, `form[method=post][action$="/cancel"]`) || !has(p, `a[href^="/jobs/new?from="]`) {
		t.Error("the owner cannot steer the job")
	}
	p.Steer = false
	p.User = &jobs.User{Name: "eve", Role: jobs.Viewer}
	if has(p, `form[action$="/cancel"]`) || has(p, `a[href^="/jobs/new"]`) {
		t.Error("a viewer is offered to steer the job")
	}
	ended := sampleFailed()
	if has(ended, `form[action$="/cancel"]`) || has(ended, `[data-live]`) {
		t.Error("an ended job can be cancelled, or is live")
	}
}
