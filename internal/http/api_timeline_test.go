package http_test

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/jobs/timeline"
	"github.com/allcores/allcores/internal/store"
)

// cube fails at every tenth input.
const cube = "import time\ndef cube(x):\n    time.sleep(0.02)\n    if x % 10 == 7:\n        raise ValueError('seven')\n    return x ** 3\n"

func (s *server) stream(path string) *timeline.Timeline {
	s.t.Helper()
	a := s.get(path)
	if a.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s %s", path, a.Status, a.text)
	}
	var got timeline.Timeline
	a.into(s.t, &got)
	return &got
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	s := serve(t)
	id := s.submit(program(cube, `{"range":{"stop":60}}`, `,"policy":{"chunk_size":2}`)).ID
	end := s.ended(id)
	path := "/api/v1/jobs/" + id + "/stream"
	got := s.stream(path)
	var tasks, chunks, failed int64
	for i, count := range got.Rects.Count {
		tasks += count
		chunks += got.Rects.Chunks[i]
		failed += got.Rects.Failed[i]
		if start, end := got.Rects.Start[i], got.Rects.End[i]; start < got.FromMS || end > got.ToMS || end <= start || got.Rects.State[i] != timeline.Done || got.Rects.Row[i] >= len(got.Rows) {
			t.Errorf("rectangle %d from %v to %v in a window from %v to %v", i, start, end, got.FromMS, got.ToMS)
		}
	}
	if tasks != 60 || chunks != 30 || failed != 6 || got.Base.Format(time.TimeOnly) != end.StartedAt.Format(time.TimeOnly) {
		t.Errorf("%d tasks, %d of them failed, in %d chunks from %v on", tasks, failed, chunks, got.Base)
	}
	if diff := cmp.Diff([]timeline.JobName{{ID: id, Name: end.Name}}, got.Jobs); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	if len(got.Rows) < 1 || got.Rows[0].Core == nil || got.Rows[0].Label != fmt.Sprintf("core %d", *got.Rows[0].Core) {
		t.Errorf("rows %+v", got.Rows)
	}

	// One pixel means one rectangle a row, of the chunks in the window alone.
	if got = s.stream(path + "?width=1"); len(got.Rects.Row) > 2*len(got.Rows) {
		t.Errorf("%d rectangles on %d rows of one pixel", len(got.Rects.Row), len(got.Rows))
	}
	got = s.stream(path + "?width=10000")
	middle := math.Floor(slices.Sorted(slices.Values(got.Rects.Start))[len(got.Rects.Start)/2])
	half := got.Base.Add(time.Duration(middle) * time.Millisecond).UTC().Format(time.RFC3339Nano)
	want := int64(0)
	for i, end := range got.Rects.End {
		if end >= middle {
			want += got.Rects.Chunks[i]
		}
	}
	chunks = 0
	for _, n := range s.stream(path + "?from=" + half).Rects.Chunks {
		chunks += n
	}
	if chunks != want || chunks >= 30 {
		t.Errorf("%d chunks from the middle on, want %d", chunks, want)
	}

	all := s.stream("/api/v1/stream?seconds=3600")
	chunks = 0
	for _, n := range all.Rects.Chunks {
		chunks += n
	}
	if chunks != 30 || len(all.Rows) < 2 || math.Abs(all.ToMS-all.FromMS-3600e3) > 1 {
		t.Errorf("of all jobs %d chunks on %d rows in %v ms", chunks, len(all.Rows), all.ToMS-all.FromMS)
	}
	checkRefusedTimelines(t, s, path, half)

	// The table on the page has the same rows.
	page := s.get("/jobs/" + id).text
	table := page[strings.Index(page, `id="timeline-table"`):]
	table = table[:strings.Index(table, "</table>")]
	if strings.Count(table, "<tr>") != 1+len(got.Rows) || !strings.Contains(table, `href="/jobs/`+id+`/tasks/`) {
		t.Errorf("the table has %d rows:\n%s", strings.Count(table, "<tr>")-1, table)
	}
}

