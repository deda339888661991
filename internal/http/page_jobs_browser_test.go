package http_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/allcores/allcores/internal/jobs"
)

// presses sends a key event to an element.
func (b *tab) presses(selector, key string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf(`document.querySelector(%q).dispatchEvent(new KeyboardEvent("keydown", {key: %q, bubbles: true, cancelable: true}))`, selector, key))
}

// typed sets the text of the search box as typing does.
func (b *tab) typed(text string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf(`(() => { const box = document.getElementById("search"); box.focus(); box.value = %q; box.dispatchEvent(new InputEvent("input", {bubbles: true})); return true })()`, text))
}

func (b *tab) awaits(condition string) {
	b.t.Helper()
	await(b.t, condition, func() bool { return eval[bool](b, "!!("+condition+")") })
}

func TestBrowserSelectsJobs(t *testing.T) {
	t.Parallel()
	s := serve(t, true) // nothing executes
	b := openTab(t)
	var ids []string
	for i := range 60 {
		ids = append(ids, s.submit(program(squares, `{"items":[1]}`, fmt.Sprintf(`,"name":"job %02d","tags":["tango","t%d"]`, i, i%2))).ID)
	}
	b.do(
		chromedp.Navigate(s.url+"/login?token="+adminToken),
		chromedp.WaitVisible(chromedp.CSS(`#jobs tbody tr`)),
	)
	b.awaits(`document.getElementById("search").getAttribute("role") === "combobox" && document.getElementById("live").dataset.state === "live"`)
	checkSuggestions(t, b)

	// A range, which survives an update of the list, another page and Back.
	count := `document.querySelector("#bulk .count").textContent`
	click := func(row int, shift bool) {
		eval[bool](b, fmt.Sprintf(`document.querySelectorAll("[data-pick]")[%d].dispatchEvent(new MouseEvent("click", {bubbles: true, cancelable: true, shiftKey: %t}))`, row, shift))
	}
	click(1, false)
	click(4, true)
	b.awaits(count + ` === "4 jobs selected" && document.querySelectorAll("[data-pick]:checked").length === 4`)
	s.submit(program(squares, `{"items":[1]}`, `,"name":"new"`))
	b.awaits(`document.querySelector("#jobs tbody a[data-open]").textContent === "new"`)
	if got := eval[string](b, `[...document.querySelectorAll("tr:has([data-pick]:checked) a[data-open]")].map((a) => a.textContent).join()`); got != "job 58,job 57,job 56,job 55" {
		t.Errorf("selected after an update: %s", got)
	}
	b.do(chromedp.Click(chromedp.CSS(`.pager a[rel="next"]`)), chromedp.WaitVisible(chromedp.CSS(`.pager a[rel="prev"]`)))
	b.awaits(count + ` === "4 jobs selected, 4 not shown here"`)
	b.do(chromedp.NavigateBack())
	b.awaits(`!document.querySelector('.pager a[rel="prev"]') && document.querySelectorAll("[data-pick]:checked").length === 4`)

	// The action, and the refused jobs.
	s.call("POST", "/api/v1/jobs/"+ids[55]+"/cancel", "")
	b.do(chromedp.Click(chromedp.CSS(`#bulk [data-action="pause"]`)))
	b.awaits(`document.querySelector("#bulk .result").textContent.startsWith("3 jobs paused, 1 refused1: The job has already ended")`)
	b.awaits(`document.querySelectorAll("#jobs .state.paused").length === 3 && document.querySelectorAll("[data-pick]:checked").length === 1`)
	// All jobs that match, on every page.
	b.do(chromedp.Navigate(s.url+"/?q=name:job"), chromedp.WaitVisible(chromedp.CSS(`#jobs tbody tr`)))
	b.awaits(`document.getElementById("bulk").hidden`)
	b.do(chromedp.Click(chromedp.CSS(`#pick-all`)))
	b.awaits(count + ` === "50 jobs selected"`)
	b.do(chromedp.Click(chromedp.CSS(`#bulk .every`)))
	b.awaits(count + ` === "All 60 matching jobs selected"`)
	b.do(chromedp.Click(chromedp.CSS(`[popovertarget="bulk-tag"]`)), chromedp.WaitVisible(chromedp.CSS(`#bulk-tags`)),
		chromedp.SetValue(chromedp.CSS(`#bulk-tags`), "marked"), chromedp.Click(chromedp.CSS(`#bulk-tag [value="tag"]`)))
	b.awaits(`document.querySelector("#bulk .result").textContent === "60 jobs tagged"`)
	if got := s.names("tag:marked"); len(got) != 50 {
		t.Errorf("%d jobs are tagged on the first page", len(got))
	}
	checkRows(t, s, b, ids)
}

