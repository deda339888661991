package http_test

import (
	"bufio"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// gated is a function whose calls wait until a file exists.
func gated(t *testing.T) (source, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "go")
	return fmt.Sprintf("import os, time\ndef f(x):\n    while not os.path.exists(%q): time.sleep(0.002)\n    return x\n", file), file
}

// cancelled is the answer to a cancellation of tasks.
type cancelled struct {
	Cancelled int64
	Refused   []int64
}

// TestCancelWaiting checks that tasks which lanes have claimed but not started are
// cancelled too, that their lines in a stream come at once, and that the job goes on.
func TestCancelWaiting(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, threads := range []int{1, 2} {
		source, file := gated(t)
		j := s.submit(program(source, `{"open":true}`, fmt.Sprintf(`,"policy":{"processes":2,"threads":%d}`, threads)))
		path := "/api/v1/jobs/" + j.ID
		var inputs strings.Builder
		for i := range 50 {
			fmt.Fprintln(&inputs, i)
		}
		if a := s.call("POST", path+"/tasks", inputs.String()); a.StatusCode != 200 {
			t.Fatal(a.text)
		}
		stream := s.send("GET", path+"/results?follow=true&order=completion", "")
		defer stream.Body.Close()
		await(t, "tasks run", func() bool {
			a := s.get(path)
			a.into(t, &j)
			return j.Executing == int64(2*threads)
		})
		began := time.Now()
		a := s.call("POST", path+"/cancel?waiting=true", "")
		if a.into(t, &j); a.StatusCode != 200 || j.State != jobs.Open || j.Counts.Running > int64(2*threads) || j.Counts.Waiting != 0 || j.Counts.Cancelled+j.Counts.Running != 50 {
			t.Errorf("%d threads: %d, %s %+v after %v", threads, a.StatusCode, j.State, j.Counts, time.Since(began))
		}
		body := bufio.NewReader(stream.Body)
		cancelled := j.Counts.Cancelled
		for range cancelled {
			if line := next(t, body); !strings.Contains(line, `"state":"cancelled"`) {
				t.Fatal(line)
			}
		}
		if a := s.call("POST", path+"/tasks", "50\n"); a.StatusCode != 200 {
			t.Fatal(a.text)
		}
		touch(t, file)
		s.call("POST", path+"/seal", "")
		j = s.ended(j.ID)
		if want := fmt.Sprintf("%d of 51 tasks were cancelled", cancelled); j.State != jobs.Cancelled || j.Counts.Succeeded != 51-cancelled || j.Reason != want {
			t.Errorf("%d threads: %s %+v %q", threads, j.State, j.Counts, j.Reason)
		}
		if a := s.call("POST", path+"/cancel?waiting=true", ""); a.StatusCode != 200 {
			t.Error("again:", a.text)
		}
		got := s.results(j.ID, "")
		if len(got) != 51 || got[50] != "50 succeeded" {
			t.Errorf("results %v", got)
		}
		if again := s.results(j.ID, "?order=completion"); len(again) != 51 {
			t.Errorf("in order of completion %d lines", len(again))
		}
		if a := s.call("POST", path+"/retry", ""); a.StatusCode != 200 {
			t.Error("retry:", a.text)
		}
		if j = s.ended(j.ID); j.State != jobs.Succeeded || j.Counts.Succeeded != 51 {
			t.Errorf("after a retry: %s %+v", j.State, j.Counts)
		}
	}
}

