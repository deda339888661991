package views

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/allcores/allcores/internal/jobs"
)

// A browser is a Chromium tab in which a test opens the sample pages.
type browser struct {
	t *testing.T
	//lint:ignore containedctx it identifies the tab to chromedp
	ctx context.Context
	url string
}

func open(t *testing.T, handler http.Handler) browser {
	t.Helper()
	path := ""
	for _, name := range []string{
		"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless-shell", "headless_shell",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium",
	} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("ALLCORES_TEST_BROWSER") != "" {
			t.Fatal("no Chromium, though make test saw that there is one")
		}
		t.Skip("no Chromium: install it (Debian: apt-get install chromium) to test the scripts")
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, stop := chromedp.NewContext(allocator)
	t.Cleanup(stop)
	b := browser{t, ctx, server.URL}
	b.do(chromedp.EmulateViewport(1280, 800))
	go func() {
		for message := range chromedp.Console(ctx) {
			if message.Type == chromedp.ConsoleException || message.Type == "error" && !strings.Contains(message.Text, "net::") {
				t.Errorf("the browser says: %v", message)
			}
		}
	}()
	return b
}

func (b browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.ctx, 20*time.Second)
	defer stop()
	if b.ctx.Err() == nil && chromedp.FromContext(b.ctx).Target == nil {
		ctx = b.ctx // the first call starts the browser, which lives as long as its context
	}
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b browser) visit(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.url + path))
}

// eval returns the value of a JavaScript expression.
func eval[T any](b browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func (b browser) run(statement string) {
	b.t.Helper()
	eval[bool](b, "(() => { "+statement+"; return true })()")
}

// wait waits until a JavaScript expression is true.
func (b browser) wait(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !eval[bool](b, "!!("+expression+")"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("it never came true: %s", expression)
		}
	}
}

func TestLivePage(t *testing.T) {
	var refuse atomic.Bool
	preview := previewHandler()
	b := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuse.Load() && strings.HasPrefix(r.URL.Path, "/preview/live") {
			panic(http.ErrAbortHandler)
		}
		preview.ServeHTTP(w, r)
	}))
	b.visit("/show/live?rate=100")
	b.wait(`document.getElementById("live").dataset.state === "live"`)
	// The server's updates must keep what the reader did.
	b.run(`
		window.bar = document.querySelector("#job-progress .bar .s");
		document.querySelector("#job-failures details").open = true;
		document.getElementById("program").open = true;
		document.querySelector("[popovertarget=cancel]").click();
		document.querySelector("#job-results .box").scrollTop = 40;
		const box = document.getElementById("goto"); box.focus(); box.value = "123"; box.setSelectionRange(1, 2);
		window.before = Number(bar.getAttribute("width"))`)
	b.wait(`Number(bar.getAttribute("width")) > before + 10`)
	b.wait(`document.querySelectorAll("#job-results tbody tr").length > 3`)
	for _, kept := range []string{
		`bar.isConnected`,
		`document.querySelector("#job-failures details").open && document.getElementById("program").open`,
		`document.getElementById("cancel").matches(":popover-open")`,
		`document.activeElement.id === "goto" && document.activeElement.value === "123" && document.activeElement.selectionStart === 1`,
		`document.title.includes("%")`,
	} {
		if !eval[bool](b, kept) {
			t.Errorf("not kept: %s", kept)
		}
	}

	refuse.Store(true)
	b.visit("/show/live?rate=9000")
	b.wait(`document.getElementById("live").dataset.state === "reconnecting"`)
	b.wait(`document.getElementById("trouble").textContent.startsWith("The server does not answer.")`)
	refuse.Store(false)
	b.wait(`document.getElementById("live").dataset.state === "ended"`)
	b.wait(`document.getElementById("trouble").textContent === ""`)
	if got := eval[string](b, `document.querySelector("#job-title .state").textContent.trim() + " " + document.querySelectorAll("[popovertarget=cancel]").length`); got != "failed (200 of 20,000) 0" {
		t.Errorf("at the end the title says %q", got)
	}
}

