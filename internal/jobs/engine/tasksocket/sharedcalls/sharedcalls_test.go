package sharedcalls_test

import (
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/allcores/allcores/internal/jobs/engine/tasksocket/frames"
	"github.com/allcores/allcores/internal/jobs/shared"
)

func TestFrames(t *testing.T) {
	t.Parallel()
	s := newSocket(t)
	c := s.frames(s.path() + "/shared")
	for _, q := range []struct{ op, name, args, want string }{
		{"add", "hits", `{"kind":"value","args":[2]}`, "2"},
		{"add", "hits", `{"kind":"value","args":[3]}`, "5"},
		{"get", "hits", `{"kind":"value"}`, "5"},
		{"make", "items", `{"kind":"queue","params":{"size":1}}`, "null"},
		{"put", "items", `{"kind":"queue","args":["a"]}`, "null"},
		{"put", "items", `{"kind":"queue","args":["b"],"timeout":0}`, `error {"kind":"full"`},
		{"get", "items", `{"kind":"queue"}`, `"a"`},
		{"get", "items", `{"kind":"queue","timeout":0.01}`, `error {"kind":"empty"`},
		{"add", "items", `{"kind":"value","args":[1]}`, `error {"kind":"mismatch"`},
		{"get", "items", `{"kind":"queue"`, `error {"kind":"argument"`},
		{"progress", "", `{"fraction":0.5,"message":"half"}`, "null"},
		{"progress", "", `{"fraction":2}`, `error {"kind":"argument"`},
	} {
		if got := c.call(3, q.op, q.name, q.args); !strings.HasPrefix(got, q.want) {
			t.Errorf("%s of %s with %s: %s, want %s", q.op, q.name, q.args, got, q.want)
		}
	}
	if got := c.call(100, "get", "hits", `{"kind":"value"}`); !strings.HasPrefix(got, `error {"kind":"superseded"`) {
		t.Errorf("a task that does not run: %s", got)
	}
	want := shared.Caller{Scope: shared.Scope{Job: "job"}, Job: "job", Task: 3, Lease: 7}
	if diff := cmp.Diff(want, s.home.callers[0]); diff != "" {
		t.Errorf("caller (-want +got):\n%s", diff)
	}
	if p, ok := s.reports.last.Load(int64(3)); !ok || p == nil {
		t.Error("no progress was reported")
	}
}

// TestFramesWait checks that a waiting call holds up no other one of its connection.
func TestFramesWait(t *testing.T) {
	t.Parallel()
	s := newSocket(t)
	c := s.frames(s.path() + "/tasks/1/shared")
	c.send(1, 1, "get", "items", `{"kind":"queue"}`)
	await(t, "the call waits", func() bool { return s.home.waits.Load() == 1 })
	c.send(2, 1, "put", "items", `{"kind":"queue","args":["x"],"thread":1}`)
	got := map[uint32]string{}
	for range 2 {
		id, text := c.read()
		got[id] = text
	}
	if diff := cmp.Diff(map[uint32]string{1: `"x"`, 2: "null"}, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

// TestClosedConnectionTakesItsWaitsBack checks that a client that dies wakes nobody
// and takes no item.
func TestClosedConnectionTakesItsWaitsBack(t *testing.T) {
	t.Parallel()
	s := newSocket(t)
	dies, lives := s.frames(s.path()+"/shared"), s.frames(s.path()+"/shared")
	dies.send(1, 1, "get", "items", `{"kind":"queue"}`)
	await(t, "the call waits", func() bool { return s.home.waits.Load() == 1 })
	dies.conn.Close()
	await(t, "the call is taken back", func() bool { return s.home.waits.Load() == 0 })
	lives.call(2, "put", "items", `{"kind":"queue","args":[1]}`)
	if got := lives.call(2, "get", "items", `{"kind":"queue","timeout":0}`); got != "1" {
		t.Errorf("the item is %s", got)
	}
}

// TestSessionEnds checks that waiting calls are answered when their session ends, and
// that its connections close.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	s := newSocket(t)
	c := s.frames(s.path() + "/shared")
	c.send(1, 1, "get", "items", `{"kind":"queue"}`)
	await(t, "the call waits", func() bool { return s.home.waits.Load() == 1 })
	s.session.Close()
	if _, text := c.read(); !strings.HasPrefix(text, `error {"kind":"superseded"`) {
		t.Errorf("the waiting call: %s", text)
	}
	if !c.ends() {
		t.Error("the connection stays open")
	}
}

// TestBadFrames checks that a frame past the bound is refused alone, and that one that
// is no frame ends its connection.
func TestBadFrames(t *testing.T) {
	t.Parallel()
	s := newSocket(t)
	c := s.frames(s.path() + "/shared")
	c.send(5, 1, "put", "items", strings.Repeat(" ", frames.MaxRequest))
	if id, text := c.read(); id != 5 || !strings.HasPrefix(text, `error {"kind":"bounds"`) {
		t.Errorf("a large frame: %d %s", id, text)
	}
	if got := c.call(1, "add", "n", `{"kind":"value","args":[1]}`); got != "1" {
		t.Errorf("the frame after it: %s", got)
	}
	c.conn.Write(binary.LittleEndian.AppendUint32(nil, 3))
	if !c.ends() {
		t.Error("the connection stays open after bytes that are no frame")
	}
}

func TestUpgradeRefused(t *testing.T) {
	t.Parallel()
	s := newSocket(t)
	for _, c := range []struct {
		path, upgrade string
		status        int
	}{
		{"/shared", "", http.StatusNotFound},
		{"/shared", "websocket", http.StatusUpgradeRequired},
		{"/tasks/1/shared", "websocket", http.StatusUpgradeRequired},
		{"/tasks/100/shared", frames.Protocol, http.StatusConflict},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.session.URL()+c.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if c.upgrade != "" {
			req.Header.Set("Connection", "Upgrade")
			req.Header.Set("Upgrade", c.upgrade)
		}
		answer, err := s.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.StatusCode != c.status {
			t.Errorf("%s with %q: %d, want %d", c.path, c.upgrade, answer.StatusCode, c.status)
		}
	}
}
