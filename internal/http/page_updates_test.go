package http_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/allcores/allcores/internal/jobs/engine"
)

// TestStreamsOutliveAnOutage checks that streams of pages report when the database
// does not answer and when it answers again, and that all streams then continue by
// themselves.
func TestStreamsOutliveAnOutage(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*line){"cut": (*line).cut, "lost": (*line).lose} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, line := serveThrough(t, engine.RoleWeb)
			id := s.submit(`{"name":"patient","program":{"command":{"argv":["true"]}},"inputs":{"open":true}}`).ID
			page, both := s.read("/jobs/"+id+"/live"), s.read("/pages/live?page=/live&page=/nodes/live")
			events := s.read("/api/v1/jobs/" + id + "/events")
			for _, r := range []*reader{page, both, events} {
				await(t, "the beginning", func() bool { return r.saw("patient") })
			}
			for n := range 2 {
				fail(line)
				for _, r := range []*reader{page, both} {
					within(t, 3*time.Second, "streams say that it is away", func() bool { return r.count("status") == 2*n+1 })
				}
				if a := s.get("/jobs/"+id, "Accept", "text/html"); a.StatusCode != http.StatusServiceUnavailable || !strings.Contains(a.text, "/static/retry.") {
					t.Errorf("a page: %d %s", a.StatusCode, cut(a.text))
				}
				line.mend()
				for _, r := range []*reader{page, both} {
					within(t, 3*time.Second, "streams say that it is back", func() bool { return r.count("status") == 2*n+2 })
				}
				await(t, "an append", func() bool {
					a := s.call("POST", "/api/v1/jobs/"+id+"/tasks", "1", "Content-Type", "application/x-ndjson", "Idempotency-Key", fmt.Sprint("append ", n))
					return a.StatusCode == http.StatusOK
				})
				within(t, 3*time.Second, "events go on", func() bool { return events.saw(fmt.Sprintf(`"total":%d,`, n+1)) })
				within(t, 3*time.Second, "the page goes on", func() bool { return page.saw(fmt.Sprintf(` max="%d"`, n+1)) })
			}
			for _, r := range []*reader{page, both, events} {
				if r.over() {
					t.Error("a stream has ended")
				}
			}
			if events.count("status") > 0 {
				t.Error("scripts receive events of pages")
			}
		})
	}
}

// count returns how many events of that name arrived.
func (r *reader) count(name string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.name == name {
			n++
		}
	}
	return n
}

// another opens one more tab of the same browser.
func (b *tab) another() *tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	b.t.Cleanup(cancel)
	// The first call opens the tab. A deadline here would end the tab.
	if err := chromedp.Do(ctx); err != nil {
		b.t.Fatal(err)
	}
	return &tab{b.t, ctx, cancel}
}

const dot = `(document.getElementById("live")?.dataset.state ?? "")`

