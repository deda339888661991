package http_test

import (
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
)

// TestFailurePayload checks where the text is that an exception carries for its
// submitter.
func TestFailurePayload(t *testing.T) {
	t.Parallel()
	s := serve(t)
	j := s.submit(program("def f(x):\n    e = ValueError('wrong')\n    e.__allcores_payload__ = 'carried \\u2603'.upper()\n    raise e\n", `{"items":[1]}`,
		`,"policy":{"max_attempts":2,"retry_backoff":"0s"}`))
	s.ended(j.ID)
	path := "/api/v1/jobs/" + j.ID
	a := s.get(path + "/results")
	if r := lines[result](t, a.text); len(r) != 1 || r[0].Error == nil || r[0].Error.Payload != "CARRIED \u2603" || r[0].Error.Message != "wrong" {
		t.Errorf("results: %s", a.text)
	}
	var task jobs.Task
	s.get(path+"/tasks/0").into(t, &task)
	if task.Error == nil || task.Error.Payload != "CARRIED \u2603" || task.Attempts != 2 {
		t.Errorf("task: %+v", task)
	}
	for _, other := range []string{path + "/errors", path + "/results?format=csv", "/jobs/" + j.ID, "/jobs/" + j.ID + "/tasks/0", "/jobs/" + j.ID + "/results"} {
		if a := s.get(other); a.StatusCode != 200 || strings.Contains(a.text, "CARRIED") {
			t.Errorf("GET %s: %d, or it has the payload", other, a.StatusCode)
		}
	}
}
