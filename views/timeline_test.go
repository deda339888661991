package views

import (
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
)

func TestTimeline(t *testing.T) {
	doc := parse(t, render(t, Timeline(TimelineView{})))
	if n := doc.Find("#timeline *").Length(); n != 0 || doc.Find("#timeline").AttrOr("aria-labelledby", "") != "" {
		t.Errorf("of a job without a chunk that has ended it shows %d elements", n)
	}
	j := sampleJobs()[1]
	doc = parse(t, render(t, Timeline(TimelineView{Job: j.ID, Live: true})))
	if _, growing := doc.Find("#timeline").Attr("data-growing"); !growing || !strings.Contains(doc.Find("#timeline-table").Text(), "Nothing has run yet") {
		t.Errorf("of a job that has just begun it says %q", doc.Find("#timeline").Text())
	}
	v := sampleTimelineView(&j, 16)
	v.RowsLeftOut, v.OneIn = 3, 12.4
	doc = parse(t, render(t, Timeline(v)))
	if url := doc.Find("#timeline-box").AttrOr("data-url", ""); url != "/api/v1/jobs/"+j.ID+"/timeline" {
		t.Errorf("it draws %q", url)
	}
	text := doc.Find("#timeline").Text()
	for _, want := range []string{"19 rows", "3 further rows are left out", "about one chunk in 12", "with failures", "lost with its node", "claimed"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	var row []string
	doc.Find("#timeline-table tbody tr").Eq(1).Find("th, td").Each(func(_ int, cell *goquery.Selection) {
		row = append(row, strings.Join(strings.Fields(cell.Text()), " "))
	})
	if want := "worker-1 core 1|93 %|39|2,439|1|0|tasks 200 to 260 201 ms"; strings.Join(row, "|") != want {
		t.Errorf("a row is %q, want %q", row, want)
	}
	doc = parse(t, render(t, Timeline(TimelineView{Seconds: 60, Live: true})))
	if url := doc.Find("#timeline-box").AttrOr("data-url", ""); url != "/api/v1/timeline?seconds=60" || doc.Find("#timeline-jobs").Length() != 1 {
		t.Errorf("of all jobs it draws %q", url)
	}
}
