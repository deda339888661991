package http_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestLogsInBrowser checks that the logs of a running job follow their end until the
// reader scrolls up, and can be filtered and paged.
func TestLogsInBrowser(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := openTab(t)
	gate := filepath.Join(t.TempDir(), "gate")
	source := fmt.Sprintf(`import os, sys, time
def f(x):
    for i in range(300): print(f"\x1b[31mred\x1b[0m line {i}")
    sys.stdout.flush()
    print("to the error stream", file=sys.stderr)
    for name in "ab":
        while not os.path.exists(%q + name): time.sleep(0.01)
        print("after", name, flush=True)
`, gate)
	j := s.submit(program(strings.ReplaceAll(source, `\x1b`, `\033`), `{"range":{"stop":1}}`))
	text := func() string { return eval[string](b, `document.querySelector(".logs")?.innerText ?? ""`) }
	b.do(
		chromedp.Navigate(s.url+"/login?token="+adminToken),
		chromedp.WaitVisible(chromedp.CSS(`#jobs`)),
		chromedp.Navigate(s.url+"/jobs/"+j.ID+"/logs"),
		chromedp.WaitVisible(chromedp.CSS(`.logs tbody tr`)),
	)
	atEnd := `(() => { const b = document.querySelector(".logs"); return b.scrollTop + b.clientHeight >= b.scrollHeight - 24 })()`
	defer func() {
		if t.Failed() {
			t.Log(eval[string](b, `location.href + document.querySelector(".logs")?.innerHTML.slice(-1500)`), eval[bool](b, atEnd))
		}
	}()
	await(t, "the last lines, coloured, at their end", func() bool {
		return strings.Contains(text(), "to the error stream") && eval[bool](b, atEnd) && eval[bool](b, `!!document.querySelector(".logs .fg-1")`)
	})
	// Scrolling up stops following, and the button resumes it.
	eval[int](b, `document.querySelector(".logs").scrollTop = 40`)
	b.do(chromedp.WaitVisible(chromedp.CSS(`[data-follow]`)))
	if err := os.WriteFile(gate+"a", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "the line in the API", func() bool { return len(s.logged(j.ID, "?q=after")) == 1 })
	if at := eval[int](b, `document.querySelector(".logs").scrollTop`); at != 40 || strings.Contains(text(), "after a") {
		t.Errorf("the reader is at %d, %v", at, strings.Contains(text(), "after a"))
	}
	b.do(chromedp.Click(chromedp.CSS(`[data-follow]`)))
	await(t, "the newest line", func() bool { return strings.Contains(text(), "after a") && eval[bool](b, atEnd) })
	if err := os.WriteFile(gate+"b", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "the line that comes then", func() bool { return strings.Contains(text(), "after b") && eval[bool](b, atEnd) })
	s.ended(j.ID)

	// Page back, and filter.
	b.do(
		chromedp.Click(chromedp.CSS(`#logs-lines a[rel="prev"]`)),
		chromedp.WaitVisible(chromedp.CSS(`#logs-lines a[rel="next"]`)),
	)
	if got := eval[int](b, `document.querySelectorAll(".logs tbody tr").length`); got != 103 || !strings.Contains(text(), "red line 0\n") {
		t.Errorf("%d lines on the first page", got)
	}
	for _, small := range eval[[]string](b, `[...document.querySelectorAll(".logs a, .log-filter a")].filter(e => e.getBoundingClientRect().height < 24 || e.getBoundingClientRect().width < 24).map(e => e.outerHTML)`) {
		t.Errorf("smaller than 24 px: %s", small)
	}
	b.do(
		chromedp.SetValue(chromedp.CSS(`#log-stream`), "stderr"),
		chromedp.SetValue(chromedp.CSS(`#log-text`), "ERROR"),
		chromedp.Click(chromedp.CSS(`.log-filter button`)),
	)
	await(t, "the one line", func() bool {
		return eval[int](b, `document.querySelectorAll(".logs tbody tr").length`) == 1 && strings.Contains(text(), "to the error stream")
	})
	b.do(
		chromedp.SetValue(chromedp.CSS(`#log-task`), "7"),
		chromedp.Click(chromedp.CSS(`.log-filter button`)),
		chromedp.WaitVisible(chromedp.CSS(`#log-task-error`)),
	)
}
