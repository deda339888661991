package http_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hostileBodies are submissions that would cost much more than their bytes if each
// violation were compared with each, echoed, or reported with its full path.
func hostileBodies() map[string]struct {
	body string
	at   string // a location that begins so is listed
	more bool
} {
	const fine = `"program":{"command":{"argv":["true"]}},"inputs":{"items":[1]}`
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			if strings.Contains(format, "%") {
				fmt.Fprintf(&b, format, i)
			} else {
				b.WriteString(format)
			}
		}
		return b.String()
	}
	nested := strings.Repeat(`{"`+strings.Repeat("k", 16<<10)+`":`, 490) + "1" + strings.Repeat("}", 490)
	return map[string]struct {
		body string
		at   string
		more bool
	}{
		"wrong tags":            {`{` + fine + `,"tags":[` + many(64_000, `"a b"`) + `]}`, "body.tags", true},
		"tags of no text":       {`{` + fine + `,"tags":[` + many(1_000_000, `1`) + `]}`, "body.tags", true},
		"a long field":          {`{` + fine + `,"` + strings.Repeat("x", 8<<20) + `":1}`, "body.xxx", false},
		"a long value":          {`{` + fine + `,"queue":"` + strings.Repeat("x", 8<<20) + `"}`, "body.queue", false},
		"a long name":           {`{` + fine + `,"name":"` + strings.Repeat("\\u0000", 1<<20) + `"}`, "body.name", false},
		"unknown fields":        {`{` + fine + `,` + many(500_000, `"f%d":[]`) + `}`, "body.f0", true},
		"nested keys":           {`{` + fine + `,"x":` + nested + `}`, "body.x", false},
		"nested in a known one": {`{"program":{"command":{"argv":["true"],"env":` + nested + `}},"inputs":{"items":[1]}}`, "body.program.command.env.kkk", false},
		"arguments":             {`{"program":{"command":{"argv":[` + many(1_000_000, `{}`) + `]}},"inputs":{"items":[1]}}`, "body.program.command.argv", true},
		"codes":                 {`{"program":{"command":{"argv":["true"],"ok_exit_codes":[` + many(300_000, `99999999999999999999`) + `]}},"inputs":{"items":[1]}}`, "body.program.command.ok_exit_codes", true},
		"variables":             {`{"program":{"command":{"argv":["true"],"env":{` + many(300_000, `"V %d":1`) + `}}},"inputs":{"items":[1]}}`, "body.program.command.env", true},
		"inputs":                {`{"program":{"command":{"argv":["true"]}},"inputs":{"items":[` + many(8_000_000, `1`) + `]}}`, "body.inputs.items", false},
		"wrong inputs":          {`{"program":{"python":{"source":"def f(x): pass","function":"f","call":"args"}},"inputs":{"items":[` + many(10_000, `1`) + `]},"priority":9}`, "body.priority", true},
	}
}

// TestHostileSubmissions checks that reporting the violations of a submission costs
// no more than its bytes, and takes few words.
func TestHostileSubmissions(t *testing.T) {
	s := serve(t, true)
	for name, c := range hostileBodies() {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		a := s.call("POST", "/api/v1/jobs", c.body)
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		t.Logf("%s: %d bytes, %v, %d MiB allocated, answer of %d", name, len(c.body), took, (after.TotalAlloc-before.TotalAlloc)>>20, len(a.text))
		p := a.problem(t)
		if a.StatusCode != 422 || len(p.Errors) == 0 || len(p.Errors) > 20 || len(a.text) > 20<<10 {
			t.Errorf("%s: %d, %d violations in %d bytes: %s", name, a.StatusCode, len(p.Errors), len(a.text), cut(a.text))
		}
		listed := false
		for _, at := range p.locations() {
			listed = listed || strings.HasPrefix(at, c.at)
			if len(at) > 250 {
				t.Errorf("%s: a location of %d bytes", name, len(at))
			}
		}
		if !listed {
			t.Errorf("%s: %s is not listed: %s", name, c.at, cut(a.text))
		}
		if c.more != (len(p.Errors) == 20 && strings.Contains(p.Detail, " more")) {
			t.Errorf("%s: %d violations are listed: %s", name, len(p.Errors), p.Detail)
		}
		if took > 10*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > uint64(20*len(c.body)+64<<20) {
			t.Errorf("%s: %d MiB were allocated for a body of %d MiB", name, allocated>>20, len(c.body)>>20)
		}
	}
	var query strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&query, "&unknown%d=%s", i, strings.Repeat("x", 20))
	}
	if p := s.get("/api/v1/jobs?limit=0" + query.String()).problem(t); len(p.Errors) != 20 || !strings.Contains(p.Detail, "1001 violations: 20 are listed, and 981 more") {
		t.Errorf("%d violations of a query: %s", len(p.Errors), p.Detail)
	}
}

func TestHostileForms(t *testing.T) {
	s := serve(t, true)
	fields := func(name, value string) string {
		return url.Values{"kind": {"command"}, "command": {"true"}, "inputs": {"lines"}, "lines": {"a"}, name: {value}}.Encode()
	}
	items, err := json.Marshal(strings.Repeat("x", 100))
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"tags":       fields("tags", strings.Repeat("a\x01 ", 1_000_000)),
		"exit codes": fields("ok_exit_codes", strings.Repeat("x ", 1_000_000)),
		"variables":  fields("command_env", strings.Repeat("x\n", 1_000_000)),
		"name":       fields("name", strings.Repeat("x", 8<<20)),
		"items":      url.Values{"kind": {"command"}, "command": {"true"}, "inputs": {"items"}, "items": {"[" + strings.Repeat(string(items)+",", 50_000) + "1]"}}.Encode(),
	} {
		began := time.Now()
		a := s.call("POST", "/jobs/new", body, "Content-Type", "application/x-www-form-urlencoded")
		if took := time.Since(began); a.StatusCode != 422 || took > 5*time.Second {
			t.Errorf("%s: %d after %v", name, a.StatusCode, took)
		}
		if mistakes := strings.Count(a.text, `href="#`); mistakes > 40 {
			t.Errorf("%s: %d mistakes are shown", name, mistakes)
		}
	}
}
