package http_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestBrowserOffersAShell checks that a command that needs a shell is refused with
// the offer of one with a shell, which one click accepts. The same holds for an input
// within a shell's source. A missing program is refused without an offer.
func TestBrowserOffersAShell(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := openTab(t)
	submit := chromedp.Click(chromedp.CSS(`#newjob button.primary`))
	b.do(chromedp.Navigate(s.url+"/login?token="+adminToken), chromedp.WaitVisible(chromedp.CSS(`#jobs form`)))
	open := func(command string) {
		t.Helper()
		b.do(
			chromedp.Navigate(s.url+"/jobs/new"), chromedp.WaitVisible(chromedp.CSS(`#source`)),
			chromedp.Click(chromedp.CSS(`label[for="kind-command"]`)), chromedp.Click(chromedp.CSS(`label[for="inputs-lines"]`)),
			chromedp.SetValue(chromedp.CSS(`#command`), command), chromedp.SetValue(chromedp.CSS(`#lines`), "a b"),
			submit, chromedp.WaitVisible(chromedp.CSS(`#command-error`)),
		)
	}
	for _, test := range []struct{ command, says, offer, output string }{
		{`echo {} | tr a-z A-Z`, "| needs a shell", `sh -c 'echo "$1" | tr a-z A-Z' sh {}`, `"A B"`},
		{`sh -c 'echo "<{}>"'`, "part of a program's text", `sh -c 'echo "<$1>"' sh {}`, `"<a b>"`},
	} {
		open(test.command)
		if got := eval[string](b, `document.getElementById("command-error").textContent`); !strings.Contains(got, test.says) {
			t.Errorf("%s: it says %q", test.command, got)
		}
		b.do(chromedp.Click(chromedp.CSS(`#command-offer button`)))
		if got := eval[string](b, `[document.getElementById("command").value, document.activeElement.id, document.querySelectorAll("#errors *, #command-error, #command-offer, .field.wrong").length].join("\n")`); got != test.offer+"\ncommand\n0" {
			t.Errorf("%s: after the click %q", test.command, got)
		}
		b.do(submit)
		await(t, "the job's page", func() bool { return eval[bool](b, `/^.jobs.[0-9a-f-]{36}$/.test(location.pathname)`) })
		id := eval[string](b, `location.pathname.split("/")[2]`)
		if got := s.outputs(id); len(got) != 1 || string(got[0]) != test.output {
			t.Errorf("%s: %s", test.command, got)
		}
	}
	open(`no-such-program {}`)
	if got := eval[string](b, `document.getElementById("command-error").textContent + document.querySelectorAll("#command-offer").length`); !strings.Contains(got, "no such command") || !strings.HasSuffix(got, "0") {
		t.Errorf("of a missing program it says %q", got)
	}
	// The request shown has the numbers as typed.
	b.do(
		chromedp.Click(chromedp.CSS(`label[for="inputs-items"]`)), chromedp.Click(chromedp.CSS(`#curl summary`)),
		chromedp.SetValue(chromedp.CSS(`#items`), `[12345678901234567890, 1.0, {"a": [-1e400]}]`),
	)
	eval[bool](b, `document.getElementById("items").dispatchEvent(new Event("input", { bubbles: true }))`)
	if got := eval[string](b, `document.getElementById("curl-text").textContent`); !strings.Contains(got, `[12345678901234567890, 1.0, {"a": [-1e400]}]`) {
		t.Errorf("the request shown is %s", got)
	}
}