// checkSuggestions completes search terms by keys alone.
func checkSuggestions(t *testing.T, b *tab) {
	t.Helper()
	options := `[...document.querySelectorAll("#suggestions [role=option]")].map((o) => o.dataset.text).join(" ")`
	b.typed("-tag:t0 sta")
	b.awaits(options + ` === "state:"`)
	if got := eval[string](b, `document.getElementById("search").value`); got != "-tag:t0 sta" {
		t.Errorf("the box was rewritten: %q", got)
	}
	b.presses("#search", "ArrowDown")
	if got := eval[string](b, `document.getElementById(document.getElementById("search").getAttribute("aria-activedescendant")).dataset.text`); got != "state:" {
		t.Errorf("active: %q", got)
	}
	b.presses("#search", "Enter")
	b.awaits(options + `.startsWith("state:running state:queued")`)
	b.presses("#search", "Escape")
	b.typed("tag:t")
	b.awaits(options + ` === "tag:tango tag:t0 tag:t1"`)
	b.presses("#search", "ArrowUp")
	b.presses("#search", "Enter")
	if got := eval[string](b, `document.getElementById("search").value + document.getElementById("suggestions").hidden`); got != "tag:t1 true" {
		t.Errorf("chosen: %q", got)
	}
	b.typed("owner:a")
	b.awaits(options + ` === "owner:admin"`)
	b.typed("")
	b.presses("#search", "Escape")
	eval[bool](b, `(document.activeElement.blur(), true)`)
}

// checkRows sorts the list, opens a row and deletes its job.
func checkRows(t *testing.T, s *server, b *tab, ids []string) {
	t.Helper()
	// The address and aria-sort have the order.
	b.do(chromedp.Click(chromedp.CSS(`.c-age a`)), chromedp.WaitVisible(chromedp.CSS(`.c-age[aria-sort="descending"]`)))
	if got := eval[string](b, `location.search + document.querySelector("#jobs tbody a[data-open]").textContent`); got != "?q=name%3Ajob&sort=createdjob 00" {
		t.Errorf("sorted: %s", got)
	}
	// A click beside the link opens the row; selecting text does not.
	b.do(chromedp.Click(chromedp.CSS(`#jobs tbody tr:first-child .c-bar`)), chromedp.WaitVisible(chromedp.CSS(`#job-title`)))
	if got := eval[string](b, `location.pathname`); got != "/jobs/"+ids[0] {
		t.Errorf("the row leads to %s", got)
	}

	// Delete on the job's page asks first.
	s.call("POST", "/api/v1/jobs/"+ids[0]+"/cancel", "")
	b.do(
		chromedp.Navigate(s.url+"/jobs/"+ids[0]),
		chromedp.Click(chromedp.CSS(`[popovertarget="delete"]`)),
		chromedp.WaitVisible(chromedp.CSS(`#delete button[type="submit"]`)),
	)
	if a := s.get("/api/v1/jobs/" + ids[0]); a.StatusCode != 200 {
		t.Error("it is deleted before it is confirmed")
	}
	b.do(chromedp.Click(chromedp.CSS(`#delete button[type="submit"]`)), chromedp.WaitVisible(chromedp.CSS(`#jobs tbody tr`)))
	if a := s.get("/api/v1/jobs/" + ids[0]); a.StatusCode != 404 {
		t.Errorf("deleted: %d", a.StatusCode)
	}
	if a := s.call("POST", "/jobs/"+ids[1]+"/delete", ""); a.StatusCode != 409 || !strings.Contains(a.text, jobs.BulkDelete.Conflict()) {
		t.Errorf("a job that has not ended: %d", a.StatusCode)
	}
}
