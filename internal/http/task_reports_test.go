package http_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
)

// reportsProgress reports progress as a Python task does, and then waits for a file.
const reportsProgress = `
import json, os, socket, time
import allcores
def f(path):
    if path:
        allcores._task_progress(0.25, "first\nline " + "x" * 300)
        allcores._task_progress(0.5, "half <of> it")
        while not os.path.exists(path):
            time.sleep(0.01)
`

// TestProgress checks that the last report of a running task is on its page, on its
// job's page and in the API, for its owner only, and that it goes with the task.
func TestProgress(t *testing.T) {
	t.Parallel()
	s := serve(t)
	release := filepath.Join(t.TempDir(), "release")
	j := s.submit(program(reportsProgress, fmt.Sprintf(`{"items":["",%q]}`, release), `,"policy":{"chunk_size":2}`))
	at := "/api/v1/jobs/" + j.ID + "/progress"
	var list struct{ Items []jobs.TaskProgress }
	await(t, "a report of progress", func() bool {
		s.get(at).into(t, &list)
		return len(list.Items) > 0
	})
	if p := list.Items[0]; len(list.Items) != 1 || p.Job != j.ID || p.Task != 1 || p.Fraction == nil || *p.Fraction != 0.5 || p.Message != "half <of> it" {
		t.Errorf("progress %+v", list.Items)
	}
	if got := text(s.page("/jobs/"+j.ID, 200), "#job-reports tbody tr"); !strings.HasPrefix(got, "150 %half <of> it") {
		t.Errorf("the job's page: %q", got)
	}
	if got := text(s.page("/jobs/"+j.ID+"/tasks/1", 200), ".reported"); !strings.HasPrefix(got, "50 % half <of> it") {
		t.Errorf("the task's page: %q", got)
	}
	eve := s.user("eve", jobs.Submitter)
	if a := s.get(at, "Authorization", "Bearer "+eve); a.StatusCode != 404 {
		t.Errorf("another user: %d %s", a.StatusCode, a.text)
	}
	if a := s.get("/api/v1/nodes", "Authorization", "Bearer "+eve); strings.Contains(a.text, "half") {
		t.Error("nodes notify everyone")
	}
	if err := os.WriteFile(release, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.ended(j.ID)
	if s.get(at).into(t, &list); len(list.Items) > 0 {
		t.Errorf("after the end: %+v", list.Items)
	}
}

// TestProgressOfACommand checks that a command reports progress with curl.
func TestProgressOfACommand(t *testing.T) {
	t.Parallel()
	s := serve(t)
	release := filepath.Join(t.TempDir(), "release")
	script := `curl -sS --fail --unix-socket \"$ALLCORES_SOCKET\" \"$ALLCORES_TASK_URL/progress\" -d '{\"message\": \"begun\"}'; until [ -e \"$1\" ]; do sleep 0.02; done`
	j := s.submit(fmt.Sprintf(`{"program":{"command":{"argv":["sh","-c","%s","sh","{}"]}},"inputs":{"items":[%q]}}`, script, release))
	await(t, "a report of progress", func() bool {
		return strings.Contains(s.get("/api/v1/jobs/"+j.ID+"/progress").text, `"task":0,"fraction":null,"message":"begun"`)
	})
	if err := os.WriteFile(release, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if j := s.ended(j.ID); j.State != jobs.Succeeded {
		t.Errorf("%s: %s", j.State, s.get("/api/v1/jobs/"+j.ID+"/errors").text)
	}
}
