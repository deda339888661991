package http_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/allcores/allcores/internal/jobs"
)

// sleepers is a job of n tasks of 50 ms on the cores, one task per chunk.
func (s *server) sleepers(name string, n int) string {
	s.t.Helper()
	return s.submit(program("import time\ndef nap(x):\n    time.sleep(0.05)\n    return x\n", fmt.Sprintf(`{"range":{"stop":%d}}`, n),
		fmt.Sprintf(`,"name":%q,"queue":"cpu","policy":{"chunk_size":1}`, name))).ID
}

// slotsInUse returns the slots of a queue that the node reports.
func (s *server) slotsInUse(queue string) jobs.SlotUse {
	s.t.Helper()
	var list struct{ Items []jobs.Node }
	s.get("/api/v1/nodes").into(s.t, &list)
	for _, n := range list.Items {
		if n.ID == s.node {
			return n.Slots[queue]
		}
	}
	s.t.Fatal("the node is gone")
	return jobs.SlotUse{}
}

func TestCoresInTheBrowser(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := openTab(t)
	b.do(
		chromedp.Navigate(s.url+"/login?token="+adminToken+"&next=/nodes"),
		chromedp.WaitVisible(chromedp.CSS(`#nodes .cores`)),
	)
	eval[bool](b, `window.loadedOnce = true`)
	at := func(selector string) string {
		t.Helper()
		return eval[string](b, fmt.Sprintf(`[...document.querySelectorAll(%q)].map((e) => e.textContent.replace(/\s+/g, " ")).join("\n")`, selector))
	}
	if got := at("#nodes .cores li"); strings.Count(got, "\n") != 1 || !strings.Contains(got, "–") {
		t.Errorf("an idle node has the rows %q", got)
	}
	id := s.sleepers("many naps", 100_000)
	await(t, "both cores to show the job", func() bool { return strings.Count(at("#nodes .cores li"), "many naps") == 2 })
	// The bars move, and the running tasks go on.
	row := func() string {
		return eval[string](b, `document.querySelector("#nodes .cores li .turn small").textContent + " " + document.querySelector("#nodes .cores li .bar").innerHTML`)
	}
	seen := map[string]bool{}
	await(t, "live rows", func() bool {
		if strings.Contains(at("#nodes .cores li"), "many naps") {
			seen[row()] = true
		}
		return len(seen) >= 3
	})
	if got := at("#in-hand"); !strings.Contains(got, "many naps") || !strings.Contains(got, "2 turns") {
		t.Errorf("the key of running turns: %q", got)
	}
	colour := eval[string](b, `getComputedStyle(document.querySelector("#nodes .cores .swatch")).fill`)
	if same := eval[string](b, `getComputedStyle(document.querySelector("#in-hand .swatch")).fill`); colour != same || colour == "rgb(0, 0, 0)" {
		t.Errorf("the job is %s in its row and %s in the key", colour, same)
	}

	// Drain: running turns end, none begins, and the page shows both.
	press := func(selector string) {
		t.Helper()
		b.do(chromedp.Click(chromedp.CSS(selector)))
	}
	press(`form[action$="/drain"] button`)
	await(t, "the node to be drained", func() bool {
		return strings.Contains(at("#nodes"), "No turn is running") && !strings.Contains(at("#nodes .cores li"), "many naps")
	})
	if !strings.Contains(at("#nodes header .state"), "draining") || s.slotsInUse("cpu").Used != 0 {
		t.Errorf("%s, %+v", at("#nodes header"), s.slotsInUse("cpu"))
	}
	press(`form[action$="/resume"] button`)
	await(t, "the node to work again", func() bool { return strings.Count(at("#nodes .cores li"), "many naps") == 2 })
	if !eval[bool](b, `window.loadedOnce === true`) {
		t.Error("the page was loaded again")
	}
	b.do(
		chromedp.Navigate(s.url+"/jobs/"+id),
		chromedp.WaitVisible(chromedp.CSS(`#job-places .squares`)),
	)
	if n := eval[int](b, `document.querySelectorAll("#job-places rect[class^=job-]").length`); n != 2 {
		t.Errorf("the job's page shows it on %d cores", n)
	}
}

