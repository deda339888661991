package http_test

import (
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
)

// TestIdleSeal checks that an open job whose client is gone is sealed and ends, and
// that it says so.
func TestIdleSeal(t *testing.T) {
	t.Parallel()
	s := serve(t)
	if p := s.call("POST", "/api/v1/jobs", program(squares, `{"open":true,"idle_seal":5}`)).problem(t); p.Status != 422 || len(p.locations()) != 1 || p.locations()[0] != "body.inputs.idle_seal" {
		t.Errorf("%+v", p)
	}
	j := s.submit(program(squares, `{"open":true,"idle_seal":"1s"}`))
	path := "/api/v1/jobs/" + j.ID
	s.call("POST", path+"/tasks", "1\n2\n")
	a := s.call("POST", path+"/keep-alive", "")
	var alive job
	if a.into(t, &alive); a.StatusCode != 200 || alive.State != jobs.Open || *alive.Inputs.IdleSeal != "1s" {
		t.Errorf("keep alive: %d %s", a.StatusCode, a.text)
	}
	if page := s.get("/jobs/" + j.ID); !strings.Contains(page.text, "sealed after 1s without input") {
		t.Error("the page does not say when the job is sealed")
	}
	j = s.ended(j.ID)
	if j.State != jobs.Succeeded || j.Counts.Succeeded != 2 || !j.Inputs.IdleSealed || j.Reason != "sealed after 1s without input" {
		t.Errorf("%+v", j)
	}
	if a := s.call("POST", path+"/keep-alive", ""); a.StatusCode != 409 {
		t.Errorf("keep an ended job alive: %d %s", a.StatusCode, a.text)
	}
	if page := s.get("/jobs/" + j.ID); !strings.Contains(page.text, `<p class="note">sealed after 1s without input`) {
		t.Error("the page does not say why the job was sealed")
	}
}