// TestCancelTask checks the cancellation of single tasks.
func TestCancelTask(t *testing.T) {
	t.Parallel()
	s := serve(t)
	source, file := gated(t)
	j := s.submit(program(source, `{"range":{"stop":6}}`, `,"policy":{"processes":1}`))
	path := "/api/v1/jobs/" + j.ID
	await(t, "a task runs", func() bool {
		s.get(path).into(t, &j)
		return j.Executing == 1
	})
	for range 2 {
		var task jobs.Task
		if a := s.call("POST", path+"/tasks/3/cancel", ""); a.StatusCode != 200 {
			t.Error(a.text)
		} else if a.into(t, &task); task.State != jobs.TaskCancelled || task.Index != 3 || task.Attempts != 0 {
			t.Errorf("%+v", task)
		}
	}
	began := time.Now()
	if p := s.call("POST", path+"/tasks/0/cancel", "").problem(t); p.Status != 409 || !strings.Contains(p.Detail, "The task runs.") {
		t.Errorf("a running task: %+v", p)
	}
	if d := time.Since(began); d > time.Second {
		t.Errorf("that took %v", d)
	}
	for index, want := range map[string]int{"6": 404, "-1": 404, "x": 404, "00": 404} {
		if a := s.call("POST", path+"/tasks/"+index+"/cancel", ""); a.StatusCode != want {
			t.Errorf("task %s: %d %s", index, a.StatusCode, a.text)
		}
	}
	var c cancelled
	if a := s.call("POST", path+"/tasks/cancel", `{"indexes":[5,0,3,5]}`); a.StatusCode != 200 {
		t.Error(a.text)
	} else if a.into(t, &c); c.Cancelled != 2 || !slices.Equal(c.Refused, []int64{0}) {
		t.Errorf("%+v", c)
	}
	for body, want := range map[string]string{
		`{"indexes":[]}`: "body.indexes", `{}`: "body.indexes", `{"indexes":[1,6]}`: "body.indexes[1]", `{"indexes":[-1]}`: "body.indexes[0]", `{"indexes":["1"]}`: "body.indexes[0]",
	} {
		if p := s.call("POST", path+"/tasks/cancel", body).problem(t); p.Status != 422 || len(p.locations()) == 0 || p.locations()[0] != want {
			t.Errorf("%s: %+v", body, p)
		}
	}
	if doc := s.page("/jobs/"+j.ID, 200); doc.Find(`button[formaction="/jobs/`+j.ID+`/cancel-waiting"]`).Length() != 1 {
		t.Error("the page has no button")
	}
	touch(t, file)
	if j = s.ended(j.ID); j.State != jobs.Cancelled || j.Counts != (jobs.Counts{Total: 6, Succeeded: 4, Cancelled: 2}) {
		t.Errorf("%s %+v", j.State, j.Counts)
	}
	if p := s.call("POST", path+"/tasks/0/cancel", "").problem(t); p.Status != 409 || p.Detail != "The task has already ended." {
		t.Errorf("an ended task: %+v", p)
	}
	other := s.user("other", jobs.Submitter)
	if a := s.call("POST", path+"/tasks/0/cancel", "", "Authorization", "Bearer "+other); a.StatusCode != 404 {
		t.Errorf("another's task: %d", a.StatusCode)
	}
}

// TestCancelTaskFromPages checks the buttons of a paused job's pages.
func TestCancelTaskFromPages(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.manual(3)
	form := s.page("/jobs/"+id+"/tasks/1", 200).Find(`form[action="/jobs/` + id + `/tasks/1/cancel"]`)
	if form.Length() != 1 {
		t.Fatal("the page of a waiting task has no button")
	}
	s.post("/jobs/"+id+"/tasks/1/cancel", fields(form))
	doc := s.page("/jobs/"+id+"/tasks/1", 200)
	if doc.Find(`form[action$="/cancel"]`).Length() != 0 || !strings.Contains(text(doc, "#task"), "The task was cancelled.") {
		t.Error(text(doc, "#task"))
	}
	s.post("/jobs/"+id+"/cancel-waiting", nil)
	var j job
	if s.get("/api/v1/jobs/"+id).into(t, &j); j.State != jobs.Cancelled || j.Counts.Cancelled != 3 {
		t.Errorf("%s %+v", j.State, j.Counts)
	}
}