func TestQueuesInTheBrowser(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := openTab(t)
	id := s.sleepers("many naps", 100_000)
	b.do(
		chromedp.Navigate(s.url+"/login?token="+adminToken+"&next=/queues"),
		chromedp.WaitVisible(chromedp.CSS(`#queue-cpu`)),
	)
	eval[bool](b, `window.loadedOnce = true`)
	now := func() string { return eval[string](b, `document.getElementById("now-of-cpu").innerText`) }
	running := func(n int) func() bool {
		return func() bool { return s.slotsInUse("cpu").Used == n }
	}
	done := func() int64 {
		var j job
		s.get("/api/v1/jobs/"+id).into(t, &j)
		return j.Counts.Succeeded
	}
	await(t, "two turns", running(2))

	// Half as many per core: in force within 5 s, and shown.
	save := func(perCore string) {
		t.Helper()
		b.do(
			chromedp.SetValue(chromedp.CSS(`#per_core-of-cpu`), perCore),
			chromedp.Click(chromedp.CSS(`form[action="/queues/cpu"] button`)),
		)
	}
	save("0.5")
	began := time.Now()
	await(t, "one turn", running(1))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the new limit was in force after %v", took)
	}
	await(t, "the page to say so", func() bool { return strings.Contains(now(), "1 of 1") })
	save("1")
	await(t, "two turns again", running(2))
	await(t, "the page to say so", func() bool { return strings.Contains(now(), "2 of 2") })

	// A mistake is at its field, has the focus, and remains when the page is updated.
	save("lots")
	b.do(chromedp.WaitVisible(chromedp.CSS(`#error-per_core-of-cpu`)))
	if got := eval[string](b, `document.activeElement.id`); got != "per_core-of-cpu" {
		t.Errorf("the focus is at %q", got)
	}
	eval[bool](b, `window.patches = 0; document.addEventListener("patched", () => window.patches++); true`)
	await(t, "patches of the stream", func() bool { return eval[int](b, `window.patches`) >= 2 })
	if !eval[bool](b, `!!document.getElementById("error-per_core-of-cpu") && document.getElementById("per_core-of-cpu").value === "lots"`) {
		t.Error("the stream wiped the message away")
	}
	save("1")
	await(t, "the message to go", func() bool { return !eval[bool](b, `!!document.getElementById("error-per_core-of-cpu")`) })

	press := func(selector string) {
		t.Helper()
		b.do(chromedp.Click(chromedp.CSS(selector)))
	}
	press(`form[action="/queues/cpu/pause"] button`)
	await(t, "the queue to be paused", func() bool { return strings.Contains(now(), "paused") && s.slotsInUse("cpu").Used == 0 })
	before := done()
	eval[bool](b, `window.patches = 0; true`)
	await(t, "a second of the pause", func() bool { return eval[int](b, `window.patches`) >= 1 })
	if after := done(); after != before {
		t.Errorf("%d tasks ran while their queue was paused", after-before)
	}
	press(`form[action="/queues/cpu/resume"] button`)
	await(t, "tasks to run again", func() bool { return done() > before })
	await(t, "the page to say so", func() bool { return strings.Contains(now(), "running") })
	checkDeleteAndAdd(t, b, press)
}

// checkDeleteAndAdd checks that a queue with work cannot be deleted, and adds one.
func checkDeleteAndAdd(t *testing.T, b *tab, press func(string)) {
	t.Helper()
	// Deleting it is refused.
	press(`[popovertarget="delete-of-cpu"]`)
	press(`form[action="/queues/cpu/delete"] [type=submit]`)
	b.do(chromedp.WaitVisible(chromedp.CSS(`[role=alert]`)))
	if got := eval[string](b, `document.activeElement.textContent`); !strings.Contains(got, "cpu was not deleted") {
		t.Errorf("the focus is at %q", got)
	}
	// A new one.
	press(`#add-queue summary`)
	b.do(
		chromedp.SetValue(chromedp.CSS(`#new-queue-name`), "gpu"),
		chromedp.Click(chromedp.CSS(`#add-queue [type=submit]`)),
		chromedp.WaitVisible(chromedp.CSS(`#queue-gpu`)),
	)
	if !eval[bool](b, `window.loadedOnce === true && document.getElementById("new-queue-name").value === ""`) {
		t.Error("the page was loaded again, or the form is not empty")
	}
	// The charts show the turns with the next samples.
	await(t, "a chart", func() bool {
		return strings.Contains(eval[string](b, `document.getElementById("rate-of-cpu")?.textContent ?? ""`), "/s")
	})
}
