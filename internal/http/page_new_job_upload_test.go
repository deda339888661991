package http_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/views"
)

// sendForm sends the form of a new job with a file as a browser does, in the order
// of its controls. Values of names that are not in the form come last.
func (s *server) sendForm(v url.Values, write func(io.Writer) error) (*answer, error) {
	s.t.Helper()
	form := s.page("/jobs/new", 200).Find("#newjob")
	body, feed := io.Pipe()
	w := multipart.NewWriter(feed)
	go func() {
		seen := map[string]bool{}
		var err error
		form.Find("[name]").Each(func(_ int, control *goquery.Selection) {
			name := control.AttrOr("name", "")
			if seen[name] || err != nil {
				return
			}
			seen[name] = true
			if name == views.FieldFile {
				var part io.Writer
				if part, err = w.CreateFormFile(name, "inputs.txt"); err == nil {
					err = write(part)
				}
			} else if v.Has(name) {
				err = w.WriteField(name, v.Get(name))
			}
		})
		for name := range v {
			if !seen[name] && err == nil {
				err = w.WriteField(name, v.Get(name))
			}
		}
		if err == nil {
			err = w.Close()
		}
		feed.CloseWithError(err)
	}()
	req, err := http.NewRequestWithContext(s.t.Context(), "POST", s.url+"/jobs/new", body)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	req.Header.Set("Content-Type", w.FormDataContentType())
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return &answer{res, string(text)}, err
}

// fileForm is the form of a new job whose inputs are in a file.
func (s *server) fileForm(format string, pairs ...string) url.Values {
	v := fields(s.page("/jobs/new", 200).Find("#newjob"))
	v.Set(views.FieldInputs, views.InputsFile)
	v.Set(views.FieldFileFormat, format)
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

// TestUploadOfAMillionLines checks that a million inputs pass through without being
// buffered. It is not parallel: it measures the memory of the whole process.
func TestUploadOfAMillionLines(t *testing.T) {
	s := serve(t, true)
	v := s.fileForm(views.FormatNDJSON)
	const total = 1_000_000
	memory := func() uint64 {
		sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64() - sample[1].Value.Uint64()
	}
	runtime.GC()
	before, peak := memory(), uint64(0)
	done, measured := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(measured)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			peak = max(peak, memory())
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	began := time.Now()
	a, err := s.sendForm(v, func(w io.Writer) error {
		var b bytes.Buffer
		for i := range total {
			fmt.Fprintf(&b, `{"name": "file-%07d.txt", "size": %d, "tags": ["more", "than", "a", "form", "holds"]}`+"\n", i, i)
			if b.Len() > 32<<10 {
				if _, err := b.WriteTo(w); err != nil {
					return err
				}
			}
		}
		_, err := b.WriteTo(w)
		return err
	})
	close(done)
	<-measured
	if err != nil || a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%v %+v", err, a)
	}
	var growth uint64
	if peak > before {
		growth = peak - before
	}
	t.Logf("%d lines in %v; memory grew by %d KiB from %d KiB", total, time.Since(began), growth>>10, before>>10)
	if growth > 64<<20 {
		t.Errorf("memory grew by %d MiB", growth>>20)
	}
	id := strings.TrimPrefix(a.Header.Get("Location"), "/jobs/")
	var j job
	s.get("/api/v1/jobs/"+id).into(t, &j)
	if j.State != jobs.Queued || j.Counts.Total != total || j.Inputs.Kind != "items" {
		t.Errorf("%+v", j)
	}
	for _, index := range []int64{0, 4095, 4096, total - 1} {
		var task jobs.Task
		s.get(fmt.Sprintf("/api/v1/jobs/%s/tasks/%d", id, index)).into(t, &task)
		if want := fmt.Sprintf(`{"name":"file-%07d.txt","size":%d,"tags":["more","than","a","form","holds"]}`, index, index); string(task.Input) != want {
			t.Errorf("task %d has %s, want %s", index, task.Input, want)
		}
	}
}

// kept returns how many rows the database stores for jobs.
func (s *server) kept() (rows [3]int) {
	s.t.Helper()
	err := s.store.Pool.QueryRow(s.t.Context(), `
		select (select count(*) from jobs), (select count(*) from progress), (select count(*) from input_blocks)`).Scan(&rows[0], &rows[1], &rows[2])
	if err != nil {
		s.t.Fatal(err)
	}
	return rows
}