func TestRowsAreMorphed(t *testing.T) {
	page := sampleJobsPage()
	mux := http.NewServeMux()
	preview := previewHandler()
	mux.Handle("/", preview)
	mux.HandleFunc("/queues", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<!doctype html><link rel=icon href=x:>") })
	mux.HandleFunc("/live", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		var shown *Snapshot
		for i := range int64(3) {
			p := page
			p.Jobs = append([]jobs.Job{}, page.Jobs...)
			p.Jobs[0].Counts.Succeeded += 1000 * i
			if i == 2 {
				p.Jobs = append([]jobs.Job{sampleJob(77, "the new one", jobs.Queued, jobs.Counts{Total: 5}, 0, 0)}, p.Jobs[:len(p.Jobs)-1]...)
			}
			html, now, err := patch(r.Context(), shown, p.Fragments())
			if err != nil {
				t.Error(err)
				return
			}
			shown = now
			fmt.Fprintf(w, "event: patch\ndata: %s\n\n", strings.ReplaceAll(string(html), "\n", "\ndata: "))
			w.(http.Flusher).Flush()
			select {
			case <-time.After(400 * time.Millisecond):
			case <-r.Context().Done():
			}
		}
		fmt.Fprint(w, "event: end\ndata:\n\n")
	})
	b := open(t, mux)
	b.visit("/show/jobs?stream")
	b.do(chromedp.KeyEvent("jj"))
	b.run(`window.row = document.activeElement.closest("tr")`)
	if got := eval[string](b, `row.id`); got != rowID(page.Jobs[1].ID) {
		t.Errorf("jj leads to %s", got)
	}
	b.wait(`document.body.textContent.includes("813,344")`)
	b.wait(`document.getElementById("live").dataset.state === "ended"`)
	if got := eval[string](b, `document.querySelector("#jobs tbody a[data-open]").textContent`); got != "the new one" {
		t.Errorf("the first row is %q", got)
	}
	if n := eval[int](b, `document.querySelectorAll("#jobs tbody tr").length`); n != len(page.Jobs) {
		t.Errorf("%d rows, want %d", n, len(page.Jobs))
	}
	if !eval[bool](b, `row.isConnected && row.contains(document.activeElement)`) {
		t.Error("the row that had the focus lost it")
	}
	b.do(chromedp.KeyEvent("/"))
	if got := eval[string](b, `document.activeElement.id`); got != "search" {
		t.Errorf("/ leads to %q", got)
	}
	b.run(`document.activeElement.blur()`)
	b.do(chromedp.KeyEvent("?"))
	b.wait(`document.getElementById("help").matches(":popover-open")`)
	b.run(`document.getElementById("help").hidePopover(); document.getElementById("theme").click(); document.getElementById("theme").click()`)
	if got := eval[string](b, `document.documentElement.dataset.theme + " " + document.cookie`); got != "dark theme=dark" {
		t.Errorf("the theme is %q", got)
	}
	b.do(chromedp.KeyEvent("gq"))
	b.wait(`location.pathname === "/queues"`)
}

