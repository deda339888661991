package http_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
)

func TestRiverIsForAdmins(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	user, viewer := s.user("someone", jobs.Submitter), s.user("watcher", jobs.Viewer)
	for _, path := range []string{"/admin/river", "/admin/river/", "/admin/river/jobs/1", "/admin/river/api/jobs", "/admin/river/assets/x.js"} {
		for _, token := range []string{user, viewer} {
			if a := s.get(path, "Authorization", "Bearer "+token); a.StatusCode != http.StatusForbidden {
				t.Errorf("%s: %d", path, a.StatusCode)
			}
		}
		a := s.get(path, "Authorization", "")
		if strings.Contains(path, "/api/") {
			if a.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s signed out: %d", path, a.StatusCode)
			}
		} else if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), "/login?next=%2Fadmin%2Friver") {
			t.Errorf("%s signed out: %d to %s", path, a.StatusCode, a.Header.Get("Location"))
		}
	}
	if a := s.get("/admin/river"); a.StatusCode != http.StatusMovedPermanently || a.Header.Get("Location") != "/admin/river/" {
		t.Errorf("%d to %s", a.StatusCode, a.Header.Get("Location"))
	}
	for _, path := range []string{"/admin/river/", "/admin/river/queues/a.b", "/admin/river/jobs/1?x=y"} {
		a := s.get(path, "Accept", "text/html")
		policy := a.Header.Get("Content-Security-Policy")
		if a.StatusCode != http.StatusOK || !strings.Contains(a.text, `<div id="root"`) || !strings.Contains(a.text, `src="/static/river.`) {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.text)
		}
		if !strings.Contains(policy, "default-src 'self'") || strings.Contains(policy, "script-src") || strings.Contains(policy, "unsafe-eval") {
			t.Errorf("%s: policy %s", path, policy)
		}
	}
	if policy := s.get("/").Header.Get("Content-Security-Policy"); strings.Contains(policy, "unsafe") {
		t.Errorf("the policy of other pages: %s", policy)
	}
	for token, want := range map[string]bool{adminToken: true, user: false, viewer: false} {
		if got := strings.Contains(s.get("/", "Authorization", "Bearer "+token).text, `href="/admin/river/"`); got != want {
			t.Errorf("the link is there: %t, want %t", got, want)
		}
	}

	// Requests that change something must come from a page of this site.
	cookie, _ := s.signIn(adminToken)
	for site, want := range map[string]int{"cross-site": http.StatusForbidden, "same-site": http.StatusForbidden, "same-origin": http.StatusOK} {
		a := s.call("PUT", "/admin/river/api/queues/cpu/pause", "", "Authorization", "", "Cookie", cookie.Name+"="+cookie.Value, "Sec-Fetch-Site", site)
		if a.StatusCode != want && !(site == "same-origin" && a.StatusCode == http.StatusNotFound) { // no worker has registered the queue with River
			t.Errorf("%s: %d %s", site, a.StatusCode, a.text)
		}
	}
}

// turns returns the ids of the turns in a state, as River's pages list them.
func (s *server) turns(state string) []string {
	s.t.Helper()
	a := s.get("/admin/river/api/jobs?limit=1000&state=" + state)
	if a.StatusCode != http.StatusOK {
		s.t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	var list struct{ Data []struct{ ID json.Number } }
	a.into(s.t, &list)
	var ids []string
	for _, turn := range list.Data {
		ids = append(ids, turn.ID.String())
	}
	return ids
}

// inRiver applies an action of River's pages to turns.
func (s *server) inRiver(verb string, ids []string) {
	s.t.Helper()
	body, err := json.Marshal(map[string]any{"ids": ids})
	if err != nil {
		s.t.Fatal(err)
	}
	if a := s.call("POST", "/admin/river/api/jobs/"+verb, string(body), "Content-Type", "application/json"); a.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %d %s", verb, a.StatusCode, a.text)
	}
}

