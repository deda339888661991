package http_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/allcores/allcores/internal/jobs"
)

// chromium returns the path of a browser. Without one it skips the test, except
// under make test, which has checked that one exists.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{
		"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless-shell", "headless_shell",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium",
	} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("ALLCORES_TEST_BROWSER") != "" {
		t.Fatal("there is no Chromium here")
	}
	t.Skip("there is no Chromium here")
	return ""
}

// browsers is the Chromium that all tests of this process share. The first tab
// starts it; stopChromium ends it after all tests.
var browsers struct {
	sync.Mutex
	//lint:ignore containedctx it identifies the browser to chromedp
	ctx  context.Context // of the running browser, nil before the first tab
	stop func()
}

// startChromium returns the context of the shared browser.
func startChromium(t *testing.T) context.Context {
	t.Helper()
	path := chromium(t)
	browsers.Lock()
	defer browsers.Unlock()
	if browsers.ctx != nil {
		return browsers.ctx
	}
	dir, err := os.MkdirTemp("", "allcores-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.WSURLReadTimeout(time.Minute),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-gpu", true))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, release := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	stop := func() { cancel(); release(); _ = os.RemoveAll(dir) }
	if err := chromedp.Do(ctx); err != nil {
		stop()
		t.Fatal(err)
	}
	browsers.ctx, browsers.stop = ctx, stop
	return ctx
}

func stopChromium() {
	browsers.Lock()
	defer browsers.Unlock()
	if browsers.stop != nil {
		browsers.stop()
	}
}

// A tab is a page in a browser. What goes wrong in it fails the test.
type tab struct {
	t *testing.T
	//lint:ignore containedctx it identifies the tab to chromedp
	ctx context.Context
	end context.CancelFunc
}

// openTab opens a tab with cookies, storage and workers of its own. Call it after
// serve: the tab then closes before the server shuts down, which otherwise waits 5 s
// for connections that the browser has opened ahead.
func openTab(t *testing.T) *tab {
	t.Helper()
	ctx, cancel := context.WithTimeout(startChromium(t), 90*time.Second)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	// The first call opens the tab. A deadline here would end the tab.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	failures := chromedp.Events(ctx, runtime.ExceptionThrown)
	seen := make(chan struct{})
	go func() {
		defer close(seen)
		for failure, err := range failures {
			if err != nil {
				return
			}
			t.Error((&chromedp.ExceptionError{ExceptionDetails: failure.ExceptionDetails}).Error())
		}
	}()
	t.Cleanup(func() { cancel(); <-seen })
	return &tab{t, ctx, cancel}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		at, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.href + "\\n" + document.body.innerText`))
		b.t.Fatalf("%v\nat %s", err, cut(at))
	}
}

// eval returns the value of an expression on the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// arrive waits for an element of the page that a script opens. The page may change
// between two looks.
func (b *tab) arrive(selector string) {
	b.t.Helper()
	await(b.t, "a page with "+selector, func() bool {
		there, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](fmt.Sprintf(`document.readyState === "complete" && document.querySelector(%q) !== null`, selector)))
		return err == nil && there
	})
}

func TestBrowser(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := openTab(t)
	downloads := t.TempDir()
	report := true
	_, err := chromedp.Call(b.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: downloads, EventsEnabled: &report,
		BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.do(
		chromedp.Navigate(s.url+"/login?token="+adminToken),
		chromedp.WaitVisible(chromedp.CSS(`#jobs form`)),
	)
	if at := eval[string](b, `location.pathname + location.search`); at != "/" {
		t.Fatalf("the link leads to %s", at)
	}
	if eval[bool](b, `document.cookie.includes("allcores_session")`) {
		t.Error("scripts can read the session")
	}

	// Submit.
	b.do(
		chromedp.Click(chromedp.CSS(`a[href="/jobs/new"]`)),
		chromedp.WaitVisible(chromedp.CSS(`#source`)),
		chromedp.SetValue(chromedp.CSS(`#source`), "import time\n\n\ndef slow(x):\n    time.sleep(0.01)\n    return x + 1\n"),
		chromedp.SetValue(chromedp.CSS(`#function`), "slow"),
		chromedp.SetValue(chromedp.CSS(`#range_stop`), "600"),
		chromedp.Click(chromedp.CSS(`#newjob button.primary`)),
	)
	b.arrive("#job-progress")
	// The bar moves and the page is not loaded again.
	eval[bool](b, `window.loadedOnce = true`)
	id := strings.TrimPrefix(eval[string](b, `location.pathname`), "/jobs/")
	var seen []int
	title := `document.getElementById("job-title").textContent`
	await(t, "the job's end on the page", func() bool {
		ended := strings.Contains(eval[string](b, title), "succeeded")
		n, err := strconv.Atoi(eval[string](b, `document.getElementById("progress").getAttribute("value")`))
		if err != nil {
			t.Fatal(err)
		}
		if len(seen) == 0 || seen[len(seen)-1] != n {
			seen = append(seen, n)
		}
		return ended
	})
	if len(seen) < 4 || seen[len(seen)-1] != 600 {
		t.Errorf("the bar went through %v", seen)
	}
	for i := 1; i < len(seen); i++ {
		if seen[i] < seen[i-1] {
			t.Errorf("the bar went back: %v", seen)
		}
	}
	if !eval[bool](b, `window.loadedOnce === true`) {
		t.Error("the page was loaded again")
	}
	if got := eval[int](b, `document.querySelectorAll("#job-results tbody tr").length`); got != 100 {
		t.Errorf("%d results", got)
	}
	await(t, "the stream's end", func() bool {
		return eval[string](b, `document.getElementById("live").dataset.state`) == "ended"
	})
	checkDownload(t, b, downloads)
	if j := s.ended(id); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
	checkForm(t, s, b)
}

