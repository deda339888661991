package jobs_test

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/allcores/allcores/internal/jobs"
)

func TestParseSearch(t *testing.T) {
	t.Parallel()
	text := func(raw string, values ...string) jobs.SearchTerm {
		if values == nil {
			values = []string{raw}
		}
		return jobs.SearchTerm{Raw: raw, Values: values}
	}
	key := func(raw, key string, values ...string) jobs.SearchTerm {
		return jobs.SearchTerm{Raw: raw, Key: key, Values: values, Not: raw[0] == '-'}
	}
	day := time.Date(2025, 1, 31, 0, 0, 0, 0, time.UTC)
	for q, want := range map[string]jobs.Search{
		"":                            nil,
		" \t\n ":                      nil,
		"Two words":                   {text("Two", "two"), text("words")},
		`"two  Words" x`:              {text(`"two  Words"`, "two  words"), text("x")},
		`-word`:                       {{Raw: "-word", Not: true, Values: []string{"word"}}},
		`-"a b"`:                      {{Raw: `-"a b"`, Not: true, Values: []string{"a b"}}},
		"- --flag a-b":                {text("-"), text("--flag"), text("a-b")},
		"tag:a tag:B":                 {key("tag:a", "tag", "a"), key("tag:B", "tag", "b")},
		"tag:a,b,,c":                  {key("tag:a,b,,c", "tag", "a", "b", "c")},
		`tag:"x y",z`:                 {key(`tag:"x y",z`, "tag", "x y", "z")},
		`name:"say \"a\" \\ \x"`:      {key(`name:"say \"a\" \\ \x"`, "name", `say "a" \ \x`)},
		"-tag:a -State:FAILED,open":   {key("-tag:a", "tag", "a"), key("-State:FAILED,open", "state", "failed", "open")},
		"queue:io owner:Eve name:job": {key("queue:io", "queue", "io"), key("owner:Eve", "owner", "eve"), key("name:job", "name", "job")},
		"id:0195-7A3e":                {key("id:0195-7A3e", "id", "01957a3e")},
		"priority:1,4":                {key("priority:1,4", "priority", "1", "4")},
		"http://x std::sort 12:30":    {text("http://x"), text("std::sort"), text("12:30")},
		"20241127 dead-beef a,b":      {text("20241127"), text("dead-beef"), text("a,b")},
		`"open end 5" 7"`:             {text(`"open end 5"`, "open end 5"), text(`7"`)},
		`"never closed`:               {text(`"never`), text("closed")},
		`tag:"never x`:                {key(`tag:"never`, "tag", `"never`), text("x")},
		`"state:done"`:                {text(`"state:done"`, "state:done")},
		`""`:                          {text(`""`, "")},
		"100% a_b c\\d":               {text("100%"), text("a_b"), text(`c\d`)},
		"ÄPFEL 数":                     {text("ÄPFEL", "äpfel"), text("数")},
		"age:<2d age:>=90min":         {{Raw: "age:<2d", Key: "age", Younger: 48 * time.Hour}, {Raw: "age:>=90min", Key: "age", Older: 90 * time.Minute}},
		"created:2025-01-31":          {{Raw: "created:2025-01-31", Key: "created", From: day, To: day.AddDate(0, 0, 1)}},
		"created:>2025-01-31":         {{Raw: "created:>2025-01-31", Key: "created", From: day.AddDate(0, 0, 1)}},
		"-created:<=2025-01":          {{Raw: "-created:<=2025-01", Not: true, Key: "created", To: day.AddDate(0, 0, 1)}},
		"created:>=2025":              {{Raw: "created:>=2025", Key: "created", From: day.AddDate(0, 0, -30)}},
		"created:<2025-01-31":         {{Raw: "created:<2025-01-31", Key: "created", To: day}},
	} {
		got, found := jobs.ParseSearch(q)
		if diff := cmp.Diff(want, got); diff != "" || len(found) > 0 {
			t.Errorf("%q (-want +got) %v:\n%s", q, found, diff)
		}
	}
}