// TestTurnsThatVanish checks that a job whose turns an admin cancelled or deleted in
// River continues by itself.
func TestTurnsThatVanish(t *testing.T) {
	t.Parallel()
	const source = "import time\ndef f(x):\n    time.sleep(0.02)\n    return x\n"
	const limit = 30 * time.Second
	check := func(t *testing.T, s *server, id string, since time.Time) {
		t.Helper()
		if j := s.ended(id); j.State != jobs.Succeeded || j.Counts.Succeeded != j.Counts.Total {
			t.Errorf("%s %+v %s", j.State, j.Counts, j.Reason)
		}
		if took := time.Since(since); took > limit {
			t.Errorf("it took %v to go on and end", took)
		}
	}
	t.Run("queued", func(t *testing.T) {
		t.Parallel()
		url := template.New(t)
		s := serveAt(t, url, engine.RoleWeb) // nothing executes yet
		cancelled := s.submit(program(source, `{"range":{"stop":20}}`)).ID
		s.inRiver("cancel", s.turns("available"))
		deleted := s.submit(program(source, `{"range":{"stop":20}}`)).ID
		s.inRiver("delete", s.turns("available"))
		if left := s.turns("available"); len(left) > 0 {
			t.Fatalf("turns are left: %v", left)
		}
		began := time.Now()
		serveAt(t, url, engine.RoleAll)
		check(t, s, cancelled, began)
		check(t, s, deleted, began)
		// A turn that runs again after its job has ended does nothing.
		await(t, "the turns are completed", func() bool { return len(s.turns("running")) == 0 })
		s.inRiver("retry", slices.Concat(s.turns("completed"), s.turns("cancelled")))
		await(t, "they are completed again", func() bool {
			return len(s.turns("running"))+len(s.turns("available"))+len(s.turns("retryable"))+len(s.turns("cancelled")) == 0
		})
		check(t, s, cancelled, time.Now())
	})
	t.Run("running", func(t *testing.T) {
		t.Parallel()
		url := template.New(t)
		s := serveAt(t, url, engine.RoleWeb)
		serveAt(t, url, engine.RoleAll)
		id := s.submit(program(source, `{"range":{"stop":500}}`, `,"policy":{"processes":2}`)).ID
		counts := func() jobs.Counts {
			var j job
			s.get("/api/v1/jobs/"+id).into(t, &j)
			return j.Counts
		}
		await(t, "it runs", func() bool { return counts().Succeeded > 20 })
		began := time.Now()
		s.inRiver("cancel", slices.Concat(s.turns("running"), s.turns("available")))
		await(t, "the turns are cancelled", func() bool {
			return len(s.turns("cancelled")) == 2 && len(s.turns("running"))+len(s.turns("available")) == 0
		})
		if c := counts(); c.Running != 0 || c.Failed != 0 || c.Waiting == 0 {
			t.Errorf("without turns: %+v", c)
		}
		s.inRiver("delete", s.turns("cancelled"))
		check(t, s, id, began)
	})
}

// TestQueuePausedInRiver checks that a queue paused in River is shown as paused, and
// can be resumed on its page.
func TestQueuePausedInRiver(t *testing.T) {
	t.Parallel()
	s := serve(t)
	paused := func() bool {
		var q jobs.Queue
		s.get("/api/v1/queues/io").into(t, &q)
		return q.Paused
	}
	await(t, "River knows the queue", func() bool { return s.get("/admin/river/api/queues/io").StatusCode == http.StatusOK })
	if a := s.call("PUT", "/admin/river/api/queues/io/pause", ""); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	if !paused() {
		t.Error("the queue does not say that it is paused")
	}
	await(t, "the node has noticed", func() bool {
		return s.scrape().value(t, "allcores_slots", "queue", "io") == 0
	})
	id := s.submit(program(squares, `{"range":{"stop":20}}`, `,"queue":"io"`)).ID
	var j job
	s.get("/api/v1/jobs/"+id+"?wait=1").into(t, &j)
	if j.Counts.Waiting != 20 {
		t.Errorf("tasks run in a paused queue: %+v", j.Counts)
	}
	if a := s.call("POST", "/api/v1/queues/io/resume", ""); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	if paused() {
		t.Error("the queue says that it is paused")
	}
	if j := s.ended(id); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
}

// TestRiverInBrowser checks that River's pages work in a browser without errors.
func TestRiverInBrowser(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := openTab(t)
	s.ended(s.submit(program(squares, `{"range":{"stop":20}}`)).ID)
	complaints := make(chan string, 100)
	go func() {
		for m, err := range chromedp.Events(b.ctx, log.EntryAdded) {
			if err != nil {
				return
			}
			complaints <- string(m.Entry.Level) + ": " + m.Entry.Text
		}
	}()
	go func() {
		for m, err := range chromedp.Events(b.ctx, runtime.ConsoleAPICalled) {
			if err != nil {
				return
			}
			complaints <- "console." + string(m.Type)
		}
	}()
	b.do(chromedp.Navigate(s.url+"/login?token="+adminToken+"&next=%2Fadmin%2Friver%2Fjobs%3Fstate%3Dcompleted"),
		chromedp.WaitVisible(chromedp.CSS(`a[href*="/admin/river/jobs/"]`)))
	await(t, "a turn is listed", func() bool { return eval[bool](b, `document.body.innerText.includes("\"lane\"")`) })
	b.do(chromedp.Click(chromedp.CSS(`a[href*="/admin/river/jobs/"]`)))
	await(t, "the turn is shown", func() bool { return eval[bool](b, `document.body.innerText.includes("Job Details")`) })
	b.do(chromedp.Navigate(s.url + "/admin/river/queues/cpu"))
	if got := b.text("#allcores"); !strings.Contains(got, "internal turns of Allcores") || !eval[bool](b, `(() => {
		const link = document.querySelector("#allcores > a"), box = link.getBoundingClientRect();
		return link.pathname === "/" && document.elementFromPoint(box.x + 5, box.y + 5) === link;
	})()`) {
		t.Errorf("the banner says %q, or its link is covered", got)
	}
	press := func(label string) {
		t.Helper()
		await(t, label, func() bool {
			return eval[bool](b, `(b => { if (b) b.click(); return !!b })([...document.querySelectorAll("button")].find(b => b.innerText.trim() == "`+label+`"))`)
		})
	}
	press("Pause")
	await(t, "the queue is paused", func() bool { return eval[bool](b, `document.body.innerText.includes("Resume")`) })
	if text := s.get("/queues").text; !strings.Contains(text, "paused") {
		t.Error("our page does not say that the queue is paused")
	}
	press("Resume")
	await(t, "the queue goes on", func() bool { return eval[bool](b, `document.body.innerText.includes("Active")`) })
	for {
		select {
		case text := <-complaints:
			t.Error(text)
		default:
			return
		}
	}
}
