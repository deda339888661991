package http_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/allcores/allcores/internal/jobs"
)

// TestFailuresInBrowser follows a cause on the job's page to all its tasks, page by
// page, and retries them.
func TestFailuresInBrowser(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := openTab(t)
	fixed := filepath.Join(t.TempDir(), "fixed")
	source := fmt.Sprintf("import os\ndef f(x):\n    if x %% 2 and not os.path.exists(%q): raise OSError(f'no file {x}')\n    if x %% 50 == 0: raise ValueError('数据')\n    return '数' * x\n", fixed)
	j := s.submit(program(source, `{"range":{"stop":500}}`), "Prefer", "wait=60")
	if j.Counts.Failed != 260 {
		t.Fatalf("%+v", j.Counts)
	}
	group := s.errors(j.ID)[0].ID.String()
	b.do(
		chromedp.Navigate(s.url+"/login?token="+adminToken),
		chromedp.WaitVisible(chromedp.CSS(`#jobs`)),
		chromedp.Navigate(s.url+"/jobs/"+j.ID),
		chromedp.WaitVisible(chromedp.CSS(`#job-failures tbody tr`)),
	)
	if got := eval[string](b, `document.querySelector("#job-failures tbody tr").innerText`); !strings.Contains(got, "250") || !strings.Contains(got, "no file number") || !strings.Contains(got, "program.py:3") {
		t.Errorf("the first cause: %q", got)
	}
	if got := eval[string](b, `document.querySelector("#job-results tbody tr:nth-child(5)").innerText`); !strings.Contains(got, "数数数数") {
		t.Errorf("the fifth result: %q", got)
	}
	for _, small := range eval[[]string](b, `[...document.querySelectorAll("#job-failures a, #job-failures button, #job-failures summary")]
		.filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 24).map(e => e.outerHTML)`) {
		t.Errorf("lower than 24 px: %s", small)
	}
	rows := func() string {
		return eval[string](b, `[...document.querySelectorAll("#results-rows tbody tr td:first-child")].map(e => e.innerText).filter((_, i, all) => i === 0 || i === all.length - 1).join(" to ") + " of " + document.querySelectorAll("#results-rows tbody tr").length`)
	}
	step := func(selector, want string) {
		t.Helper()
		b.do(chromedp.Click(chromedp.CSS(selector)))
		await(t, "tasks "+want, func() bool { return rows() == want })
	}
	step(`#job-failures tbody tr:first-child td:first-child a`, "1 to 199 of 100")
	step(`a[rel="next"]`, "201 to 399 of 100")
	step(`a[rel="next"]`, "401 to 499 of 50")
	step(`a[rel="prev"]`, "201 to 399 of 100")
	b.do(chromedp.SetValue(chromedp.CSS(`#from`), "4 3 0"))
	step(`.goto button`, "431 to 499 of 35")
	step(`.states a[href$="state=succeeded"]`, "2 to 208 of 100")
	b.do(
		chromedp.Navigate(s.url+"/jobs/"+j.ID+"/results?group="+group),
		chromedp.WaitVisible(chromedp.CSS(`.group button`)),
	)
	if err := os.WriteFile(fixed, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.do(
		chromedp.Click(chromedp.CSS(`.group button`)),
		chromedp.WaitVisible(chromedp.CSS(`#job-progress`)),
	)
	if j := s.ended(j.ID); j.State != jobs.Failed || j.Counts.Succeeded != 490 || j.Counts.Failed != 10 {
		t.Errorf("%s %+v", j.State, j.Counts)
	}
	await(t, "the other cause alone", func() bool {
		text := eval[string](b, `document.getElementById("job-failures").innerText`)
		return strings.Contains(text, "数据") && !strings.Contains(text, "no file")
	})
}

// TestPagesOfLargeOutputs checks that pages cut large outputs and link to the whole.
func TestPagesOfLargeOutputs(t *testing.T) {
	t.Parallel()
	s := serve(t)
	j := s.submit(program("def f(x): return ['数' * 700_000, x]\n", `{"items":[1,2,{"a":"ü"}]}`), "Prefer", "wait=60")
	for _, path := range []string{"/jobs/" + j.ID, "/jobs/" + j.ID + "/results", "/jobs/" + j.ID + "/tasks/2"} {
		if a := s.get(path, "Accept", "text/html"); a.StatusCode != 200 || len(a.text) > 200_000 || !strings.Contains(a.text, "数") || !strings.Contains(a.text, "MiB") {
			t.Errorf("%s: %d with %d bytes", path, a.StatusCode, len(a.text))
		}
	}
	api := "/api/v1/jobs/" + j.ID + "/tasks/"
	if a := s.get(api + "2/output"); a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(a.text, `["数数`) || !strings.HasSuffix(a.text, `{"a":"ü"}]`) {
		t.Errorf("%d %v %.20s", a.StatusCode, a.Header, a.text)
	}
	if a := s.get(api + "2/input"); a.StatusCode != 200 || a.text != `{"a":"ü"}` {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if a := s.get(api + "7/output"); a.StatusCode != 404 {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	for query, status := range map[string]int{"?from=x": 422, "?from=-1": 422, "?state=odd": 422, "?group=1": 422, "?group=0123456789abcdef": 200, "?from=99": 200, "?to=0": 200} {
		if a := s.get("/jobs/"+j.ID+"/results"+query, "Accept", "text/html"); a.StatusCode != status {
			t.Errorf("%s: %d", query, a.StatusCode)
		}
	}
}