// checkRefusedTimelines checks that other users see nothing, and that invalid
// queries are refused.
func checkRefusedTimelines(t *testing.T, s *server, path, half string) {
	t.Helper()
	stranger := []string{"Authorization", "Bearer " + s.user("stranger", jobs.Submitter)}
	if a := s.get(path, stranger...); a.StatusCode != http.StatusNotFound {
		t.Errorf("a stranger gets %s", a.Status)
	}
	var none timeline.Timeline
	s.get("/api/v1/stream?seconds=3600", stranger...).into(t, &none)
	if len(none.Rects.Row) != 0 || len(none.Jobs) != 0 {
		t.Errorf("a stranger sees %+v", none)
	}
	for query, where := range map[string]string{
		"?from=yesterday":                          "query.from",
		"?from=0001-02-03T04:05:06Z":               "query.from",
		"?since=1234-02-03T04:05:06Z":              "query.since",
		"?width=0":                                 "query.width",
		"?width=20000":                             "query.width",
		"?from=" + half + "&to=" + half:            "query.to",
		"?to=2020-01-01T00:00:00Z&from=2021-01-01": "query.from",
		"?pixels=3":                                "query.pixels",
	} {
		if a := s.get(path + query); a.StatusCode != http.StatusUnprocessableEntity || strings.Join(a.problem(t).locations(), " ") != where {
			t.Errorf("%s: %s %s", query, a.Status, a.text)
		}
	}
}

// TestTimelineAtItsFormerAddresses checks that the former addresses answer as the
// timeline's do. The timeline of a job also lists its chunks one by one, unless the
// query asks for a part of it.
func TestTimelineAtItsFormerAddresses(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.manual(6)
	s.record(id, s.lease(id, 4))
	s.record(id, s.lease(id, 2))
	job := "/api/v1/jobs/" + id
	for former, now := range map[string]string{
		job + "/stream?width=100":         job + "/timeline?width=100",
		job + "/stream?run=1&width=7":     job + "/timeline?run=1&width=7",
		"/api/v1/stream?seconds=3600":     "/api/v1/timeline?seconds=3600",
		"/api/v1/stream?to=" + future:     "/api/v1/timeline?to=" + future,
		"/api/v1/stream?from=2020-01-01T": "/api/v1/timeline?from=2020-01-01T",
	} {
		was, is := s.get(former), s.get(now)
		var a, b map[string]any
		was.into(t, &a)
		is.into(t, &b)
		for _, clock := range []string{"now_ms", "to_ms", "base", "from_ms", "since_ms", "next_since_ms", "first_ms", "resolution_ms", "rects", "next_cursor", "instance", "detail"} {
			delete(a, clock)
			delete(b, clock)
		}
		if was.StatusCode != is.StatusCode || len(a) < 3 || !cmp.Equal(a, b) {
			t.Errorf("%s: %d %s\n%s: %d %s", former, was.StatusCode, cut(was.text), now, is.StatusCode, cut(is.text))
		}
	}
	for query, want := range map[string]int{"": 2, "?limit=1": 1, "?cursor=0&width=9": 2, "?run=1": 2, "?width=9": -1, "?from=2020-01-01T00:00:00Z": -1, "?since=2020-01-01T00:00:00Z": -1} {
		var got struct {
			Rows  []any
			Rects *timeline.Rects
			Items *[]jobs.Bar
		}
		s.get(job+"/timeline"+query).into(t, &got)
		if n := len(got.Rows); n == 0 || got.Rects == nil || len(got.Rects.Row) == 0 {
			t.Errorf("%q: %+v", query, got)
		}
		if (got.Items == nil) != (want < 0) || got.Items != nil && len(*got.Items) != want {
			t.Errorf("%q: items %+v, want %d", query, got.Items, want)
		}
	}
	var api struct {
		Paths map[string]map[string]struct{ Deprecated bool }
	}
	s.get("/api/v1/openapi.json").into(t, &api)
	for path, former := range map[string]bool{"/jobs/{id}/stream": true, "/stream": true, "/jobs/{id}/timeline": false, "/timeline": false} {
		if op, ok := api.Paths["/api/v1"+path]["get"]; !ok || op.Deprecated != former {
			t.Errorf("%s: %+v", path, op)
		}
	}
}

// future is the end of a window that has not passed.
const future = "2999-01-01T00:00:00Z"

// drawn returns how many rectangles the page has drawn.
func (b *tab) drawn() int {
	b.t.Helper()
	return eval[int](b, `Number(document.getElementById("timeline-canvas").dataset.drawn ?? 0)`)
}

// pixels returns how many pixels of the canvas have one of the named colours of the
// style sheet.
func (b *tab) pixels(names ...string) int {
	b.t.Helper()
	return eval[int](b, `((names) => {
		const canvas = document.getElementById("timeline-canvas");
		const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
		const probe = document.body.appendChild(document.createElement("i"));
		const wanted = new Set(names.map((name) => {
			probe.style.color = "var(--" + name + ")";
			return getComputedStyle(probe).color.match(/\d+/g).slice(0, 3).join();
		}));
		probe.remove();
		let n = 0;
		for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255 && wanted.has(data.slice(i, i + 3).join())) n++;
		return n;
	})("`+strings.Join(names, " ")+`".split(" "))`)
}

