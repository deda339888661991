package http_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// chooseFile opens the form of a new job with a file chosen.
func (b *tab) chooseFile(url, path string) {
	b.t.Helper()
	b.do(
		chromedp.Navigate(url+"/jobs/new"),
		chromedp.WaitVisible(chromedp.CSS(`#source`)),
		chromedp.Click(chromedp.CSS(`label[for="inputs-file"]`)),
		chromedp.SetUploadFiles(chromedp.CSS(`#file`), []string{path}),
		chromedp.SetValue(chromedp.CSS(`#name`), "typed"),
	)
}

func TestBrowserUpload(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	b := openTab(t)
	dir := t.TempDir()
	file := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	submit := chromedp.Click(chromedp.CSS(`#newjob button.primary`))
	good := strings.Repeat("[1, 2]\n", 300_000)
	b.do(chromedp.Navigate(s.url+"/login?token="+adminToken), chromedp.WaitVisible(chromedp.CSS(`#jobs form`)))

	// A bad line is reported at the file. The file stays chosen, and the typed text
	// remains.
	b.chooseFile(s.url, file("bad.ndjson", good+"{nope\n"+good))
	await(t, "the format of the file's name", func() bool {
		return eval[string](b, `document.getElementById("file-preview").dataset.format ?? ""`) == "ndjson"
	})
	eval[bool](b, `(() => {
		window.stayed = true; window.texts = [];
		const note = () => { if (!document.getElementById("upload").hidden) texts.push(document.getElementById("upload-text").textContent) };
		new MutationObserver(note).observe(document.getElementById("upload"), { subtree: true, childList: true, attributes: true });
		return true;
	})()`)
	b.do(submit, chromedp.WaitVisible(chromedp.CSS(`#file-error`)))
	if got := eval[string](b, `document.getElementById("file-error").textContent`); !strings.Contains(got, "line 300001 is not JSON") {
		t.Errorf("at the file: %q", got)
	}
	if got := eval[string](b, `[document.activeElement.id, document.getElementById("name").value, document.getElementById("file").files.length, window.stayed, document.getElementById("upload").hidden].join()`); got != "file,typed,1,true,true" {
		t.Errorf("focus, name, files, same page, hidden: %s", got)
	}
	if got := eval[string](b, `document.querySelector(".gutter").textContent`); got != "1234" {
		t.Errorf("the lines of the source are numbered %q", got)
	}
	if got := eval[string](b, `document.getElementById("file-hint").textContent`); !strings.HasPrefix(got, "bad.ndjson, 4.0 MiB") {
		t.Errorf("the hint is %q", got)
	}
	if texts := eval[[]string](b, `window.texts`); !strings.Contains(strings.Join(texts, "\n"), "All of 4.0 MiB sent") {
		t.Errorf("the progress showed %q", texts)
	}
	// A mistake elsewhere is reported before the file is sent.
	b.do(chromedp.SetValue(chromedp.CSS(`#queue`), "cpu"))
	eval[bool](b, `(document.getElementById("policy").open = true, document.getElementById("timeout").value = "soon", window.texts = [], true)`)
	b.do(submit, chromedp.WaitVisible(chromedp.CSS(`#timeout-error`)))
	if texts := eval[[]string](b, `window.texts`); len(texts) != 0 {
		t.Errorf("sent although the form is wrong: %q", texts)
	}
	// A file that was edited meanwhile must be chosen again.
	eval[bool](b, `(document.getElementById("timeout").value = "", true)`)
	file("bad.ndjson", "1\n")
	b.do(submit)
	await(t, "the word that the file has changed", func() bool {
		return strings.Contains(eval[string](b, `document.getElementById("unsent").textContent`), "has changed since it was chosen")
	})
	if rows := s.kept(); rows != [3]int{} {
		t.Errorf("%v jobs, progress and blocks of inputs are kept", rows)
	}
	checkStop(t, s, b, file("long.txt", strings.Repeat("a line\n", 6<<20)), submit)

	checkGoodUpload(t, s, b, file("long.csv", "id,text\n"+strings.Repeat("1,a line\n", 100_000)), submit)
}

// checkStop stops a long upload that waits for other uploads, which wait for the
// test.
func checkStop(t *testing.T, s *server, b *tab, path string, submit chromedp.Action[chromedp.Void]) {
	t.Helper()
	others, release := context.WithCancel(t.Context())
	ended := make(chan error, 4)
	for range cap(ended) {
		id, began := s.submit(openSquares).ID, make(chan struct{})
		go func() {
			_, _, err := s.store.Append(others, store.AppendRequest{Viewer: store.As(s.admin), Job: id, Values: func(yield func([]byte, error) bool) {
				close(began)
				<-others.Done()
				yield(nil, others.Err())
			}})
			ended <- err
		}()
		<-began
	}
	before := s.kept()
	b.chooseFile(s.url, path)
	b.do(submit, chromedp.WaitVisible(chromedp.CSS(`#upload-stop`)))
	await(t, "some progress", func() bool {
		return strings.Contains(eval[string](b, `document.getElementById("upload-text").textContent`), " % of 42.0 MiB, about ")
	})
	b.do(chromedp.Click(chromedp.CSS(`#upload-stop`)))
	await(t, "the stop", func() bool {
		return eval[string](b, `document.getElementById("busy").textContent`) == "Stopped. Nothing was submitted." && eval[bool](b, `document.getElementById("upload").hidden`)
	})
	release()
	for range cap(ended) {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("another upload ends with %v", err)
		}
	}
	if rows := s.kept(); rows != before {
		t.Errorf("%v jobs, progress and blocks of inputs are kept, before %v", rows, before)
	}
}

// checkGoodUpload submits a file, with scripts and without them.
func checkGoodUpload(t *testing.T, s *server, b *tab, path string, submit chromedp.Action[chromedp.Void]) {
	t.Helper()
	for _, scripts := range []bool{true, false} {
		if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !scripts}); err != nil {
			t.Fatal(err)
		}
		b.chooseFile(s.url, path)
		b.do(
			chromedp.SetValue(chromedp.CSS(`#file_format`), "csv"),
			chromedp.SetValue(chromedp.CSS(`#csv_column`), "text"),
			submit,
		)
		b.arrive("#job-progress")
		var j job
		s.get("/api/v1/jobs/"+strings.TrimPrefix(eval[string](b, `location.pathname`), "/jobs/")).into(t, &j)
		if j.Counts.Total != 100_000 || j.Name != "typed" || j.Inputs.Kind != "lines" {
			t.Errorf("scripts %v: %+v", scripts, j)
		}
		var task jobs.Task
		s.get("/api/v1/jobs/"+j.ID+"/tasks/99999").into(t, &task)
		if string(task.Input) != `"a line"` {
			t.Errorf("the last input is %s", task.Input)
		}
	}
}
