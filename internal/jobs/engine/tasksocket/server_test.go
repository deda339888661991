package tasksocket

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// start starts a server with one handler, echo, and returns a client of it.
func start(t *testing.T, dir string) (*Server, *http.Client) {
	t.Helper()
	s := New(slog.New(slog.DiscardHandler))
	s.Handle("echo", func(w http.ResponseWriter, r *http.Request, x Execution, rest string) error {
		switch rest {
		case "wait":
			<-r.Context().Done()
			return r.Context().Err()
		case "bad":
			return &Problem{Status: http.StatusTeapot, Detail: "Not tea."}
		}
		_, err := io.WriteString(w, x.Job+" "+rest)
		return err
	})
	s.HandleSession("lane", func(w http.ResponseWriter, r *http.Request, x *Session, rest string) error {
		_, err := fmt.Fprint(w, x.Job, " ", x.Lane, " ", rest)
		return err
	})
	if err := s.Start(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.Path())
	}}}
}

func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	a, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, string(body)
}

// holds returns a function that holds tasks first…last under a lease.
func holds(first, last, lease int64) func(int64) (int64, bool) {
	return func(task int64) (int64, bool) { return lease, task >= first && task <= last }
}

func TestRequestsReachTheirExecution(t *testing.T) {
	s, c := start(t, t.TempDir())
	a, b := s.Open("a", "me", 0, holds(10, 19, 7)), s.Open("b", "me", 0, holds(0, 0, 8))
	for _, test := range []struct {
		url    string
		status int
		body   string
	}{
		{a.URL() + "/tasks/12/echo/x/y", 200, "a x/y"},
		{b.URL() + "/tasks/0/echo", 200, "b "},
		{a.URL() + "/tasks/20/echo", 409, "Task 20 does not run here"},
		{a.URL() + "/tasks/-1/echo", 404, "ALLCORES_TASK_URL"},
		{a.URL() + "/tasks/12", 404, "ALLCORES_TASK_URL"},
		{a.URL() + "/lane/x/y", 200, "a 0 x/y"},
		{a.URL() + "/echo", 404, "no echo"},
		{a.URL() + "/tasks/12/tea", 404, "no tea"},
		{a.URL() + "/tasks/12/echo/bad", 418, "Not tea."},
		{a.URL() + "0/tasks/12/echo", 410, "has ended"},
	} {
		if status, body := get(t, c, test.url); status != test.status || !strings.Contains(body, test.body) {
			t.Errorf("%s: %d %s", test.url, status, body)
		}
	}
}

func TestCloseEndsRequestsOfTheSession(t *testing.T) {
	s, c := start(t, t.TempDir())
	x := s.Open("a", "me", 0, holds(0, 0, 1))
	status := make(chan int)
	go func() {
		a, err := c.Get(x.URL() + "/tasks/0/echo/wait")
		if err != nil {
			t.Error(err)
			close(status)
			return
		}
		a.Body.Close()
		status <- a.StatusCode
	}()
	x.Close() // before or while the request is served
	if got := <-status; got != http.StatusGone {
		t.Errorf("the request ended with %d", got)
	}
	if got, _ := get(t, c, x.URL()+"/tasks/0/echo"); got != http.StatusGone {
		t.Errorf("a request after the end: %d", got)
	}
}

func TestSocketIsPrivateAndShort(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	s, c := start(t, deep)
	x := s.Open("a", "me", 0, holds(0, 0, 1))
	if status, _ := get(t, c, x.URL()+"/tasks/0/echo"); status != 200 || len(s.Path()) > maxPath {
		t.Errorf("%d at a path of %d bytes", status, len(s.Path()))
	}
	info, err := os.Stat(filepath.Dir(s.Path()))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is %v: %v", info.Mode(), err)
	}
	x.Close()
	s.Close()
	if _, err := os.Stat(filepath.Dir(s.Path())); !os.IsNotExist(err) {
		t.Errorf("the directory of the socket is left: %v", err)
	}
}

func BenchmarkOpen(b *testing.B) {
	s := New(slog.New(slog.DiscardHandler))
	b.ReportAllocs()
	for b.Loop() {
		s.Open("a", "me", 0, holds(0, 0, 1)).Close()
	}
}