func TestUploadWithBadLines(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	send := func(v url.Values, text string) *goquery.Document {
		t.Helper()
		a, err := s.sendForm(v, func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
		if err != nil {
			t.Fatal(err)
		}
		return document(t, a, 422)
	}
	// The typed fields come after the file, which is much larger than what is
	// buffered on the way.
	good := strings.Repeat("[1, 2, 3]\n", 60_000)
	v := s.fileForm(views.FormatNDJSON, views.FieldName, "kept", views.FieldTimeout, "soon")
	doc := send(v, good+"{x}\n"+good+"nope\n"+good)
	if got := text(doc, "#file-error"); !strings.Contains(got, "line 60001 is not JSON") || !strings.Contains(got, "line 120002 is not JSON") {
		t.Errorf("at the file: %q", got)
	}
	if got := text(doc, "#timeout-error"); got == "" {
		t.Error("the other mistake is not reported")
	}
	if doc.Find("#name").AttrOr("value", "") != "kept" || !strings.Contains(text(doc, "#file-hint"), "choose inputs.txt again") {
		t.Errorf("name %q, hint %q", doc.Find("#name").AttrOr("value", ""), text(doc, "#file-hint"))
	}
	if id := doc.Find("[autofocus]").AttrOr("id", ""); id != views.FieldFile {
		t.Errorf("the focus is at %q", id)
	}
	if kind := doc.Find(`#file_format option[selected]`).AttrOr("value", ""); kind != views.FormatNDJSON {
		t.Errorf("the format is %q", kind)
	}
	// Many mistakes are listed, not all.
	doc = send(s.fileForm(views.FormatNDJSON), strings.Repeat("x\n", 1000))
	if n := doc.Find("#file-error .message").Length(); n != 20 {
		t.Errorf("%d lines are listed", n)
	}
	// Inputs that the function does not take are reported line by line.
	doc = send(s.fileForm(views.FormatNDJSON, views.FieldCall, jobs.CallArgs), good+"5\n")
	if got := text(doc, "#file-error"); !strings.Contains(got, "line 60001 must be an array") {
		t.Errorf("at the file: %q", got)
	}
	doc = send(s.fileForm(views.FormatLines, views.FieldCall, jobs.CallArgs), good)
	if got := text(doc, "#call-error"); !strings.Contains(got, "must be an array") {
		t.Errorf("%q", text(doc, "#errors"))
	}
	// A mistake in a field after the file leaves nothing either.
	doc = send(s.fileForm(views.FormatNDJSON, views.FieldQueue, "nowhere"), good)
	if got := text(doc, "#queue-error"); !strings.Contains(got, "no such queue") {
		t.Errorf("%q", text(doc, "#errors"))
	}
	// The order of the fields does not matter.
	a := s.upload(url.Values{}, "x.txt", "1\n")
	if got := text(document(t, a, 422), "#errors"); got == "" {
		t.Error("no mistake in a form that has only a file")
	}
	if rows := s.kept(); rows != [3]int{} {
		t.Errorf("%v jobs, progress and blocks of inputs are kept", rows)
	}
}

// TestUploadThatBreaksOff checks that an upload that breaks off leaves nothing.
func TestUploadThatBreaksOff(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	inside := make(chan struct{})
	_, err := s.sendForm(s.fileForm(views.FormatLines), func(w io.Writer) error {
		if _, err := io.WriteString(w, strings.Repeat("a line of some length\n", 100_000)); err != nil {
			return err
		}
		await(t, "the COPY", func() bool {
			var n int
			err := s.store.Pool.QueryRow(t.Context(), `select count(*) from pg_stat_progress_copy where relid = 'input_blocks'::regclass and tuples_processed > 0`).Scan(&n)
			return err == nil && n == 1
		})
		close(inside)
		return errors.New("the client is gone")
	})
	<-inside
	if err == nil {
		t.Error("the broken request was answered")
	}
	await(t, "the end of the transaction", func() bool {
		var n int
		err := s.store.Pool.QueryRow(t.Context(), `select count(*) from pg_stat_activity where datname = current_database() and xact_start < now() and pid <> pg_backend_pid()`).Scan(&n)
		return err == nil && n == 0
	})
	if rows := s.kept(); rows != [3]int{} {
		t.Errorf("%v jobs, progress and blocks of inputs are kept", rows)
	}
}

// TestUploadOnlyTriedOrChecked checks that trying and checking submit nothing.
func TestUploadOnlyTriedOrChecked(t *testing.T) {
	t.Parallel()
	s := serve(t)
	v := s.fileForm(views.FormatCSV, views.FieldTry, "1", views.FieldSource, "def work(x):\n    return 'got ' + x\n", views.FieldCSVColumn, "name")
	a, err := s.sendForm(v, func(w io.Writer) error {
		_, err := io.WriteString(w, "id,name\n1,first\n"+strings.Repeat("2,other\n", 20_000))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := text(document(t, a, 200), "#try"); !strings.Contains(got, "got first") {
		t.Error(got)
	}
	v = s.fileForm(views.FormatCSV, views.FieldCheck, "1")
	if a := s.post("/jobs/new", v); a.StatusCode != http.StatusNoContent || a.text != "" {
		t.Errorf("%d %s", a.StatusCode, cut(a.text))
	}
	for field, value := range map[string]string{views.FieldTimeout: "soon", views.FieldQueue: "nowhere", views.FieldSource: "def work(x:"} {
		v := s.fileForm(views.FormatNDJSON, views.FieldCheck, "1", field, value)
		doc := document(t, s.post("/jobs/new", v), 422)
		if text(doc, "#"+field+"-error") == "" || text(doc, "#file-error") != "" {
			t.Errorf("%s: %q", field, text(doc, "#errors"))
		}
	}
	if rows := s.kept(); rows != [3]int{} {
		t.Errorf("%v jobs, progress and blocks of inputs are kept", rows)
	}
}
