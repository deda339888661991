package http_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// An event is one server-sent event.
type event struct {
	name, data string
	id         int64
	at         time.Time
}

// events opens a stream and sends its events until it ends.
func (s *server) events(path string, headers ...string) <-chan event {
	s.t.Helper()
	res := s.send("GET", path, "", append([]string{"Accept", "text/event-stream"}, headers...)...)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		res.Body.Close()
		s.t.Fatalf("%s: %s %v", path, res.Status, res.Header)
	}
	out := make(chan event)
	done := make(chan struct{})
	s.t.Cleanup(func() { res.Body.Close(); <-done })
	go func() {
		defer close(done)
		defer close(out)
		var e event
		var data []string
		in := bufio.NewReader(res.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimSuffix(line, "\n")
			if strings.ContainsRune(line, '\r') { // ends a line too
				s.t.Errorf("a carriage return in %q", line)
			}
			key, value, _ := strings.Cut(line, ": ")
			switch {
			case line == "" && data != nil:
				e.data, e.at = strings.Join(data, "\n"), time.Now()
				select {
				case out <- e:
				case <-s.t.Context().Done():
					return
				}
				e, data = event{}, nil
			case key == "event":
				e.name = value
			case key == "id":
				e.id, _ = strconv.ParseInt(value, 10, 64)
			case key == "data" || key == "data:":
				data = append(data, value)
			}
		}
	}()
	return out
}

// one waits for an event.
func one(t *testing.T, events <-chan event) (event, bool) {
	t.Helper()
	select {
	case e, ok := <-events:
		return e, ok
	case <-time.After(10 * time.Second):
		t.Fatal("no event came")
		return event{}, false
	}
}

func TestJobEvents(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const inputs = `{"range":{"stop":400}}`
	id := s.submit(program("import time\ndef f(x):\n    time.sleep(0.005)\n    return x\n", inputs)).ID
	stream := s.events("/api/v1/jobs/" + id + "/events")
	var last event
	var all []event
	var done int64
	for {
		e, ok := one(t, stream)
		if !ok {
			break
		}
		if e.id <= last.id {
			t.Errorf("id %d after %d", e.id, last.id)
		}
		var j jobs.Job
		if err := json.Unmarshal([]byte(e.data), &j); err != nil {
			t.Fatalf("%v in %q", err, e.data)
		}
		c := j.Counts
		if c.Total != 400 || c.Waiting+c.Running+c.Done() != c.Total || c.Waiting < 0 || c.Done() < done {
			t.Errorf("counts %+v after %d done", c, done)
		}
		done = c.Done()
		last = e
		all = append(all, e)
	}
	if len(all) < 4 || all[0].name != "job" || last.name != "end" || done != 400 {
		t.Fatalf("%d events, the last %+v", len(all), last)
	}
	for i, e := range all[:len(all)-1] {
		if e.name != "job" {
			t.Errorf("event %d is %q", i, e.name)
		}
	}
	if took := all[len(all)-1].at.Sub(all[0].at); float64(len(all)-2) > 4*took.Seconds()+2 {
		t.Errorf("%d events in %v", len(all), took)
	}
	// A client that reconnects gets the present state. The ids continue.
	again := s.events("/api/v1/jobs/"+id+"/events", "Last-Event-ID", strconv.FormatInt(last.id+5000, 10))
	for _, want := range []string{"job", "end"} {
		e, ok := one(t, again)
		if !ok || e.name != want || e.id <= last.id+5000 || !strings.Contains(e.data, `"state":"succeeded"`) {
			t.Errorf("%v %+v", ok, e)
		}
	}
	if e, ok := one(t, again); ok {
		t.Errorf("after the end: %+v", e)
	}
	for _, odd := range []string{"x", "-1", "99999999999999999999", "1152921504606846976", "9223372036854775807"} {
		e, _ := one(t, s.events("/api/v1/jobs/"+id+"/events", "Last-Event-ID", odd))
		if now := time.Now().UnixMilli(); e.id > now+1000 || e.id < now-60_000 {
			t.Errorf("after Last-Event-ID %s: %d", odd, e.id)
		}
	}
}

func TestEventsOfADeletedJob(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.manual(1)
	stream := s.events("/api/v1/jobs/" + id + "/events")
	one(t, stream)
	if _, err := s.store.Pool.Exec(t.Context(), `delete from progress where job_id = $1`, id); err != nil {
		t.Fatal(err)
	}
	if e, _ := one(t, stream); e.name != "end" {
		t.Errorf("%+v", e)
	}
	if e, ok := one(t, stream); ok {
		t.Errorf("%+v", e)
	}
}

