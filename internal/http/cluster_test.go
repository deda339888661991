package http_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
)

// TestAskingAnotherNode has three nodes: a job is submitted on one, runs on the
// second, and whoever waits for it, follows its results or watches its events on
// the third hears of each thing as soon as it has happened.
func TestAskingAnotherNode(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	asked, submitted, worker := serveAt(t, url, engine.RoleWeb), serveAt(t, url, engine.RoleWeb), serveAt(t, url, engine.RoleWorker)
	checkWorker(t, worker)

	gates := t.TempDir()
	id := submitted.submit(program(fmt.Sprintf(`
import os, time
def f(x):
    while not os.path.exists(os.path.join(%q, str(x))):
        time.sleep(0.005)
    return x * x
`, gates), `{"range":{"stop":4}}`, `,"policy":{"processes":4,"chunk_size":1},"queue":"io"`)).ID

	follow := func(query string) *bufio.Reader {
		res := asked.send("GET", "/api/v1/jobs/"+id+query, "")
		t.Cleanup(func() { res.Body.Close() })
		if res.StatusCode != http.StatusOK {
			t.Fatal(res.Status)
		}
		return bufio.NewReader(res.Body)
	}
	ordered, asDone, events := follow("/results?follow=true"), follow("/results?follow=true&order=completion"), follow("/events")
	ended := make(chan job, 1)
	go func() {
		var j job
		asked.get("/api/v1/jobs/"+id+"?wait=60").into(t, &j)
		ended <- j
	}()
	opened := time.Now()
	open := func(x int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(gates, fmt.Sprint(x)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		opened = time.Now()
	}
	soonest := time.Hour
	soon := func(what string) {
		t.Helper()
		took := time.Since(opened)
		t.Logf("%s after %v", what, took.Round(time.Millisecond))
		soonest = min(soonest, took)
	}
	expect := func(body *bufio.Reader, indexes ...int64) {
		t.Helper()
		for _, want := range indexes {
			var r result
			if err := json.Unmarshal([]byte(next(t, body)), &r); err != nil || r.Index != want || r.Output != float64(want*want) {
				t.Fatalf("%+v %v, want %d", r, err, want)
			}
		}
	}
	await(t, "all tasks run on the worker", func() bool {
		var running int
		err := asked.store.Pool.QueryRow(t.Context(), `select count(*) from chunks where state = 'leased' and node_id = $1`, worker.node).Scan(&running)
		return err == nil && running == 4
	})
	opened = time.Now()
	// until reads events up to one that holds the text.
	until := func(text string) {
		t.Helper()
		for !strings.Contains(next(t, events), text) {
		}
	}
	open(2)
	expect(asDone, 2)
	soon("the first result")
	until(`"succeeded":1,`)
	soon("the event of it")
	open(0)
	expect(asDone, 0)
	expect(ordered, 0)
	soon("the second result, the first in order")
	open(1)
	expect(ordered, 1, 2)
	soon("the third")
	select {
	case j := <-ended:
		t.Errorf("who waits for the end was told before: %+v", j)
	default:
	}
	open(3)
	expect(asDone, 1, 3)
	expect(ordered, 3)
	soon("the last result")
	select {
	case j := <-ended:
		soon("the end")
		if j.State != jobs.Succeeded || j.Counts.Succeeded != 4 {
			t.Errorf("%+v", j)
		}
	case <-time.After(10 * time.Second):
		t.Error("who waits for the end was not told")
	}
	until("event: end")
	soon("the event of the end")
	for _, body := range []*bufio.Reader{asDone, ordered} {
		if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
			t.Errorf("after the end: %q, %v", rest, err)
		}
	}
	// Without news one would hear of each thing about a second later all the same.
	if soonest > 800*time.Millisecond {
		t.Errorf("nothing was heard of sooner than %v", soonest)
	}
	checkCancelAtAnotherNode(t, asked, submitted)
}

// checkCancelAtAnotherNode checks that verbs work at every node.
func checkCancelAtAnotherNode(t *testing.T, asked, submitted *server) {
	t.Helper()
	id := submitted.submit(program("import time\ndef f(x):\n    time.sleep(60)\n", `{"range":{"stop":4}}`)).ID
	await(t, "tasks run", func() bool {
		var j job
		asked.get("/api/v1/jobs/"+id).into(t, &j)
		return j.Counts.Running == 2
	})
	opened := time.Now()
	var j job
	asked.call("POST", "/api/v1/jobs/"+id+"/cancel", "").into(t, &j)
	t.Logf("the cancellation after %v", time.Since(opened).Round(time.Millisecond))
	if j.State != jobs.Cancelled || j.Counts.Cancelled != 4 {
		t.Errorf("%+v", j)
	}
}

// checkWorker checks that a worker has no pages and no API.
func checkWorker(t *testing.T, worker *server) {
	t.Helper()
	for path, status := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/": 404, "/login": 404, "/api/v1/jobs": 404} {
		if a := worker.get(path); a.StatusCode != status || status == 404 && !strings.Contains(a.text, "-role worker") {
			t.Errorf("the worker answers %s with %d: %s", path, a.StatusCode, a.text)
		}
	}
}