func TestTimelineInBrowser(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	b := openTab(t)
	b.do(chromedp.Navigate(s.url+"/login?token="+adminToken), chromedp.WaitVisible(chromedp.CSS(`#jobs form`)))

	// It grows while the job runs, and asks only for what is new.
	const chunks = 6
	id := s.manual(4 * chunks)
	b.do(chromedp.Navigate(s.url+"/jobs/"+id), chromedp.WaitVisible(chromedp.CSS(`#timeline-canvas`)))
	eval[bool](b, `(document.getElementById("timeline").scrollIntoView(), window.stayed = true)`)
	for i := range chunks {
		lease := s.lease(id, 4)
		await(t, "the claimed chunk", func() bool { return b.drawn() == i+1 })
		run := outcomes.Encoded{First: lease.First, Count: 4, Outputs: []byte("1\n1\n1\n"), Durations: make([]byte, 8), Failed: []int32{3}}
		run.Outputs = outcomes.AppendFailure(run.Outputs, &jobs.TaskError{Kind: jobs.KindException, Type: "ValueError", Message: "bad"})
		if i%2 == 0 {
			run.Outputs, run.Failed = []byte("1\n1\n1\n1\n"), nil
		}
		r := store.Record{Job: id, Lease: lease.ID, Count: 4, Outcomes: []outcomes.Encoded{run}, Usage: store.Usage{StartedAt: 50 * time.Millisecond}, Notify: true}
		if p, _, err := s.store.Record(t.Context(), r, nil); err != nil || !p.Held {
			t.Fatal(p, err)
		}
	}
	await(t, "the job's end on the page", func() bool {
		return !eval[bool](b, `document.getElementById("timeline").hasAttribute("data-growing")`)
	})
	if n := b.drawn(); n != chunks || !eval[bool](b, `window.stayed`) {
		t.Errorf("%d of %d chunks are drawn", n, chunks)
	}
	asked := eval[[]string](b, `performance.getEntriesByType("resource").map((e) => e.name).filter((n) => n.includes("/timeline?"))`)
	news := 0
	for _, url := range asked {
		if strings.Contains(url, "since=") {
			news++
		}
	}
	if seconds := eval[float64](b, `performance.now() / 1000`); news < 3 || float64(len(asked)) > 2*seconds+3 {
		t.Errorf("in %.1f s it read %d times, %d of them only what is new: %v", seconds, len(asked), news, asked)
	}

	// The same, replayed.
	b.do(chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS(`#timeline-canvas`)))
	eval[bool](b, `(document.getElementById("timeline").scrollIntoView(), true)`)
	await(t, "the drawing of the ended job", func() bool { return b.drawn() == chunks })
	var ring []string
	for letter := 'a'; letter <= 'l'; letter++ {
		ring = append(ring, "job-"+string(letter))
	}
	if done, failed, ground := b.pixels(ring...), b.pixels("failed"), b.pixels("sunken"); done < 50 || failed < 10 || ground < done {
		t.Errorf("%d pixels have a job's colour, %d that of failures, %d that of idle cores", done, failed, ground)
	}

	// The keyboard moves from chunk to chunk, and each is announced.
	b.do(chromedp.Focus(chromedp.CSS(`#timeline-canvas`)))
	eval[bool](b, `(window.press = (key) => document.getElementById("timeline-canvas").dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true})), true)`)
	text := func(id string) string { return eval[string](b, `document.getElementById("`+id+`").textContent`) }
	for i := range 4 {
		eval[bool](b, `press("ArrowRight")`)
		title := fmt.Sprintf("tasks %d to %d\n1 chunk, 4 tasks, on lane 0\ntook 50 ms", 4*i, 4*i+3)
		await(t, title, func() bool { return strings.HasPrefix(text("timeline-tip"), title) })
		if failed := strings.Contains(text("timeline-tip"), "✕ 1 failed"); failed != (i%2 == 1) || !strings.HasPrefix(text("timeline-said"), fmt.Sprintf("tasks %d to", 4*i)) {
			t.Errorf("chunk %d: the tip says %q, and the announcement %q", i, text("timeline-tip"), text("timeline-said"))
		}
	}
	eval[bool](b, `(press("+"), press("+"), press("+"), true)`)
	await(t, "a part of it, in detail", func() bool { return b.drawn() < chunks && strings.Contains(text("timeline-span"), " of ") })
	eval[bool](b, `press("0")`)
	await(t, "all of it again", func() bool { return b.drawn() == chunks })
	eval[bool](b, `press("Enter")`)
	b.do(chromedp.WaitNotPresent(chromedp.CSS(`#timeline-canvas`)))
	if at := eval[string](b, `location.pathname`); at != "/jobs/"+id+"/tasks/12" {
		t.Errorf("Enter leads to %s", at)
	}
}
