package http_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
)

// names returns the names of the jobs that a search lists. The API and the page
// must agree.
func (s *server) names(q string) (out []string) {
	s.t.Helper()
	var list struct{ Items []job }
	s.get("/api/v1/jobs?limit=50&q="+url.QueryEscape(q)).into(s.t, &list)
	for _, j := range list.Items {
		out = append(out, j.Name)
	}
	doc := s.page("/?q="+url.QueryEscape(q), 200)
	var shown []string
	for _, link := range doc.Find("#jobs tbody a[data-open]").EachIter() {
		shown = append(shown, link.Text())
	}
	if !slices.Equal(shown, out) {
		s.t.Errorf("%q: the page shows %q, the API answers %q", q, shown, out)
	}
	if got := doc.Find("#search").AttrOr("value", ""); got != q {
		s.t.Errorf("the box holds %q instead of %q", got, q)
	}
	return out
}

func TestSearchPageAndAPI(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	for name, tags := range map[string]string{"nightly-20241127": `"a","b"`, "deadbeef": `"a"`, `it's "100%"`: `"b","x\"y"`} {
		s.submit(program(squares, `{"items":[1]}`, fmt.Sprintf(`,"name":%q,"tags":[%s]`, name, tags)))
	}
	for q, want := range map[string]string{
		"20241127": "nightly-20241127", "DEADBEEF": "deadbeef", "tag:a tag:b": "nightly-20241127", "tag:a   -tag:b": "deadbeef",
		`"s \"100%\""`: `it's "100%"`, `tag:x"y`: `it's "100%"`, "state:failed,open": "", " tag:none ": "", "%": `it's "100%"`,
	} {
		if got := strings.Join(s.names(q), ", "); got != want {
			t.Errorf("%q lists %q, want %q", q, got, want)
		}
	}
	// Both name the bad term, and the page keeps the typed text.
	for q, want := range map[string]string{
		"stat:failed x": "there is no qualifier stat: but state:", "state:done": "state: takes open, queued, running", "tag:": "tag: needs a value",
		strings.Repeat("x", 3000): "at most 1000 characters",
	} {
		a := s.get("/api/v1/jobs?q=" + url.QueryEscape(q))
		if a.StatusCode != 422 || !slices.Equal(a.problem(t).locations(), []string{"query.q"}) || !strings.Contains(a.problem(t).Errors[0].Message, want) {
			t.Errorf("%.20q: %d %s", q, a.StatusCode, a.text)
		}
		doc := s.page("/?q="+url.QueryEscape(q), 200)
		if got := text(doc, "#search-error"); !strings.Contains(got, want) || doc.Find("#search[aria-invalid=true]").AttrOr("value", "") != q || doc.Find("#jobs tbody tr").Length() != 0 {
			t.Errorf("%.20q: the page says %q", q, got)
		}
	}
	// A repeated filter means both values.
	for query, want := range map[string]int{"tag=a&tag=b": 1, "tag=a&tag=none": 0, "q=night&q=dead": 0, "queue=cpu&queue=io": 0, "queue=cpu&tag=b": 2, "tag=A": 2} {
		var list struct{ Items []job }
		if s.get("/api/v1/jobs?"+query).into(t, &list); len(list.Items) != want {
			t.Errorf("%s lists %d jobs, want %d", query, len(list.Items), want)
		}
	}
	for _, query := range []string{"sort=size", "sort=--created", "cursor=x", "cursor=1_1_" + s.node[1:], "q=%ff", "tag=%00"} {
		if a := s.get("/api/v1/jobs?" + query); a.StatusCode != 422 {
			t.Errorf("%s: %d", query, a.StatusCode)
		}
	}
}

func TestPagesOfTheList(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	for i := range 120 {
		s.submit(program(squares, `{"items":[1]}`, fmt.Sprintf(`,"name":"job %03d","tags":["t%d"]`, i, i%2)))
	}
	for _, sort := range []string{"", "created", "-failures", "duration"} {
		address := "/?q=tag:t0,t1&sort=" + sort
		var forwards, back, shown []string
		read := func(rel string) string {
			doc := s.page(address, 200)
			shown = nil
			for _, link := range doc.Find("#jobs tbody a[data-open]").EachIter() {
				shown = append(shown, link.Text())
			}
			forwards = append(forwards, text(doc, ".pager .quiet"))
			back = append(back, doc.Find(".c-age[aria-sort]").AttrOr("aria-sort", ""))
			return doc.Find(`.pager a[rel="`+rel+`"]`).AttrOr("href", "")
		}
		var all []string
		for next := address; next != ""; {
			address = next
			next = read("next")
			all = append(all, shown...)
		}
		prev := read("prev")
		address = prev
		read("prev")
		if want := all[50:100]; !slices.Equal(shown, want) {
			t.Errorf("%s: back shows %q, want %q", sort, shown, want)
		}
		slices.Sort(all)
		if len(slices.Compact(all)) != 120 || strings.Join(forwards, "; ") != "1–50 of 120; 51–100 of 120; 101–120 of 120; 101–120 of 120; 51–100 of 120" {
			t.Errorf("%s: %d jobs, %q", sort, len(all), forwards)
		}
		if want := map[string]string{"": "ascending", "created": "descending"}[sort]; want != "" && back[0] != want || want == "" && back[0] != "none" {
			t.Errorf("%s: age is sorted %s", sort, back[0])
		}
	}
	if doc := s.page("/?before=0_0_ffffffff-ffff-7fff-8fff-ffffffffffff", 200); text(doc, ".pager .quiet") != "1–50 of 120" {
		t.Errorf("before everything: %q", text(doc, ".pager .quiet"))
	}
}

func TestSuggestions(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	s.submit(program(squares, `{"items":[1]}`, `,"tags":["Nightly","odd\"one","\"quoted"]`))
	s.submit(program(squares, `{"items":[1]}`, `,"tags":["Nightly"]`))
	eve := s.user("eve", jobs.Submitter)
	for term, want := range map[string]string{
		"": "state: tag: queue: owner: name: id: age: created: priority:", "t": "tag:", "O": "owner:", "zzz": "",
		"tag:": `tag:Nightly tag:"\"quoted" tag:odd"one`, "tag:nIG": "tag:Nightly", "tag:x,ni": "tag:x,Nightly", `tag:"ni`: "tag:Nightly", "tag:%": "",
		"state:": "state:running state:queued state:open state:paused state:failed state:succeeded state:cancelled", "state:failed,ca": "state:failed,cancelled",
		"queue:i": "queue:io", "owner:": "owner:admin owner:eve", "priority:": "priority:1 priority:2 priority:3 priority:4", "age:>": "age:>1d age:>30d", "name:x": "",
	} {
		var answer struct{ Items []jobs.Suggestion }
		s.get("/api/v1/jobs/suggestions?term="+url.QueryEscape(term)).into(t, &answer)
		var got []string
		for _, item := range answer.Items {
			got = append(got, item.Text)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", term, got, want)
		}
	}
	// Users do not see jobs of others.
	for _, term := range []string{"tag:", "owner:a"} {
		if a := s.get("/api/v1/jobs/suggestions?term="+term, "Authorization", "Bearer "+eve); a.StatusCode != 200 || a.text != "{\"items\":[]}\n" {
			t.Errorf("%s: %d %s", term, a.StatusCode, a.text)
		}
	}
}
