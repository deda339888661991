package http_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// typeSource types a source into the form of a new job.
func (b *tab) typeSource(source string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf(`(() => {
		const area = document.getElementById("source");
		area.value = %q;
		area.dispatchEvent(new InputEvent("input", { bubbles: true }));
		return true;
	})()`, source))
}

func (b *tab) text(selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf(`document.querySelector(%q)?.textContent ?? ""`, selector))
}

// press clicks the button labelled word.
func (b *tab) press(within, word string) {
	b.t.Helper()
	found := eval[bool](b, fmt.Sprintf(`(() => {
		const button = [...document.querySelectorAll(%q)].find((e) => e.textContent.trim() === %q);
		button?.click();
		return !!button;
	})()`, within+" button", word))
	if !found {
		b.t.Fatalf("no button %q in %s: %q", word, within, b.text(within))
	}
}

func (b *tab) visit(url, selector string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url), chromedp.WaitVisible(chromedp.CSS(selector)))
}

// offline makes requests fail as with a server that is down.
func (b *tab) offline(is bool) {
	b.t.Helper()
	var rules []*network.Conditions
	if is {
		rules = append(rules, &network.Conditions{Offline: true})
	}
	_, err := chromedp.Call(b.ctx, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: rules})
	if err != nil {
		b.t.Fatal(err)
	}
}

const typedSource = "def mine(x):\n    return x + 41\n"

// TestBrowserKeepsWhatIsTyped checks that the form never loses its contents, whatever
// interrupts the user.
func TestBrowserKeepsWhatIsTyped(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	b := openTab(t)
	b.visit(s.url+"/login?token="+adminToken+"&next=/jobs/new", "#source")
	f := draftForm{tab: b, s: s}
	served := f.source()
	if got := b.text("#draft"); got != "" {
		t.Errorf("a fresh form says %q", got)
	}
	b.typeSource(typedSource)
	eval[bool](b, `(document.getElementById("timeout").value = "5s", document.getElementById("inputs-lines").click(), document.getElementById("lines").value = "one\ntwo", true)`)

	// Leave and come back, by a link and in another tab.
	b.visit(s.url+"/queues", "#queues")
	b.visit(s.url+"/jobs/new", "#source")
	if got := b.text("#draft"); !strings.HasPrefix(got, "Restored what you typed just now.") {
		t.Errorf("the notice is %q", got)
	}
	if f.source() != typedSource || f.state() != typedState {
		t.Errorf("after coming back: %q, %q", f.source(), f.state())
	}
	eval[bool](b, `(sessionStorage.clear(), true)`)
	b.visit(s.url+"/jobs/new", "#source")
	if f.source() != typedSource {
		t.Errorf("in another tab: %q", f.source())
	}
	b.press("#draft", "Discard")
	if got := f.source(); got != served {
		t.Errorf("discarded: %q", got)
	}
	b.press("#draft", "Undo")
	if f.source() != typedSource || f.state() != typedState {
		t.Errorf("the discarding undone: %q, %q", f.source(), f.state())
	}
	f.checkExamples(t)
	f.checkTroubles(t)
	f.checkAfterSubmitting(t, served)
}

// A draftForm is the form of a new job with what the test types into it.
type draftForm struct {
	*tab
	s *server
}

// typedState is what state returns while the form is complete.
const typedState = "5s|true|true|one\ntwo|mine"

func (f draftForm) source() string {
	return eval[string](f.tab, `document.getElementById("source").value`)
}

func (f draftForm) state() string {
	return eval[string](f.tab, `[document.getElementById("timeout").value, document.getElementById("policy").open, document.getElementById("inputs-lines").checked, document.getElementById("lines").value, document.getElementById("function").value].join("|")`)
}

func (f draftForm) submit() { f.press(".submit", "Submit") }

// says waits for a message, and checks that the page and the typed text remain.
func (f draftForm) says(part string) {
	f.t.Helper()
	await(f.t, part, func() bool {
		return eval[bool](f.tab, `!document.getElementById("unsent").hidden`) && strings.Contains(f.text("#unsent"), part)
	})
	if f.source() != typedSource || f.state() != typedState || eval[string](f.tab, `location.pathname`) != "/jobs/new" {
		f.t.Errorf("%s: %q, %q", part, f.source(), f.state())
	}
}

func (f draftForm) jobsMade(n int) {
	f.t.Helper()
	if rows := f.s.kept(); rows[0] != n {
		f.t.Errorf("%d jobs, want %d", rows[0], n)
	}
}

// checkExamples checks that an example asks before it replaces typed text, and that
// the user can undo this.
func (f draftForm) checkExamples(t *testing.T) {
	t.Helper()
	example := chromedp.Click(chromedp.CSS(`.examples a[href$="threads"]`))
	f.do(example, chromedp.WaitVisible(chromedp.CSS(`#replace[open]`)))
	f.press("#replace", "Keep what I typed")
	if got := f.source(); got != typedSource {
		t.Errorf("kept: %q", got)
	}
	f.do(example, chromedp.WaitVisible(chromedp.CSS(`#replace[open]`)))
	f.press("#replace", "Replace it")
	await(t, "the example", func() bool { return strings.Contains(f.source(), "def fetch") })
	f.press("#draft", "Undo")
	if f.source() != typedSource || f.state() != typedState {
		t.Errorf("the example undone: %q, %q", f.source(), f.state())
	}
}

