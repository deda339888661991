package sharedcalls_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine/tasksocket"
	"github.com/allcores/allcores/internal/jobs/engine/tasksocket/frames"
	"github.com/allcores/allcores/internal/jobs/engine/tasksocket/sharedcalls"
	"github.com/allcores/allcores/internal/jobs/shared"
)

// A memoryHome is a home without a log: the objects of one scope.
type memoryHome struct {
	mu      sync.Mutex
	space   *shared.Space
	waiting map[uint64]chan shared.Answer
	callers []shared.Caller
	waits   atomic.Int64 // calls that wait now
}

func newMemoryHome() *memoryHome {
	return &memoryHome{space: shared.New(shared.DefaultBounds), waiting: make(map[uint64]chan shared.Answer)}
}

func (h *memoryHome) Call(ctx context.Context, caller shared.Caller, call shared.Call) (shared.Answer, error) {
	h.mu.Lock()
	answer, wait := h.space.Do(&caller, shared.NextOrdinal, &call)
	if len(h.callers) < 1000 {
		h.callers = append(h.callers, caller)
	}
	if wait == nil {
		h.deliver()
		h.mu.Unlock()
		return answer, nil
	}
	c := make(chan shared.Answer, 1)
	h.waiting[wait.ID] = c
	h.deliver()
	h.mu.Unlock()
	h.waits.Add(1)
	defer h.waits.Add(-1)
	if call.Timeout >= 0 {
		defer time.AfterFunc(call.Timeout, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.space.TimeUp(wait.ID)
			h.deliver()
		}).Stop()
	}
	select {
	case answer := <-c:
		return answer, nil
	case <-ctx.Done():
		h.mu.Lock()
		defer h.mu.Unlock()
		h.space.Cancel(wait.ID)
		delete(h.waiting, wait.ID)
		return shared.Answer{}, context.Cause(ctx)
	}
}

func (h *memoryHome) deliver() {
	for _, w := range h.space.TakeWoken() {
		if c := h.waiting[w.Wait]; c != nil {
			c <- w.Answer
			delete(h.waiting, w.Wait)
		}
	}
	h.space.TakeLog(nil)
}

func (h *memoryHome) Snapshot(context.Context, shared.Scope) ([]shared.Info, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.space.List(1000), nil
}

func (h *memoryHome) Read(_ context.Context, _ shared.Scope, name string) (shared.Info, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	info, ok := h.space.Read(name)
	if !ok {
		return info, fmt.Errorf("read: %w", jobs.ErrNotFound)
	}
	return info, nil
}

// reports keeps the last report of each task.
type reports struct{ last sync.Map }

func (r *reports) Report(x tasksocket.Execution, p sharedcalls.Progress) { r.last.Store(x.Task, p) }

// A socket is a served task socket with one session that holds tasks 0 to 99.
type socket struct {
	t       testing.TB
	home    *memoryHome
	reports *reports
	server  *tasksocket.Server
	session *tasksocket.Session
	http    *http.Client
}

func newSocket(t testing.TB) *socket {
	t.Helper()
	s := &socket{t: t, home: newMemoryHome(), reports: &reports{}, server: tasksocket.New(slog.New(slog.DiscardHandler))}
	(&sharedcalls.Handlers{Home: s.home, Reporter: s.reports, Logger: slog.New(slog.DiscardHandler)}).Register(s.server)
	if err := s.server.Start(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.server.Close)
	s.session = s.server.Open("job", "owner", 0, func(task int64) (int64, bool) { return 7, task < 100 })
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.server.Path())
	}}
	s.http = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.session.Close()
	})
	return s
}

// A client speaks frames.
type client struct {
	t      testing.TB
	conn   net.Conn
	reader *bufio.Reader
}

func (s *socket) frames(path string) *client {
	s.t.Helper()
	conn, err := net.Dial("unix", s.server.Path())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: allcores\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", path, frames.Protocol)
	c := &client{s.t, conn, bufio.NewReader(conn)}
	answer, err := http.ReadResponse(c.reader, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		s.t.Fatalf("upgrade: %v, %v", answer, err)
	}
	return c
}

func (s *socket) path() string { return strings.TrimPrefix(s.session.URL(), "http://allcores") }

func (c *client) send(id uint32, task int64, op, name, args string) {
	c.t.Helper()
	if _, err := c.conn.Write(frames.AppendRequest(nil, frames.Request{ID: id, Task: task, Op: op, Name: name, Args: []byte(args)})); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() (id uint32, text string) {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	a, err := frames.ReadAnswer(c.reader)
	if err != nil {
		c.t.Fatal(err)
	}
	if a.Status == frames.Failed {
		return a.ID, "error " + string(a.Body)
	}
	return a.ID, string(a.Body)
}

// call makes a call and returns its answer.
func (c *client) call(task int64, op, name, args string) string {
	c.t.Helper()
	c.send(1, task, op, name, args)
	_, text := c.read()
	return text
}

// await polls until a condition holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited too long: " + what)
		}
	}
}

// ends reports whether the connection ends.
func (c *client) ends() bool {
	c.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, err := c.reader.ReadByte()
	return errors.Is(err, io.EOF)
}