// TestParseSearchNamesBadTerms checks that ParseSearch reports a bad term and keeps
// the others.
func TestParseSearchNamesBadTerms(t *testing.T) {
	t.Parallel()
	for q, want := range map[string]string{
		"stat:failed":                     "there is no qualifier stat: but state: tag: queue: owner: name: id: age: created: priority:; put the term in quotes to search for it as text",
		"-foo:bar":                        "there is no qualifier foo:",
		"nightly:":                        "there is no qualifier nightly:",
		"state:done":                      "done is no state; state: takes open, queued, running, paused, succeeded, failed, cancelled",
		"state:failed,done":               "done is no state",
		"tag:":                            "tag: needs a value",
		"tag:,,":                          "tag: needs a value",
		`owner:""`:                        "owner: needs a value",
		"id:xyz":                          "xyz does not begin an id",
		"id:-":                            "- does not begin an id",
		"priority:5":                      "priority: takes 1 to 4",
		"age:2d":                          "2d is no age; write age:<2d",
		"age:<0d":                         "<0d is no age",
		"age:<999999999w":                 "is no age",
		"age:<1d,2d":                      "takes one value",
		"created:soon":                    "soon is no date",
		"created:>2025-13":                "is no date",
		"tag:" + strings.Repeat("a,", 51): "at most 50 values",
	} {
		got, found := jobs.ParseSearch("before " + q + " after")
		if len(found) != 1 || !strings.Contains(found[0].Message, want) || found[0].Value != q || got.String() != "before after" {
			t.Errorf("%q: %q %v, want %q", q, got, found, want)
		}
	}
}

func TestParseSearchBounds(t *testing.T) {
	t.Parallel()
	for q, want := range map[string]string{
		strings.Repeat("x", 1001):  "at most 1000 characters; it has 1001",
		strings.Repeat("x ", 21):   "at most 20 terms",
		strings.Repeat("x:y ", 50): "at most 20 terms",
		"\xff":                     "must be UTF-8",
		"a\x00b":                   "must be UTF-8",
	} {
		if _, found := jobs.ParseSearch(q); len(found) == 0 || !strings.Contains(found[len(found)-1].Message, want) {
			t.Errorf("%.20q: %v", q, found)
		}
	}
}

// TestEveryTermIsKept checks that each term is kept exactly or reported, and that a
// search parsed again is the same.
func TestEveryTermIsKept(t *testing.T) {
	t.Parallel()
	piece := rapid.SampledFrom([]string{" ", "\t", `"`, `\`, ",", "-", ":", "tag:", "state:", "failed", "Name:", "x", "ÄB", "12", "<2d", "//", "age:", "\u2028", "x y"})
	rapid.Check(t, func(t *rapid.T) {
		q := strings.Join(rapid.SliceOfN(rapid.OneOf(piece, rapid.String()), 0, 12).Draw(t, "pieces"), "")
		search, found := jobs.ParseSearch(q)
		if !utf8.ValidString(q) || strings.ContainsRune(q, 0) || utf8.RuneCountInString(q) > jobs.MaxSearchRunes || len(search)+len(found) > 20 {
			return
		}
		blank := func(r rune) rune {
			if unicode.IsSpace(r) {
				return -1
			}
			return r
		}
		kept := 0
		for _, term := range search {
			kept += len(strings.Map(blank, term.Raw))
			if !strings.Contains(q, term.Raw) || len(term.Values) == 0 && term.Younger == 0 && term.Older == 0 && term.From.IsZero() && term.To.IsZero() {
				t.Fatalf("%q has the term %+v", q, term)
			}
		}
		for _, v := range found {
			kept += len(strings.Map(blank, v.Value.(string)))
		}
		if want := len(strings.Map(blank, q)); kept != want {
			t.Fatalf("%d of %d bytes of %q are kept: %+v %v", kept, want, q, search, found)
		}
		again, _ := jobs.ParseSearch(search.String())
		if diff := cmp.Diff(search, again); diff != "" {
			t.Fatalf("%q read again:\n%s", search, diff)
		}
	})
	// ParseSearch reads the terms that SearchFor writes.
	rapid.Check(t, func(t *rapid.T) {
		value := strings.Join(rapid.SliceOfN(rapid.OneOf(piece, rapid.String()), 1, 5).Draw(t, "value"), "")
		if value == "" || !utf8.ValidString(value) || strings.ContainsRune(value, 0) || len(value) > 200 {
			return
		}
		search, found := jobs.ParseSearch(jobs.SearchFor(jobs.SearchTag, value, "b"))
		if len(found) > 0 || len(search) != 1 || !cmp.Equal(search[0].Values, []string{jobs.Fold(value), "b"}) {
			t.Fatalf("%q: %+v %v", value, search, found)
		}
	})
}

func FuzzParseSearch(f *testing.F) {
	for _, q := range []string{"", `-tag:"a b",c state:failed`, `"`, "a:b", "\xff"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, q string) {
		search, found := jobs.ParseSearch(q)
		if strings.TrimSpace(q) != "" && len(search)+len(found) == 0 {
			t.Errorf("%q: nothing is left of it", q)
		}
	})
}