// checkDownload downloads the results of the job on the page.
func checkDownload(t *testing.T, b *tab, downloads string) {
	t.Helper()
	// Download.
	progress := chromedp.Events(b.ctx, browser.DownloadProgress)
	b.do(chromedp.Click(chromedp.CSS(`#job-results a[download$=".ndjson"]`)))
	late := time.AfterFunc(20*time.Second, func() { t.Error("the download does not end"); b.end() })
	for e, err := range progress {
		if err != nil || e.State == browser.DownloadProgressStateCompleted {
			break
		}
	}
	late.Stop()
	files, err := filepath.Glob(filepath.Join(downloads, "*.ndjson"))
	if err != nil || len(files) != 1 {
		t.Fatalf("downloaded %v, %v", files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	results := lines[result](t, string(content))
	if len(results) != 600 || results[599].Output != 600.0 {
		t.Errorf("%d results in %s", len(results), files[0])
	}
}

// checkForm checks a mistake in the form of a new job, tries an input, and signs
// out.
func checkForm(t *testing.T, s *server, b *tab) {
	t.Helper()
	// A mistake stands at its field and has the focus.
	b.do(
		chromedp.Navigate(s.url+"/jobs/new"),
		chromedp.WaitVisible(chromedp.CSS(`#source`)),
		chromedp.SetValue(chromedp.CSS(`#source`), "def broken(x:\n    pass\n"),
		chromedp.Click(chromedp.CSS(`#newjob button.primary`)),
		chromedp.WaitVisible(chromedp.CSS(`#source-error`)),
	)
	if got := eval[string](b, `document.activeElement.id`); got != "source" {
		t.Errorf("the focus is at %q", got)
	}
	// Trying shows the result in place.
	b.do(
		chromedp.Navigate(s.url+"/jobs/new"),
		chromedp.WaitVisible(chromedp.CSS(`#source`)),
		chromedp.SetValue(chromedp.CSS(`#source`), "def tell(x):\n    return 'value ' + str(x)\n"),
		chromedp.SetValue(chromedp.CSS(`#function`), "tell"),
	)
	eval[bool](b, `window.stayed = true`)
	b.do(
		chromedp.Click(chromedp.CSS(`button[name="try"]`)),
		chromedp.WaitVisible(chromedp.CSS(`#try-output`)),
	)
	if got := eval[string](b, `document.getElementById("try-output").textContent`); !strings.Contains(got, "value 0") || !eval[bool](b, `window.stayed === true`) {
		t.Errorf("%q", got)
	}
	b.do(
		chromedp.Click(chromedp.CSS(`details:has(form[action="/logout"]) > summary`)),
		chromedp.Click(chromedp.CSS(`form[action="/logout"] button`)),
		chromedp.WaitVisible(chromedp.CSS(`#token`)),
	)
}