// TestTabsShareAConnection checks that all tabs of a browser share one stream: a
// browser opens six connections to a server, and pages must still load.
func TestTabsShareAConnection(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	first := openTab(t)
	first.do(chromedp.Navigate(s.url + "/login?token=" + adminToken))
	tabs, paths := []*tab{first}, []string{"/", "/queues", "/nodes"}
	var ids []string
	for range 5 {
		id := s.manual(2)
		ids = append(ids, id)
		paths = append(paths, "/jobs/"+id)
	}
	paths = append(paths, paths[4]) // twice the same page
	for i, path := range paths {
		if i > 0 {
			tabs = append(tabs, first.another())
		}
		tabs[i].do(chromedp.Navigate(s.url + path))
	}
	for i, b := range tabs {
		await(t, paths[i]+" is live", func() bool { return eval[string](b, dot) == "live" })
	}
	one := func(when string) {
		t.Helper()
		await(t, "one stream "+when, func() bool { guests, _ := s.site.Streams(); return guests == 1 })
	}
	one("for all tabs")
	// Each page shows changes, in each of its tabs.
	for _, id := range ids {
		s.record(id, s.lease(id, 1))
	}
	for i, b := range tabs[3:] {
		await(t, "the change in "+paths[3+i], func() bool {
			return eval[string](b, `document.getElementById("progress").getAttribute("value")`) == "1"
		})
	}
	await(t, "the change in the list", func() bool {
		return eval[bool](first, fmt.Sprintf(`document.getElementById("job-%s").textContent.includes("1/ 2") || document.getElementById("job-%[1]s").textContent.includes("running")`, ids[0]))
	})
	one("after the changes")
	// A stream that ends does so for its tabs alone.
	s.record(ids[1], s.lease(ids[1], 1))
	for _, b := range []*tab{tabs[4], tabs[8]} {
		await(t, "the end of a job", func() bool { return eval[string](b, dot) == "ended" })
	}
	if got := eval[string](tabs[5], dot); got != "live" {
		t.Errorf("another page is %s", got)
	}
	// Hidden tabs fetch nothing.
	hide := func(b *tab, hidden bool) {
		eval[bool](b, fmt.Sprintf(`Object.defineProperty(document, "hidden", {value: %t, configurable: true}), document.dispatchEvent(new Event("visibilitychange"))`, hidden))
	}
	for _, b := range tabs {
		hide(b, true)
	}
	await(t, "no stream for nobody", func() bool { guests, _ := s.site.Streams(); return guests == 0 })
	if got := eval[string](tabs[5], dot); got != "paused" {
		t.Errorf("a hidden page is %s", got)
	}
	s.record(ids[2], s.lease(ids[2], 1))
	hide(tabs[5], false)
	await(t, "the end of a job that was hidden", func() bool { return eval[string](tabs[5], dot) == "ended" })
	hide(first, false)
	one("for who is looked at")
	// A user who was signed out is redirected to the form.
	tabs[1].do(chromedp.Evaluate[chromedp.Void](`document.querySelector("form[action='/logout']").submit()`))
	s.site.Recheck()
	await(t, "the form in another tab", func() bool { return eval[string](first, `location.pathname`) == "/login" })
}

// TestPagesOutliveAnOutage checks that an open page shows when the database is
// unreachable, and continues by itself. A page loaded meanwhile appears once the
// database answers.
func TestPagesOutliveAnOutage(t *testing.T) {
	t.Parallel()
	s, line := serveThrough(t, engine.RoleWeb)
	b := openTab(t)
	id := s.manual(3)
	b.do(chromedp.Navigate(s.url+"/login?token="+adminToken), chromedp.Navigate(s.url+"/jobs/"+id))
	other := b.another()
	banner := `document.getElementById("trouble").textContent`
	await(t, "a live page", func() bool { return eval[string](b, dot) == "live" })
	eval[bool](b, `window.loadedOnce = true`)
	lease := s.lease(id, 1)

	line.cut()
	within(t, 3*time.Second, "the banner", func() bool {
		return strings.HasPrefix(eval[string](b, banner), "The database does not answer.")
	})
	if got := eval[string](b, `getComputedStyle(document.getElementById("trouble").firstChild).display + document.getElementById("trouble").role`); got != "flexstatus" {
		t.Errorf("the banner is %s", got)
	}
	other.do(chromedp.Navigate(s.url + "/jobs/" + id))
	if got := eval[string](other, `document.querySelector("h1").textContent + document.querySelector("main").innerText`); !strings.HasPrefix(got, "503") || !strings.Contains(got, "asks again by itself") {
		t.Errorf("a page that is loaded: %s", got)
	}
	line.mend()
	await(t, "the record", func() bool { return s.store.Ready(context.Background()) == nil })
	s.record(id, lease)
	within(t, 3*time.Second, "no banner, and what is true now", func() bool {
		return eval[string](b, banner) == "" && eval[string](b, `document.getElementById("progress").getAttribute("value")`) == "1"
	})
	within(t, 4*time.Second, "the page that could not be loaded", func() bool {
		return eval[bool](other, `!!document.getElementById("job-progress")`)
	})
	if !eval[bool](b, `window.loadedOnce === true`) {
		t.Error("the page was loaded again")
	}
}
