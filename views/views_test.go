package views

import (
	"bytes"
	"net/url"
	"regexp"
	"slices"
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

// routes match the addresses that pages may link to or post to.
var routes = []*regexp.Regexp{
	regexp.MustCompile(`^/(live)?$`),
	regexp.MustCompile(`^/jobs/new$`),
	regexp.MustCompile(`^/jobs/[0-9a-f-]{36}(/tasks(/\d+(/cancel)?)?|/(cancel|cancel-waiting|pause|resume|retry|delete))?$`),
	regexp.MustCompile(`^/(queues|nodes|login|logout|docs|docs/examples|docs/python)$`),
	regexp.MustCompile(`^/static/python/`),
	regexp.MustCompile(`^/api/v1/jobs/[0-9a-f-]{36}/shared(/.+)?$`),
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
			ids := checkIDs(t, doc)
			checkContentPolicy(t, doc)
			checkNames(t, doc)
			checkLinks(t, doc, ids)
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

// checkIDs checks that ids are unique and that references to them resolve. It
// returns the ids.
func checkIDs(t *testing.T, doc *goquery.Document) map[string]bool {
	t.Helper()
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
	return ids
}

// checkContentPolicy reports what the content security policy forbids.
func checkContentPolicy(t *testing.T, doc *goquery.Document) {
	t.Helper()
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
}

// checkNames checks that controls, tables and the page have names.
func checkNames(t *testing.T, doc *goquery.Document) {
	t.Helper()
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
}

// checkLinks checks that links, forms and files resolve.
func checkLinks(t *testing.T, doc *goquery.Document, ids map[string]bool) {
	t.Helper()
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
	// A running job's remaining time changes by itself, so omit such jobs.
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
	// A subscriber that missed changes gets all that differs, and no more.
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
	// A later subscriber gets the current state.
	p.Jobs = slices.Clone(p.Jobs)
	p.Jobs[0].Name = "the latest"
	snap(p)
	if whole, err := shown.Since(0); err != nil || !strings.Contains(string(whole), "the latest") || !strings.Contains(string(whole), `id="states"`) {
		t.Errorf("%v, %.300s", err, whole)
	}
	// The last job is removed, and one is added.
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
