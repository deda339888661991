package http_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
)

const openSquares = `{"program":{"python":{"source":"def square(x):\n    return x * x\n","function":"square"}},"inputs":{"open":true}}`

const ndjsonType = "application/x-ndjson"

// appended is the answer to inputs that were taken.
type appended struct{ First, Count int64 }

func TestOpenJob(t *testing.T) {
	t.Parallel()
	s := serve(t)
	j := s.submit(openSquares)
	path := "/api/v1/jobs/" + j.ID
	if j.State != jobs.Open || !j.Inputs.Open {
		t.Fatalf("%+v", j)
	}
	var got appended
	s.call("POST", path+"/tasks", "1\n2\n\n3\n", "Content-Type", ndjsonType).into(t, &got)
	if got != (appended{0, 3}) {
		t.Errorf("%+v", got)
	}
	for name, test := range map[string]struct{ body, want string }{
		"not JSON":    {"1\n{\n", "line 2"},
		"two values":  {"1 2\n", "line 1"},
		"not UTF-8":   {"1\n2\n\"\xff\"", "line 3"},
		"too deep":    {strings.Repeat("[", 600) + strings.Repeat("]", 600), "line 1"},
		"last line":   {strings.Repeat("1\n", 5000) + "nope", "line 5001"},
		"long, wrong": {`"` + strings.Repeat("x", 100_000) + "\n", "line 1"},
	} {
		a := s.call("POST", path+"/tasks?seal=true", test.body, "Content-Type", ndjsonType)
		p := a.problem(t)
		if a.StatusCode != http.StatusUnprocessableEntity || len(p.Errors) != 1 || !strings.Contains(p.Errors[0].Message, test.want) {
			t.Errorf("%s: %s", name, a.text)
		}
	}
	long := `"` + strings.Repeat("y", 200_000) + `"`
	s.call("POST", path+"/tasks", `4`+"\n"+long, "Content-Type", ndjsonType).into(t, &got)
	if got != (appended{3, 2}) {
		t.Errorf("%+v", got)
	}
	s.call("POST", path+"/seal", "")
	end := s.ended(j.ID)
	if end.Counts.Total != 5 || end.Counts.Succeeded != 4 || end.Counts.Failed != 1 || end.Inputs.Open {
		t.Errorf("%+v", end.Counts)
	}
	if text := s.get(path + "/results?format=outputs").text; strings.TrimSpace(text) != "[1,4,9,16,null]" {
		t.Errorf("outputs %s", text)
	}
	for _, call := range []string{"/tasks", "/pause", "/resume"} {
		if a := s.call("POST", path+call, "1\n", "Content-Type", ndjsonType); a.StatusCode != http.StatusConflict {
			t.Errorf("%s of an ended job: %s", call, a.text)
		}
	}
}

func TestInputsOfAnOpenJobMustFitTheCall(t *testing.T) {
	t.Parallel()
	s := serve(t)
	j := s.submit(`{"program":{"python":{"source":"def f(a, b): return a + b","function":"f","call":"args"}},"inputs":{"open":true}}`)
	path := "/api/v1/jobs/" + j.ID + "/tasks"
	if a := s.call("POST", path, "[1,2]\n3\n", "Content-Type", ndjsonType); a.StatusCode != 422 || !strings.Contains(a.text, "line 2 must be an array") {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	s.call("POST", path+"?seal=true", "[1,2]\n[3,4]\n", "Content-Type", ndjsonType)
	if end := s.ended(j.ID); end.Counts.Succeeded != 2 {
		t.Errorf("%+v", end.Counts)
	}
}

// TestManyInputsStream sends inputs without a length, more than a body of the
// API may hold.
func TestManyInputsStream(t *testing.T) {
	t.Parallel()
	s := serve(t)
	j := s.submit(strings.Replace(openSquares, "return x * x", "return x[0]", 1))
	const total = 100_000
	body, feed := io.Pipe()
	go func() {
		for i := range total {
			fmt.Fprintf(feed, "[%d,\"%s\"]\n", i, strings.Repeat("x", 400))
		}
		feed.Close()
	}()
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/api/v1/jobs/"+j.ID+"/tasks?seal=true", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || strings.TrimSpace(string(text)) != fmt.Sprintf(`{"first":0,"count":%d}`, total) {
		t.Fatalf("%s %s, %v", res.Status, text, err)
	}
	if end := s.ended(j.ID); end.Counts.Succeeded != total {
		t.Errorf("%+v", end.Counts)
	}
}

