package http_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// sendAll sends a request as most clients do: it reads the answer only when it
// has sent the whole body of that many bytes.
func (s *server) sendAll(t *testing.T, method, path string, size int, chunked bool, headers ...string) *answer {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	w := bufio.NewWriterSize(conn, 64<<10)
	fmt.Fprintf(w, "%s %s HTTP/1.1\r\nHost: x\r\n", method, path)
	for i := 0; i+1 < len(headers); i += 2 {
		fmt.Fprintf(w, "%s: %s\r\n", headers[i], headers[i+1])
	}
	if chunked {
		fmt.Fprint(w, "Transfer-Encoding: chunked\r\n\r\n")
	} else {
		fmt.Fprintf(w, "Content-Length: %d\r\n\r\n", size)
	}
	piece := strings.Repeat("x", 64<<10)
	for sent := 0; sent < size; sent += len(piece) {
		piece = piece[:min(len(piece), size-sent)]
		if chunked {
			fmt.Fprintf(w, "%x\r\n%s\r\n", len(piece), piece)
		} else {
			fmt.Fprint(w, piece)
		}
	}
	if chunked {
		fmt.Fprint(w, "0\r\n\r\n")
	}
	if err := w.Flush(); err != nil {
		t.Errorf("%s %s: the connection broke while the body was sent: %v", method, path, err)
		return nil
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Errorf("%s %s: no answer: %v", method, path, err)
		return nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("%s %s: %v after %q", method, path, err, cut(string(text)))
	}
	return &answer{res, string(text)}
}

// TestEarlyAnswersArrive checks that an answer sent before the end of the body
// arrives.
func TestEarlyAnswersArrive(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	const large = 40 << 20
	j := s.submit(`{"program":{"command":{"argv":["true"]}},"inputs":{"items":[1]}}`)
	open := s.submit(`{"program":{"command":{"argv":["true"]}},"inputs":{"open":true}}`)
	admin := []string{"Authorization", "Bearer " + adminToken}
	viewer := []string{"Authorization", "Bearer " + s.user("looks", "viewer")}
	for _, c := range []struct {
		method, path string
		size         int
		headers      []string
		status       int
		says         string
	}{
		{"POST", "/api/v1/jobs", large, append(admin, "Content-Type", "application/json"), 413, "32 MiB, the limit of this address. Submit the job with inputs {\\\"open\\\": true}"},
		{"POST", "/api/v1/jobs", large, append(admin, "Content-Type", "text/plain"), 415, "must be JSON"},
		{"POST", "/api/v1/jobs", large, nil, 401, "Bearer"},
		{"POST", "/api/v1/jobs", large, viewer, 403, "role"},
		{"PUT", "/api/v1/queues/cpu", large, admin, 413, "4 MiB"},
		{"POST", "/api/v1/jobs/" + j.ID + "/cancel", large, admin, 200, j.ID},
		{"POST", "/api/v1/jobs/" + j.ID + "/tasks", large, admin, 409, "sealed"},
		{"POST", "/api/v1/jobs/" + open.ID + "/tasks", large, admin, 422, "longer than"},
		{"POST", "/api/v1/nowhere", large, admin, 404, "no such"},
		{"GET", "/api/v1/jobs/nope", large, admin, 404, "no such"},
		{"DELETE", "/api/v1/jobs", large, admin, 405, "does not accept"},
		{"POST", "/login", large, []string{"Content-Type", "application/x-www-form-urlencoded"}, 413, "16 KiB"},
		{"POST", "/login", 17 << 10, []string{"Content-Type", "multipart/form-data; boundary=x"}, 413, "16 KiB"},
		{"POST", "/jobs/new", 70 << 20, append(admin, "Content-Type", "application/x-www-form-urlencoded"), 413, "Give the inputs as a file"},
		{"POST", "/jobs/new", large, []string{"Content-Type", "multipart/form-data; boundary=x"}, 303, ""},
		{"POST", "/queues", large, append(admin, "Content-Type", "application/x-www-form-urlencoded"), 413, "4 MiB"},
		{"POST", "/queues", large, []string{"Origin", "http://elsewhere", "Sec-Fetch-Site", "cross-site"}, 403, "another site"},
	} {
		for _, chunked := range []bool{false, true} {
			a := s.sendAll(t, c.method, c.path, c.size, chunked, c.headers...)
			if a == nil {
				continue
			}
			if chunked && strings.HasPrefix(c.path, "/login") && len(c.headers) > 1 && strings.HasPrefix(c.headers[1], "multipart") {
				c.status, c.says = 400, "could not be read" // it is found to be none before it is too large
			}
			if a.StatusCode != c.status || !strings.Contains(a.text, c.says) {
				t.Errorf("%s %s, chunked %t: %d %s", c.method, c.path, chunked, a.StatusCode, cut(a.text))
			}
		}
	}
	if s.get("/api/v1/jobs/"+open.ID).StatusCode != 200 {
		t.Error("the open job is gone")
	}
}

// TestExpectedBodyIsRefusedAtOnce checks that a client that sends Expect:
// 100-continue need not send a refused body.
func TestExpectedBodyIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	for authorization, status := range map[string]string{"Bearer " + adminToken: "413", "Bearer nobody": "401"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(4 * time.Second))
		fmt.Fprintf(conn, "POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nAuthorization: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", authorization, 40<<20)
		text, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 "+status) || strings.Contains(string(text), "100 Continue") {
			t.Errorf("%v: %s", err, cut(string(text)))
		}
	}
}

// TestStrangersBodiesCostNoMemory checks that bodies of strangers are not buffered:
// 16 sign-ins of 9 MiB at once need next to no memory.
func TestStrangersBodiesCostNoMemory(t *testing.T) {
	s := serve(t, true)
	var peak atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	read := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse
	}
	runtime.GC()
	before := read()
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				peak.Store(max(peak.Load(), read()))
			}
		}
	}()
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			kind := []string{"application/x-www-form-urlencoded", "multipart/form-data; boundary=x"}[i%2]
			if a := s.sendAll(t, "POST", "/login", 9<<20, i%4 < 2, "Content-Type", kind); a != nil && a.StatusCode/100 != 4 {
				t.Errorf("%d", a.StatusCode)
			}
		})
	}
	all.Wait()
	close(stop)
	<-stopped
	if grown := int64(peak.Load()) - int64(before); grown > 32<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}
