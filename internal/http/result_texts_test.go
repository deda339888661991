package http_test

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/views"
)

const identity = `"program": {"python": {"source": "def f(x):\n    return x\n", "function": "f"}}`

// outputs waits for the job's end and returns its outputs.
func (s *server) outputs(id string) (outputs []json.RawMessage) {
	s.t.Helper()
	if j := s.ended(id); j.State != jobs.Succeeded {
		s.t.Fatalf("the job ended as %s: %s", j.State, cut(s.get("/api/v1/jobs/"+id+"/results").text))
	}
	s.get("/api/v1/jobs/"+id+"/results?format=outputs").into(s.t, &outputs)
	return outputs
}

// TestTextsComeBackFromCSV passes texts through a job, its results as CSV, a file and
// another job. They arrive unchanged.
func TestTextsComeBackFromCSV(t *testing.T) {
	t.Parallel()
	s := serve(t)
	texts := []string{"l1\r\nl2", "m1\nm2", "\r", "\n", "\r\n", "", `"`, `""`, `a "b", c`, ",", " a ", "\ufeff", "\ufeffa", "a\x00b", "=1+1", "'", "ü数😀", "<&>\u2028", "\t", "last\r"}
	items, _ := json.Marshal(texts)
	first := s.submit(`{` + identity + `, "inputs": {"items": ` + string(items) + `}}`)
	s.outputs(first.ID)
	table := s.get("/api/v1/jobs/" + first.ID + "/results?format=csv").text
	for _, mark := range []string{"", jobs.ByteOrderMark} {
		v := s.fileForm(views.FormatCSV, views.FieldCSVColumn, "output", views.FieldSource, "def f(x):\n    return x\n", views.FieldFunction, "f")
		a, err := s.sendForm(v, func(w io.Writer) error { _, err := io.WriteString(w, mark+table); return err })
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, output := range s.outputs(s.posted(a).ID) {
			var text string
			if err := json.Unmarshal(output, &text); err != nil {
				t.Fatal(err)
			}
			got = append(got, text)
		}
		if !slices.Equal(got, texts) {
			t.Errorf("%q\nbecame %q", texts, got)
		}
	}
}

// TestByteOrderMark checks that every way to send inputs accepts a byte order mark.
// Only the form's file may be UTF-16.
func TestByteOrderMark(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	const mark = jobs.ByteOrderMark
	inputs := func(id string) (got []string) {
		var j job
		s.get("/api/v1/jobs/"+id).into(t, &j)
		for i := range j.Counts.Total {
			var task jobs.Task
			s.get(fmt.Sprintf("/api/v1/jobs/%s/tasks/%d", id, i)).into(t, &task)
			got = append(got, string(task.Input))
		}
		return got
	}
	check := func(way, id string, want ...string) {
		t.Helper()
		if got := inputs(id); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", way, got, want)
		}
	}
	made := func(a *answer) string { return strings.TrimPrefix(a.Header.Get("Location"), "/jobs/") }
	lines, _ := json.Marshal(mark + "a\r\nb\n")
	check("inline lines", s.submit(`{`+identity+`, "inputs": {"lines": `+string(lines)+`}}`).ID, `"a"`, `"b"`)
	check("JSON", s.submit(mark+`{`+identity+`, "inputs": {"items": [1]}}`).ID, `1`)
	open := s.submit(`{` + identity + `, "inputs": {"open": true}}`).ID
	for _, body := range []string{mark + "1\n2\n", mark, mark + "\n3"} {
		if a := s.call("POST", "/api/v1/jobs/"+open+"/tasks", body, "Content-Type", "application/x-ndjson"); a.StatusCode != 200 {
			t.Errorf("%q: %d %s", body, a.StatusCode, a.text)
		}
	}
	check("NDJSON", open, "1", "2", "3")
	for _, body := range []string{"\xff\xfe1\x00\n\x00", "\xfe\xff\x001\x00\n", "1\x00\n\x002\x00\n\x00"} {
		a := s.call("POST", "/api/v1/jobs/"+open+"/tasks", body, "Content-Type", "application/x-ndjson")
		if a.StatusCode != 422 || !strings.Contains(a.text, "UTF-16") {
			t.Errorf("%q: %d %s", body, a.StatusCode, a.text)
		}
	}
	for format, content := range map[string]string{views.FormatLines: "1\r\n", views.FormatNDJSON: `"1"`, views.FormatCSV: "1,2\n"} {
		v := s.fileForm(format)
		v.Del(views.FieldCSVHeader)
		check(format, made(s.upload(v, "x", mark+content)), `"1"`)
	}
	v := fields(s.page("/jobs/new", 200).Find("#newjob"))
	v.Set(views.FieldInputs, views.InputsItems)
	v.Set(views.FieldItems, mark+"[1]")
	check("the form's JSON", made(s.post("/jobs/new", v)), "1")
}
