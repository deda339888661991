package http_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// shifts adds up how far a page's content shifted, and names the elements that did.
const shifts = `
	window.moved = 0; window.movers = [];
	new PerformanceObserver((list) => {
		for (const e of list.getEntries()) {
			if (e.hadRecentInput) continue;
			moved += e.value;
			movers.push(e.value.toFixed(3) + " " + e.sources.map(({ node, previousRect, currentRect }) => {
				const el = node?.nodeType === 1 ? node : node?.parentElement;
				return (el ? el.nodeName + "#" + el.id + "." + el.getAttribute("class") : "?") + " from " + previousRect.y + " to " + currentRect.y;
			}).join(", "));
		}
	}).observe({ type: "layout-shift", buffered: true });`

// barriers lists what keeps readers from using the page: landmarks of one name,
// ids that stand twice, controls without a name, and targets of less than 24 by
// 24 pixels without as much room around them. Links within a sentence may be
// small.
const barriers = `(() => {
	const found = [];
	const report = (el, what) => found.push(what + ": " + el.outerHTML.slice(0, 120));
	const seen = (el) => el.checkVisibility({ visibilityProperty: true }) && !el.closest(".hidden");
	const name = (el) => (el.getAttribute("aria-label") || (el.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ")
		|| [...(el.labels ?? [])].map((l) => l.textContent).join(" ")).trim();
	const marks = new Set();
	for (const el of document.querySelectorAll("main, nav, aside, search, section, form, [role=region], body > header, body > footer")) {
		const role = { SECTION: "region", NAV: "navigation" }[el.nodeName] ?? el.getAttribute("role") ?? el.nodeName;
		const key = role + " " + name(el).replace(/\s+/g, " ");
		if ((role === "region" || role === "FORM") && !name(el) || !seen(el)) continue;
		if (marks.has(key)) report(el, "a landmark of the same name");
		marks.add(key);
	}
	const ids = new Set();
	for (const { id } of document.querySelectorAll("[id]")) {
		if (ids.has(id)) found.push("an id that stands twice: " + id);
		ids.add(id);
	}
	const targets = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [role=button]")].filter(seen);
	for (const el of targets) {
		if (!name(el) && !el.textContent.trim() && !el.title) report(el, "no name");
	}
	const boxes = targets.map((el) => [el, el.getBoundingClientRect()]).filter(([, b]) => b.width && b.height);
	const small = (b) => b.width < 23.5 || b.height < 23.5;
	const inText = (el) => getComputedStyle(el).display === "inline" && [...el.parentElement.childNodes].some((n) => n.nodeType === 3 && /\w/.test(n.nodeValue));
	const middle = (b) => [b.x + b.width / 2, b.y + b.height / 2];
	for (const [el, b] of boxes) {
		if (!small(b) || inText(el) || el.matches("input[type=radio], input[type=checkbox]")) continue;
		const [x, y] = middle(b);
		const near = boxes.find(([other, o]) => {
			if (other === el || other.contains(el) || el.contains(other)) return false;
			const dx = Math.max(o.left - x, 0, x - o.right), dy = Math.max(o.top - y, 0, y - o.bottom);
			const [ox, oy] = middle(o);
			return Math.hypot(dx, dy) < 11.9 || small(o) && Math.hypot(ox - x, oy - y) < 23.9;
		});
		if (near) report(el, "a target of " + Math.round(b.width) + " by " + Math.round(b.height) + " beside another");
	}
	return found;
})()`

// TestBrowserPagesStandStill checks that no page shifts while it is read, and that
// none has a barrier for its readers.
func TestBrowserPagesStandStill(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := openTab(t)
	const source = "import time\ndef nap(x):\n    time.sleep(0.02)\n    print('nap', x)\n    if x % 9 == 4:\n        raise ValueError('bad value %d' % x)\n    return {'x': x}\n"
	ended := s.submit(program(source, `{"range":{"stop":40}}`, `,"tags":["one"]`)).ID
	s.ended(ended)
	if _, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: shifts}); err != nil {
		t.Fatal(err)
	}
	check := func(what string) {
		t.Helper()
		if moved := eval[float64](b, `moved`); moved >= 0.05 {
			t.Errorf("%s moved by %.3f:\n%s", what, moved, strings.Join(eval[[]string](b, `movers`), "\n"))
		}
		for _, barrier := range eval[[]string](b, barriers) {
			t.Errorf("%s: %s", what, barrier)
		}
	}
	b.visit(s.url+"/login", "#token")
	check("the sign-in")
	b.visit(s.url+"/login?token="+adminToken, "#jobs")
	for _, width := range []int64{1280, 400} {
		b.do(chromedp.EmulateViewport(width, 900))
		for _, path := range []string{"/", "/jobs/new", "/jobs/new?example=files", "/jobs/new?from=" + ended, "/jobs/" + ended, "/jobs/" + ended + "/tasks/4", "/queues", "/nodes", "/docs", "/nowhere"} {
			b.visit(s.url+path, "main")
			// Wait until scripts have drawn what they fetch.
			await(t, path+" at rest", func() bool {
				return eval[bool](b, `document.readyState === "complete" && !(document.getElementById("timeline-box") && !document.getElementById("timeline-canvas").style.height)`)
			})
			check(fmt.Sprintf("%s, %d wide", path, width))
		}
		// A job from its first task to its end.
		id := s.submit(program(source, `{"range":{"stop":150}}`, `,"policy":{"processes":2}`)).ID
		b.visit(s.url+"/jobs/"+id, "#job-progress")
		await(t, "the job's end on the page", func() bool {
			return strings.Contains(b.text("#job-title .state"), "failed") && eval[string](b, `document.getElementById("live").dataset.state`) == "ended"
		})
		check(fmt.Sprintf("a fresh job, %d wide", width))
	}
}