func TestAllEvents(t *testing.T) {
	t.Parallel()
	s := serve(t)
	ann := s.user("ann", jobs.Submitter)
	s.submit(program(squares, `{"items":[1]}`, `,"name":"before"`), "Prefer", "wait=20")
	mine := s.events("/api/v1/events", "Authorization", "Bearer "+ann)
	all := s.events("/api/v1/events")
	s.submit(program(squares, `{"items":[1]}`, `,"name":"admin's"`), "Prefer", "wait=20")
	s.submit(program(squares, `{"items":[1]}`, `,"name":"ann's"`), "Prefer", "wait=20", "Authorization", "Bearer "+ann)

	kinds, states := map[string]int{}, map[string]jobs.State{}
	var last int64
	for deadline := time.Now().Add(15 * time.Second); states["admin's"] != jobs.Succeeded || states["ann's"] != jobs.Succeeded || kinds["node"] == 0 || kinds["queue"] < 2; {
		e, ok := one(t, all)
		if !ok || time.Now().After(deadline) {
			t.Fatalf("%v %v", kinds, states)
		}
		if e.id <= last {
			t.Errorf("id %d after %d", e.id, last)
		}
		last = e.id
		kinds[e.name]++
		if e.name == "job" {
			var j jobs.Job
			if err := json.Unmarshal([]byte(e.data), &j); err != nil {
				t.Fatal(err)
			}
			states[j.Name] = j.State
		}
	}
	if states["before"] != jobs.Succeeded {
		t.Errorf("%v", states)
	}
	for {
		e, ok := one(t, mine)
		if !ok {
			t.Fatal("the stream ended")
		}
		if e.name != "job" || !strings.Contains(e.data, `"owner":"ann"`) {
			t.Errorf("ann sees %+v", e)
		}
		if strings.Contains(e.data, `"state":"succeeded"`) {
			break
		}
	}
}

// TestEventsOfAnOldJob checks that a job that is no longer among the newest still has
// events.
func TestEventsOfAnOldJob(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.manual(1)
	stream := s.events("/api/v1/events")
	one(t, stream)
	for range 60 {
		s.call("POST", "/api/v1/jobs/"+s.manual(1)+"/cancel", "")
	}
	s.record(id, s.lease(id, 1))
	for deadline := time.Now().Add(10 * time.Second); ; {
		e, _ := one(t, stream)
		if strings.Contains(e.data, id) && strings.Contains(e.data, `"state":"succeeded"`) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no event reports its end")
		}
	}
}

func TestLogs(t *testing.T) {
	t.Parallel()
	s := serve(t)
	id := s.submit(program("import sys\ndef f(x):\n    print('out', x)\n    print('err', x, file=sys.stderr)\n", `{"range":{"stop":50}}`)).ID
	s.ended(id)
	type line struct {
		jobs.LogLine
		Seq int64
	}
	read := func(query string) []line {
		t.Helper()
		a := s.get("/api/v1/jobs/" + id + "/logs" + query)
		if a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/x-ndjson" {
			t.Fatalf("%d %s", a.StatusCode, a.text)
		}
		return lines[line](t, a.text)
	}
	all := read("")
	if len(all) != 100 {
		t.Fatalf("%d lines", len(all))
	}
	of7 := read("?task=7")
	if len(of7) != 2 || of7[0].Task != 7 || of7[0].Stream == of7[1].Stream || of7[0].At.IsZero() || of7[1].Seq == 0 {
		t.Errorf("%+v", of7)
	}
	if rest := read("?after=" + strconv.FormatInt(all[len(all)-1].Seq, 10)); len(rest) != 0 {
		t.Errorf("after the last: %+v", rest)
	}
	if _, err := s.store.Pool.Exec(t.Context(), `update progress set log_bytes = 1 << 30 where job_id = $1`, id); err != nil {
		t.Fatal(err)
	}
	text := s.get("/api/v1/jobs/" + id + "/logs").text
	if !strings.HasSuffix(text, "\n{\"cut\":true,\"kept_bytes\":16777216}\n") {
		t.Errorf("…%s", text[max(len(text)-200, 0):])
	}
}

// TestIdleJobsAreSilent checks that an idle job sends no events as time passes.
func TestIdleJobsAreSilent(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	paused, open := s.manual(12), s.submit(`{"program":{"command":{"argv":["true"]}},"inputs":{"open":true}}`).ID
	s.record(paused, s.lease(paused, 4))
	s.lease(paused, 4) // keeps running
	s.call("POST", "/api/v1/jobs/"+paused+"/pause", "")
	s.call("POST", "/api/v1/jobs/"+open+"/tasks", "1\n2\n", "Content-Type", "application/x-ndjson")
	claimed, err := s.store.Claim(t.Context(), store.Claim{Job: open, Node: s.node, Want: 2, Floor: 2, Fixed: true, First: true})
	if err != nil {
		t.Fatal(err)
	}
	s.record(open, claimed.Lease)
	streams := map[string]*reader{"paused": s.read("/api/v1/jobs/" + paused + "/events"), "open": s.read("/api/v1/jobs/" + open + "/events")}
	for what, r := range streams {
		await(t, "the beginning of "+what, func() bool { return r.count("job") > 0 })
	}
	for _, id := range []string{paused, open} {
		await(t, "several looks", func() bool { return s.site.Looks("job "+id) > 4 })
	}
	for what, r := range streams {
		if n := r.count("job"); n != 1 {
			t.Errorf("%d events of the job that is %s", n, what)
		}
	}
}
