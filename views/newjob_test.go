package views

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/allcores/allcores/internal/jobs"
)

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
