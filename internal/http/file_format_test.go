package http_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/PuerkitoBio/goquery"

	web "github.com/allcores/allcores/internal/http"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/views"
)

func TestInferFormat(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 70_000)[:64<<10]
	for _, c := range []struct {
		asked, name, head, kind string
		separator               byte
	}{
		// A known extension decides.
		{"auto", "a.csv", "id,name\n1,x\n", views.FormatCSV, ','},
		{"", "A.CSV", "id,name\n1,x\n", views.FormatCSV, ','},
		{"auto", "a.csv", "id;name\n1,5;x\n2,5;y\n", views.FormatCSV, ';'},
		{"auto", "a.csv", "id\tname\n1\tx, y\n", views.FormatCSV, '\t'},
		{"auto", "a.csv", "id|name\n1|x\n", views.FormatCSV, '|'},
		{"auto", "a.csv", "sep=;\nid;name\n1;x\n", views.FormatCSV, ';'},
		{"auto", "a.csv", "\"a;b\",c\n\"d;e\",f\n", views.FormatCSV, ','},
		{"auto", "a.csv", "\"a\nb\";c\n\"d\ne\";f\n", views.FormatCSV, ';'},
		{"auto", "a.csv", "only\none\ncolumn\n", views.FormatCSV, ','},
		{"auto", "a.csv", "a;b\n1;2;3\n", views.FormatCSV, ';'},
		{"auto", "a.csv", "", views.FormatCSV, ','},
		{"auto", "a.tsv", "id\tname\n1\tx\n", views.FormatCSV, '\t'},
		{"auto", "a.ndjson", "1\n2\n", views.FormatNDJSON, 0},
		{"auto", "a.jsonl", "[1, 2]\n", views.FormatNDJSON, 0},
		{"auto", "a.jsonl", "[\n1,\n2\n]\n", views.FormatJSON, 0},
		{"auto", "a.json", "[1, 2]", views.FormatJSON, 0},
		{"auto", "a.json", "[\n {\"a\": 1},\n {\"a\"", views.FormatJSON, 0},
		{"auto", "a.json", "{\"a\": 1}\n{\"a\": 2}\n", views.FormatNDJSON, 0},
		{"auto", "a.json", "1\n2\n", views.FormatNDJSON, 0},
		{"auto", "a.json", "[1, 2]\n[3, 4]\n", views.FormatNDJSON, 0},
		{"auto", "a.json", "{\n \"a\": 1\n}\n", views.FormatJSON, 0},
		{"auto", "a.txt", "a,b\nc,d\n", views.FormatLines, 0},
		{"auto", "a.txt", "1\n2\n", views.FormatLines, 0},
		{"auto", "a.txt", "{\"a\": 1}\n{\"a\": 2}\n", views.FormatNDJSON, 0},
		{"auto", "a.txt", "{not JSON}\n", views.FormatLines, 0},
		{"auto", "a.log", "[2026-01-02 03:04] started\n[2026-01-02 03:05] ended\n", views.FormatLines, 0},
		{"auto", "a.txt", "[INFO] started\n", views.FormatLines, 0},
		// Otherwise the content decides.
		{"auto", "inputs", "id;name\n1;x\n", views.FormatCSV, ';'},
		{"auto", "inputs", "id,name", views.FormatLines, 0},
		{"auto", "inputs", "Dear all,\nplease find, attached, this.\n", views.FormatLines, 0},
		{"auto", "inputs", "/etc/hosts\n/etc/passwd\n", views.FormatLines, 0},
		{"auto", "", "\n {\"a\": 1}\n", views.FormatNDJSON, 0},
		{"auto", "", "[\"" + long, views.FormatJSON, 0},
		{"auto", "", ("{\"a\": \"" + long)[:64<<10], views.FormatNDJSON, 0},
		{"auto", "", "", views.FormatLines, 0},
		// A chosen format holds; only its separator is inferred.
		{views.FormatLines, "a.csv", "id,name\n1,x\n", views.FormatLines, 0},
		{views.FormatCSV, "a.txt", "id;name\n1;x\n", views.FormatCSV, ';'},
		{views.FormatNDJSON, "a.json", "[1]", views.FormatNDJSON, 0},
	} {
		kind, separator := web.InferFormat(c.asked, c.name, c.head)
		if kind != c.kind || separator != c.separator {
			t.Errorf("%s %q %q: %s %q, want %s %q", c.asked, c.name, cut(c.head), kind, separator, c.kind, c.separator)
		}
	}
}

func utf16Of(text string, big, mark bool) string {
	var b []byte
	if mark {
		text = "\ufeff" + text
	}
	for _, unit := range utf16.Encode([]rune(text)) {
		if big {
			b = append(b, byte(unit>>8), byte(unit))
		} else {
			b = append(b, byte(unit), byte(unit>>8))
		}
	}
	return string(b)
}