func TestPauseResumeRetryAndTimeline(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.manual(10)
	path := "/api/v1/jobs/" + id
	lease := s.lease(id, 4)
	do := func(verb string, status int, state jobs.State) {
		t.Helper()
		a := s.call("POST", path+verb, "")
		var j job
		if a.StatusCode != status {
			t.Fatalf("%s: %d %s", verb, a.StatusCode, a.text)
		}
		if status == http.StatusOK {
			if a.into(t, &j); j.State != state {
				t.Errorf("%s: the job is %s, want %s", verb, j.State, state)
			}
		}
	}
	do("/retry", 409, "")
	do("/pause", 200, jobs.Paused)
	do("/pause", 200, jobs.Paused)
	s.record(id, lease, 1)
	do("/resume", 200, jobs.Running)
	do("/resume", 200, jobs.Running)
	s.record(id, s.lease(id, 6))
	if j := s.ended(id); j.State != jobs.Failed || j.Counts.Failed != 1 {
		t.Fatalf("%+v", j)
	}
	do("/pause", 409, "")
	var bars struct {
		Items      []jobs.Bar
		NextCursor *string `json:"next_cursor"`
	}
	s.get(path+"/timeline?limit=1").into(t, &bars)
	if len(bars.Items) != 1 || bars.Items[0].First != 0 || bars.Items[0].Count != 4 || bars.Items[0].Failed != 1 || bars.NextCursor == nil {
		t.Fatalf("%+v", bars)
	}
	s.get(path+"/timeline?limit=1&cursor="+*bars.NextCursor).into(t, &bars)
	if len(bars.Items) != 1 || bars.Items[0].First != 4 {
		t.Errorf("%+v", bars)
	}
	do("/retry", 200, jobs.Queued)
	again := s.lease(id, 1)
	if again.First != 1 {
		t.Errorf("task %d is run again", again.First)
	}
	s.record(id, again)
	if j := s.ended(id); j.State != jobs.Succeeded || j.Counts.Succeeded != 10 {
		t.Errorf("%+v", j)
	}
	do("/retry", 409, "")
}

func TestVerbsOnThePage(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.manual(10)
	press := func(verb, label string) {
		t.Helper()
		if page := s.get("/jobs/" + id).text; !strings.Contains(page, `action="/jobs/`+id+"/"+verb+`"`) || !strings.Contains(page, label) {
			t.Errorf("the page has no button %q to %s", label, verb)
		}
		if a := s.call("POST", "/jobs/"+id+"/"+verb, ""); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/jobs/"+id {
			t.Errorf("%s: %s %s", verb, a.Status, a.text)
		}
	}
	press("pause", "Pause")
	press("resume", "Resume")
	s.record(id, s.lease(id, 4), 1, 2)
	press("cancel", "Cancel the job")
	press("retry", "Retry 8 failed or cancelled")
	if a := s.call("POST", "/jobs/"+id+"/retry", ""); a.StatusCode != http.StatusConflict || !strings.Contains(a.Header.Get("Content-Type"), "html") {
		t.Errorf("retry of a job that goes on: %s", a.Status)
	}
}

// TestAppendOnce checks that inputs sent again with their key are not added again: at
// once, later, or after they have sealed the job.
func TestAppendOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.submit(program(squares, `{"open":true}`)).ID
	send := func(job, query, body, key string) *answer {
		return s.call("POST", "/api/v1/jobs/"+job+"/tasks"+query, body, "Idempotency-Key", key)
	}
	want := func(a *answer, text, replayed string) {
		t.Helper()
		if a.StatusCode != 200 || a.text != text+"\n" || a.Header.Get("Idempotent-Replayed") != replayed {
			t.Errorf("%d %q %s, want %q %s", a.StatusCode, a.Header.Get("Idempotent-Replayed"), a.text, replayed, text)
		}
	}
	want(send(id, "", "1\n2\n", "a"), `{"first":0,"count":2}`, "")
	want(send(id, "", "3\n", "b"), `{"first":2,"count":1}`, "")
	want(send(id, "", "1\n2\n", "a"), `{"first":0,"count":2}`, "true")
	other := s.submit(program(squares, `{"open":true}`)).ID
	for name, a := range map[string]*answer{
		"another body": send(id, "", "1\n2\n3\n", "a"), "no line of it": send(id, "", "nonsense\n", "a"), "nothing": send(id, "", "", "a"),
		"another job": send(other, "", "1\n2\n", "a"), "sealed": send(id, "?seal=true", "1\n2\n", "a"), "an odd key": send(id, "", "1\n", "ä"),
		"a submission": s.call("POST", "/api/v1/jobs", program(squares, `{"items":[1]}`), "Idempotency-Key", "a"),
	} {
		if a.StatusCode != 422 || !slices.Equal(a.problem(t).locations(), []string{"header.Idempotency-Key"}) {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.text)
		}
	}
	// A refused call uses no key.
	if a := send(id, "", "4\n{\n", "c"); a.StatusCode != 422 {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	answers := make(chan *answer)
	for range 6 {
		go func() { answers <- send(id, "?seal=true", "4\n", "c") }()
	}
	replays := 0
	for range 6 {
		a := <-answers
		if a.Header.Get("Idempotent-Replayed") == "true" {
			replays++
		}
		want(a, `{"first":3,"count":1}`, a.Header.Get("Idempotent-Replayed"))
	}
	if replays != 5 {
		t.Errorf("%d of 6 are replays", replays)
	}
	if a := send(id, "?seal=true", "5\n", "d"); a.StatusCode != http.StatusConflict {
		t.Errorf("a sealed job takes inputs: %d %s", a.StatusCode, a.text)
	}
	var j job
	if s.get("/api/v1/jobs/"+id).into(t, &j); j.Counts.Total != 4 {
		t.Errorf("%+v", j.Counts)
	}
}

