package views

import (
	"strings"
	"testing"
)

// TestSharedRows checks what the page of a job shows of objects of each kind.
func TestSharedRows(t *testing.T) {
	t.Parallel()
	doc := parse(t, render(t, Job(sampleRunning())))
	for i, want := range []string{
		"hits value 3 B 812 –", "a/b <i> queue 3 of 10 items, 120 B [\"x\",\"y\",\"z\"] 2 calls",
		"cells array (d) 1,000 items, 7.8 KiB too long to show here –", "guard lock held by task 3 –", "free lock free –",
	} {
		row := doc.Find("#job-shared tbody tr").Eq(i)
		var cells []string
		for _, cell := range row.Find("th, td").EachIter() {
			if text := strings.TrimSpace(cell.Text()); text != "" {
				cells = append(cells, text)
			}
		}
		if got := strings.Join(cells, " "); got != want {
			t.Errorf("row %d: %q, want %q", i, got, want)
		}
	}
	if href := doc.Find("#job-shared tbody a").Eq(1).AttrOr("href", ""); !strings.HasSuffix(href, "/shared/a%2Fb%20%3Ci%3E") {
		t.Errorf("the link is %s", href)
	}
	bars := doc.Find("#job-reports svg")
	if bars.Length() != 2 || bars.Eq(0).AttrOr("aria-label", "") != "50 % done" || bars.Eq(1).AttrOr("aria-label", "") != "progress unknown" {
		t.Errorf("%d bars", bars.Length())
	}
	if parse(t, render(t, Job(sampleFailed()))).Find("#job-shared *, #job-reports *").Length() > 0 {
		t.Error("there is something without objects")
	}
}