// fileInputs returns the inputs of the job that a form with such a file submits.
func (s *server) fileInputs(v url.Values, name, content string) (inputs []string, doc *goquery.Document) {
	s.t.Helper()
	a := s.upload(v, name, content)
	id, ok := strings.CutPrefix(a.Header.Get("Location"), "/jobs/")
	if !ok {
		return nil, document(s.t, a, 422)
	}
	var j job
	s.get("/api/v1/jobs/"+id).into(s.t, &j)
	for i := range j.Counts.Total {
		var task jobs.Task
		s.get("/api/v1/jobs/"+id+"/tasks/"+string(rune('0'+i))).into(s.t, &task)
		inputs = append(inputs, string(task.Input))
	}
	return inputs, nil
}

// TestFilesAreReadAsWhatTheyAre checks that a file is read in its format, or refused
// with the reason. The form as it is served leaves the choice of the format to the
// server.
func TestFilesAreReadAsWhatTheyAre(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	served := fields(s.page("/jobs/new", 200).Find("#newjob"))
	if served.Get(views.FieldFileFormat) != views.FormatAuto {
		t.Errorf("the form's format is %q", served.Get(views.FieldFileFormat))
	}
	text := "id;größe\n1;é𝄞\n2;ü\n"
	for _, c := range []struct {
		name, content, column string
		want                  []string // nil for a refusal
		message               string
	}{
		{"a.ndjson", "{\"a\": 1}\n2\n", "1", []string{`{"a":1}`, `2`}, ""},
		{"a.csv", "id;name\n1;x\n2;y\n", "name", []string{`"x"`, `"y"`}, ""},
		{"a.csv", "name\nx\n", "", []string{`"x"`}, ""},
		{"a.tsv", "id\tname\n1\t\"x\ty\"\n", "2", []string{`"x\ty"`}, ""},
		{"a.csv", "sep=;\r\nid;name\r\n1;x\r\n", "name", []string{`"x"`}, ""},
		{"a.json", "[1, {\"b\": [2]},\n \"c\"]\n", "1", []string{`1`, `{"b":[2]}`, `"c"`}, ""},
		{"a.txt", "\xef\xbb\xbfone\r\ntwo", "1", []string{`"one"`, `"two"`}, ""},
		{"a.csv", utf16Of(text, false, true), "größe", []string{`"é𝄞"`, `"ü"`}, ""},
		{"a.csv", utf16Of(text, true, true), "größe", []string{`"é𝄞"`, `"ü"`}, ""},
		{"a.txt", utf16Of("one\ntwo\n", false, false), "1", []string{`"one"`, `"two"`}, ""},
		{"a.txt", utf16Of("one\ntwo\n", true, false), "1", []string{`"one"`, `"two"`}, ""},

		{"a.txt", "", "1", nil, "is empty"},
		{"a.txt", "\n\n", "1", nil, "only blank lines"},
		{"a.ndjson", "\n", "1", nil, "is empty"},
		{"a.json", "", "1", nil, "has an empty array"},
		{"a.json", " [] ", "1", nil, "has an empty array"},
		{"a.json", "{\n\"a\": 1\n}", "1", nil, "is not a JSON array"},
		{"a.json", "[1, 2", "1", nil, "the array does not end"},
		{"a.json", "[1, nope]", "1", nil, "element 1 is not JSON"},
		{"a.json", "[\n1] 2", "1", nil, "goes on after the end of its array"},
		{"a.csv", "", "1", nil, "is empty"},
		{"a.csv", "id,name\n", "1", nil, "no records"},
		{"a.csv", "id;name\n1;x\n", "nome", nil, `has no column "nome"; its columns are id, name`},
		{"a.csv", "id;name\n1;x\n", "3", nil, `has no column "3"; its columns are id, name`},
		{"a.csv", "id;name\n1;x\n", "", nil, "has 2 columns; choose one of id, name"},
		{"a.csv", "id;id\n1;x\n", "id", nil, `has several columns "id"`},
		{"a.txt", utf16Of("ab", false, true) + "\x00\xd8\x20\x00", "1", nil, "is not UTF-16 at byte 6"},
		{"a.xlsx", "PK\x03\x04…", "1", nil, "Excel workbook"},
		{"a.csv.gz", "\x1f\x8b…", "1", nil, "compressed by gzip"},
	} {
		v := url.Values{views.FieldInputs: {views.InputsFile}, views.FieldCSVColumn: {c.column}}
		for key := range served {
			if !v.Has(key) {
				v.Set(key, served.Get(key))
			}
		}
		before := s.kept()
		got, doc := s.fileInputs(v, c.name, c.content)
		switch {
		case c.want != nil && !slices.Equal(got, c.want):
			t.Errorf("%s %q: inputs %q, want %q", c.name, c.content, got, c.want)
		case c.want == nil && doc == nil:
			t.Errorf("%s %q is taken: %q", c.name, c.content, got)
		case c.want == nil && !strings.Contains(doc.Find("#file-error").Text(), c.message):
			t.Errorf("%s %q: %q, want %q", c.name, c.content, doc.Find("#errors").Text(), c.message)
		case c.want == nil && s.kept() != before:
			t.Errorf("%s %q is refused and kept", c.name, c.content)
		}
	}
	// Typed inputs may not be empty either; those of the API may.
	for field, value := range map[string]string{views.InputsLines: " \n", views.InputsItems: "[]", views.FieldRangeStop: "0"} {
		v := url.Values{}
		for key := range served {
			v.Set(key, served.Get(key))
		}
		if v.Set(field, value); field != views.FieldRangeStop {
			v.Set(views.FieldInputs, field)
		}
		if got := document(t, s.post("/jobs/new", v), 422).Find("#" + field + "-error").Text(); !strings.Contains(got, "nothing to run") {
			t.Errorf("%s %q: %q", field, value, got)
		}
	}
	if j := s.submit(program(squares, `{"items":[]}`)); j.State != jobs.Succeeded {
		t.Errorf("an empty array by the API: %+v", j)
	}
}