// TestVerbOnce checks that a verb with a key acts once: a repeated retry does not
// affect the job that the first one started.
func TestVerbOnce(t *testing.T) {
	t.Parallel()
	s := serve(t)
	id := s.ended(s.submit(program("def f(x): raise ValueError(x)\n", `{"range":{"stop":3}}`)).ID).ID
	verb := func(job, verb, key string) *answer {
		return s.call("POST", "/api/v1/jobs/"+job+"/"+verb, "", "Idempotency-Key", key)
	}
	finished := func(a *answer) string {
		var j job
		a.into(t, &j)
		return fmt.Sprint(j.FinishedAt)
	}
	was := finished(s.get("/api/v1/jobs/" + id))
	retry := verb(id, "retry", "k")
	if retry.StatusCode != 200 || retry.Header.Get("Idempotent-Replayed") != "" {
		t.Fatalf("%d %s", retry.StatusCode, retry.text)
	}
	s.ended(id)
	again := finished(s.get("/api/v1/jobs/" + id))
	if again == was {
		t.Fatal("the job did not run again")
	}
	if a := verb(id, "retry", "k"); a.StatusCode != 200 || a.Header.Get("Idempotent-Replayed") != "true" || finished(a) != again {
		t.Errorf("the same key: %d %q %s", a.StatusCode, a.Header.Get("Idempotent-Replayed"), a.text)
	}
	for name, a := range map[string]*answer{
		"another verb": verb(id, "pause", "k"), "an odd key": verb(id, "retry", "ä"),
		"another job":  verb(s.submit(openSquares).ID, "seal", "k"),
		"a submission": s.call("POST", "/api/v1/jobs", program(squares, `{"items":[1]}`), "Idempotency-Key", "k"),
	} {
		if a.StatusCode != 422 || !slices.Equal(a.problem(t).locations(), []string{"header.Idempotency-Key"}) {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.text)
		}
	}
	// A refused call uses no key.
	open := s.submit(openSquares).ID
	if a := verb(open, "retry", "later"); a.StatusCode != http.StatusConflict {
		t.Errorf("retry of an open job: %d %s", a.StatusCode, a.text)
	}
	if a := verb(open, "seal", "later"); a.StatusCode != 200 || a.Header.Get("Idempotent-Replayed") != "" {
		t.Errorf("seal: %d %s", a.StatusCode, a.text)
	}
}

// TestWrongLines checks that every invalid line of inputs is listed, up to a number.
func TestWrongLines(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	path := "/api/v1/jobs/" + s.submit(program(squares, `{"open":true}`)).ID + "/tasks"
	p := s.call("POST", path, "1\n{\n2\n\n\"\xff\"\n3\nnope").problem(t)
	var lines []any
	for _, e := range p.Errors {
		if e.Location != "body" || !strings.HasPrefix(e.Message, fmt.Sprintf("line %v ", e.Value)) {
			t.Errorf("%+v", e)
		}
		lines = append(lines, e.Value)
	}
	if !slices.Equal(lines, []any{2.0, 5.0, 7.0}) || p.Status != 422 || p.Detail != "3 violations" {
		t.Errorf("%+v", p)
	}
	if p := s.call("POST", path, strings.Repeat("x\n", 100_000)).problem(t); len(p.Errors) != 20 {
		t.Errorf("%d violations", len(p.Errors))
	}
	if a := s.call("POST", path, "1\n"); a.text != `{"first":0,"count":1}`+"\n" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}