// checkTroubles submits to servers that do not answer, refuse, or whose answer is
// lost.
func (f draftForm) checkTroubles(t *testing.T) {
	t.Helper()
	// A server that does not answer.
	f.offline(true)
	f.submit()
	f.says("The server does not answer. Your input is kept.")
	f.offline(false)
	// A server that refuses, with a page and without one.
	eval[bool](f.tab, `(() => {
		window.real = window.fetch;
		window.fetch = async () => {
			window.fetch = real;
			const answer = new Response("<div class=failure><h1>x</h1><p>The database does not answer.</p></div>", { status: 503 });
			Object.defineProperty(answer, "url", { value: location.origin + "/jobs/new" });
			return answer;
		};
		return true;
	})()`)
	f.press("#unsent", "Try again")
	f.says("The server answered 503: The database does not answer.")
	f.jobsMade(0)
	// A lost answer: the job exists, and submitting again makes no other, even after
	// the page was loaded again.
	eval[bool](f.tab, `(() => {
		window.fetch = async (...given) => {
			window.fetch = real;
			await real(...given);
			throw new TypeError("lost");
		};
		return true;
	})()`)
	f.submit()
	f.says("does not answer")
	f.jobsMade(1)
	f.visit(f.s.url+"/jobs/new", "#source")
	f.submit()
	f.arrive("#job-progress")
	f.jobsMade(1)
}

// checkAfterSubmitting checks that a submitted form is no draft, and that drafts
// outlive the session.
func (f draftForm) checkAfterSubmitting(t *testing.T, served string) {
	t.Helper()
	// A submitted form is no draft.
	f.visit(f.s.url+"/jobs/new", "#source")
	if f.source() != served || f.text("#draft") != "" {
		t.Errorf("after submitting: %q, %q", f.text("#draft"), f.source())
	}
	// A double click submits one job.
	f.typeSource(typedSource)
	eval[bool](f.tab, `(() => { const button = document.querySelector(".submit .primary"); button.click(); button.click(); return true })()`)
	f.arrive("#job-progress")
	f.jobsMade(2)
	// The session has ended.
	f.visit(f.s.url+"/jobs/new", "#source")
	f.typeSource(typedSource)
	if _, err := f.s.store.Pool.Exec(t.Context(), `delete from sessions`); err != nil {
		t.Fatal(err)
	}
	f.submit()
	await(t, "the word that the session has ended", func() bool { return strings.Contains(f.text("#unsent"), "session has ended") })
	if got := f.source(); got != typedSource {
		t.Errorf("signed out: %q", got)
	}
	if got := eval[string](f.tab, `document.querySelector("#unsent a").target`); got != "_blank" {
		t.Errorf("the sign-in opens in %q", got)
	}
	eval[bool](f.tab, fmt.Sprintf(`(window.signedIn = false, fetch("/login?token=%s").then(() => { window.signedIn = true }), true)`, adminToken))
	await(t, "another session", func() bool { return eval[bool](f.tab, `window.signedIn`) })
	f.press("#unsent", "Try again")
	f.arrive("#job-progress")
	f.jobsMade(3)
}

// TestBrowserJobHeader checks that a job's header has its queue, priority, owner,
// times, tags and id, and that the field for a task's index refuses an invalid index
// in place.
func TestBrowserJobHeader(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := openTab(t)
	id := s.submit(program(squares, `{"range":{"stop":30}}`, `,"queue":"io","priority":3,"tags":["one","two"]`)).ID
	s.ended(id)
	b.visit(s.url+"/login?token="+adminToken+"&next=/jobs/"+id, "#strip")
	facts := eval[string](b, `[...document.querySelectorAll(".facts > div")].map((e) => e.innerText.replace(/\s+/g, " ")).join("; ")`)
	for _, want := range []string{"Queue io", "Priority 3", "Owner admin", "Submitted ", "Tags one two", "Id " + id} {
		if !strings.Contains(facts, want) {
			t.Errorf("no %q in %q", want, facts)
		}
	}
	if got := eval[string](b, `document.querySelector(".facts [data-copy=job-id]").textContent`); !strings.Contains(got, "Copy the id") {
		t.Errorf("the copy button says %q", got)
	}
	for _, typed := range []string{"30", "-1", "1.5", ""} {
		want := "There is no task " + typed + ": indexes go from 0 to 29."
		if typed == "" {
			want = "There is no task without an index: indexes go from 0 to 29."
		}
		eval[bool](b, fmt.Sprintf(`(() => { const box = document.getElementById("goto"); box.value = %q; box.form.requestSubmit(); return true })()`, typed))
		if got := eval[string](b, `[document.getElementById("goto-error").textContent, document.activeElement.id, document.getElementById("goto").getAttribute("aria-invalid"), location.pathname].join("|")`); got != want+"|goto|true|/jobs/"+id {
			t.Errorf("%q: %s", typed, got)
		}
	}
	b.do(chromedp.SendKeys(chromedp.CSS(`#goto`), "2"))
	if got := b.text("#goto-error"); got != "" {
		t.Errorf("while typing it still says %q", got)
	}
	b.do(chromedp.SendKeys(chromedp.CSS(`#goto`), "0\r"))
	b.arrive("#task")
	if got := eval[string](b, `location.pathname`); got != "/jobs/"+id+"/tasks/20" {
		t.Errorf("at %s", got)
	}
}