// TestFilePreview checks that the form shows how a file is read before it is
// submitted.
func TestFilePreview(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	look := func(v url.Values, name, content string) *goquery.Document {
		t.Helper()
		var b strings.Builder
		w, kind := multipartOf(t, &b, v, name, content)
		w.Close()
		return document(t, s.call("POST", "/jobs/new/file", b.String(), "Content-Type", kind), 200)
	}
	form := url.Values{views.FieldFileFormat: {"auto"}, views.FieldCSVColumn: {"name"}, views.FieldCSVHeader: {"on"}}
	doc := look(form, "a.csv", "id;name\n1;a\n2;b\n3;c\n4;d\n")
	if got := strings.Join(strings.Fields(doc.Find("#file-preview").Text()), " "); got != `Read as CSV separated by semicolons: 4 inputs2 columns id name The first 3 inputs, as tasks get them:"a" "b" "c"` {
		t.Error(got)
	}
	if got := doc.Find(`[aria-pressed="true"]`).AttrOr("data-column", ""); got != "name" {
		t.Errorf("the column is %q", got)
	}
	// The preview of a longer file reports nothing wrong where it is only cut.
	form.Set(views.FieldPart, "1")
	for name, content := range map[string]string{
		"a.csv":    "id;name\n1;a\n2;\"b",
		"a.ndjson": "\"a\"\n{\"b",
		"a.json":   "[\"a\", {\"b",
	} {
		doc := look(form, name, content)
		if inputs := strings.TrimSpace(doc.Find("pre").Text()); inputs != `"a"` || doc.Find(".message").Length() > 0 || strings.Contains(doc.Find(".hint").Text(), ": 1 input") {
			t.Errorf("%s: %q", name, doc.Text())
		}
	}
	if doc := look(form, "a.ndjson", "{nope}\n1\n2\n3\n"); !strings.Contains(doc.Find(".message").Text(), "line 1 is not JSON") {
		t.Error(doc.Text())
	}
	if rows := s.kept(); rows != [3]int{} {
		t.Errorf("%v are kept", rows)
	}
}

// TestFormKey checks that a form sent again with its key returns the same job,
// whatever its inputs, and that a changed form makes another job.
func TestFormKey(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	v := fields(s.page("/jobs/new", 200).Find("#newjob"))
	v.Set(views.FieldKey, "k1")
	typed := func() string { return s.post("/jobs/new", v).Header.Get("Location") }
	file := func(content string) string { return s.upload(v, "a.txt", content).Header.Get("Location") }
	first := typed()
	if again := typed(); again != first || first == "" {
		t.Errorf("sent twice: %q and %q", first, again)
	}
	v.Set(views.FieldName, "other")
	changed := typed()
	v.Set(views.FieldInputs, views.InputsFile)
	upload := file("a\nb\n")
	if again := file("a\nb\n"); again != upload || upload == "" {
		t.Errorf("a file sent twice: %q and %q", upload, again)
	}
	more := file("a\nb\nc\n")
	all := []string{first, changed, upload, more}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) != 4 {
		t.Errorf("four different forms made %q", all)
	}
	if rows := s.kept(); rows[0] != 4 {
		t.Errorf("%d jobs", rows[0])
	}
	var list struct{ Items []json.RawMessage }
	s.get("/api/v1/jobs").into(t, &list)
	if len(list.Items) != 4 {
		t.Errorf("%d jobs are listed", len(list.Items))
	}
}