func TestFormScripts(t *testing.T) {
	b := open(t, previewHandler())

	// The script and the server show the same request.
	for _, name := range []string{"new", "new-files", "new-tried", "new-wrong"} {
		b.visit("/show/" + name)
		b.wait(`document.getElementById("functions").children.length || true`)
		served := eval[string](b, `document.getElementById("curl-text").textContent`)
		b.run(`document.getElementById("curl").open = true; document.getElementById("newjob").dispatchEvent(new Event("change", {bubbles: true}))`)
		if name == "new-wrong" {
			continue // a wrong form has no request; it must only not break the script
		}
		if got := eval[string](b, `document.getElementById("curl-text").textContent`); got != served {
			t.Errorf("%s: the script shows\n%s\nthe server\n%s", name, got, served)
		}
	}

	b.visit("/show/new")
	b.run(`window.area = document.getElementById("source"); window.key = (key, shiftKey) => area.dispatchEvent(new KeyboardEvent("keydown", {key, shiftKey, bubbles: true, cancelable: true}))`)
	for _, step := range []struct{ do, want string }{
		{`area.focus(); area.value = "def f(x):"; area.setSelectionRange(9, 9); key("Enter")`, "def f(x):\n    "},
		{`key("Tab")`, "def f(x):\n        "},
		{`key("Backspace")`, "def f(x):\n    "},
		{`document.execCommand("insertText", false, "return x"); key("Enter")`, "def f(x):\n    return x\n"},
		{`area.setSelectionRange(0, area.value.length - 1); key("Tab")`, "    def f(x):\n        return x\n"},
		{`key("Tab", true)`, "def f(x):\n    return x\n"},
		{`document.execCommand("undo")`, "    def f(x):\n        return x\n"},
		{`document.execCommand("redo")`, "def f(x):\n    return x\n"},
	} {
		b.run(step.do)
		if got := eval[string](b, `area.value`); got != step.want {
			t.Fatalf("%s: the source is %q, want %q", step.do, got, step.want)
		}
	}
	if got := eval[string](b, `document.querySelector(".gutter").textContent + document.getElementById("function").value`); got != "123f" {
		t.Errorf("line numbers and function are %q", got)
	}
	if !eval[bool](b, `!key("Tab") && key("Escape") && key("Tab")`) {
		t.Error("Escape and then Tab does not leave the editor")
	}

	// A try keeps all typed values.
	b.run(`document.getElementById("name").value = "kept"; document.querySelector("[name=try]").click()`)
	b.wait(`document.getElementById("try").textContent.includes("would run python")`)
	if got := eval[string](b, `area.value + document.getElementById("name").value + area.isConnected`); got != "def f(x):\n    return x    \nkepttrue" {
		t.Errorf("after the try the form holds %q", got)
	}
	b.run(`document.getElementById("policy").open = true; document.getElementById("timeout").value = "soon"; document.querySelector("[name=try]").click()`)
	b.wait(`document.activeElement.id === "timeout" && document.getElementById("timeout-error")`)
}

// TestWithoutScripts checks that every page and action works without scripts.
func TestWithoutScripts(t *testing.T) {
	b := open(t, previewHandler())
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	b.visit("/show/new")
	visible := func(selector string) bool {
		return eval[bool](b, fmt.Sprintf(`document.querySelector(%q).checkVisibility()`, selector))
	}
	if visible("#command") || !visible("#source") || visible("#lines") || visible(".gutter") || visible("#theme") {
		t.Error("the wrong fields are visible")
	}
	b.do(chromedp.Click[chromedp.CSS](`label[for=kind-command]`), chromedp.Click[chromedp.CSS](`label[for=inputs-lines]`))
	if !visible("#command") || visible("#source") || !visible("#lines") || visible("#range_stop") {
		t.Error("the tabs do not work")
	}
	b.visit("/show/job-running")
	b.do(chromedp.Click[chromedp.CSS](`[popovertarget=cancel]`))
	if !visible(`form[action$="/cancel"] [type=submit]`) {
		t.Error("the job cannot be cancelled")
	}
}

// TestNarrow checks that no page scrolls sideways.
func TestNarrow(t *testing.T) {
	b := open(t, previewHandler())
	for _, s := range samples() {
		b.visit("/show/" + s.name)
		for _, width := range []int64{360, 800} {
			b.do(chromedp.EmulateViewport(width, 800))
			if got := eval[int64](b, `document.documentElement.scrollWidth`); got > width {
				t.Errorf("%s is %d wide in a window of %d", s.name, got, width)
			}
			if got := eval[int64](b, `document.documentElement.scrollHeight - document.body.offsetHeight`); got > 800 {
				t.Errorf("%s has %d empty lines below its end in a window of %d", s.name, got, width)
			}
		}
	}
}
