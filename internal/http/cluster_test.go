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

// TestAskingAnotherNode has three nodes: a job is submitted on one and runs on the
// second. A client of the third that waits for the job, follows its results or
// watches its events receives each as soon as it has happened.
func TestAskingAnotherNode(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	asked, submitted, worker := serveAt(t, url, engine.RoleWeb), serveAt(t, url, engine.RoleWeb), serveAt(t, url, engine.RoleWorker)
	checkWorker(t, worker)

	g := &gatedJob{T: t, gates: t.TempDir(), soonest: time.Hour}
	id := submitted.submit(program(fmt.Sprintf(`
import os, time
def f(x):
    while not os.path.exists(os.path.join(%q, str(x))):
        time.sleep(0.005)
    return x * x
`, g.gates), `{"range":{"stop":4}}`, `,"policy":{"processes":4,"chunk_size":1},"queue":"io"`)).ID

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
	await(t, "all tasks run on the worker", func() bool {
		var running int
		err := asked.store.Pool.QueryRow(t.Context(), `select count(*) from chunks where state = 'leased' and node_id = $1`, worker.node).Scan(&running)
		return err == nil && running == 4
	})
	g.open(2)
	g.expect(asDone, 2)
	g.arrived("the first result")
	until(t, events, `"succeeded":1,`)
	g.arrived("the event of it")
	g.open(0)
	g.expect(asDone, 0)
	g.expect(ordered, 0)
	g.arrived("the second result, the first in order")
	g.open(1)
	g.expect(ordered, 1, 2)
	g.arrived("the third")
	select {
	case j := <-ended:
		t.Errorf("the wait ended before the job: %+v", j)
	default:
	}
	g.open(3)
	g.expect(asDone, 1, 3)
	g.expect(ordered, 3)
	g.arrived("the last result")
	g.checkEnd(ended)
	until(t, events, "event: end")
	g.arrived("the event of the end")
	for _, body := range []*bufio.Reader{asDone, ordered} {
		if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
			t.Errorf("after the end: %q, %v", rest, err)
		}
	}
	// Without notifications each would still arrive about a second later.
	if g.soonest > 800*time.Millisecond {
		t.Errorf("nothing arrived sooner than %v", g.soonest)
	}
	checkCancelAtAnotherNode(t, asked, submitted)
}

// A gatedJob squares its inputs. Each task ends once its gate is open.
type gatedJob struct {
	*testing.T
	gates   string        // directory of a file per open gate
	opened  time.Time     // when the last gate was opened
	soonest time.Duration // least time from an opened gate to an arrival
}

// open lets task x end.
func (g *gatedJob) open(x int) {
	g.Helper()
	if err := os.WriteFile(filepath.Join(g.gates, fmt.Sprint(x)), nil, 0o600); err != nil {
		g.Fatal(err)
	}
	g.opened = time.Now()
}

// arrived logs how long after the last opened gate something arrived.
func (g *gatedJob) arrived(what string) {
	g.Helper()
	took := time.Since(g.opened)
	g.Logf("%s after %v", what, took.Round(time.Millisecond))
	g.soonest = min(g.soonest, took)
}

// expect reads the results of the tasks from body.
func (g *gatedJob) expect(body *bufio.Reader, indexes ...int64) {
	g.Helper()
	for _, want := range indexes {
		var r result
		if err := json.Unmarshal([]byte(next(g.T, body)), &r); err != nil || r.Index != want || r.Output != float64(want*want) {
			g.Fatalf("%+v %v, want %d", r, err, want)
		}
	}
}

// checkEnd waits for the ended job and checks that all its tasks succeeded.
func (g *gatedJob) checkEnd(ended <-chan job) {
	g.Helper()
	select {
	case j := <-ended:
		g.arrived("the end")
		if j.State != jobs.Succeeded || j.Counts.Succeeded != 4 {
			g.Errorf("%+v", j)
		}
	case <-time.After(10 * time.Second):
		g.Error("the wait did not end with the job")
	}
}

// until reads events up to one that holds the text.
func until(t *testing.T, events *bufio.Reader, text string) {
	t.Helper()
	for !strings.Contains(next(t, events), text) {
	}
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
