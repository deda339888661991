package http_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestEventsOverEveryHTTP checks that a stream of events is complete in every version
// of HTTP, and that its connection is closed after it.
func TestEventsOverEveryHTTP(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	id := s.manual(1)
	s.call("POST", "/api/v1/jobs/"+id+"/cancel", "")
	path := "/api/v1/jobs/" + id + "/events"
	raw := func(method, version string) string {
		t.Helper()
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%s %s %s\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: %s\r\n\r\n", method, path, version, adminToken,
			map[bool]string{true: "close", false: "keep-alive"}[method == "HEAD"])
		text, err := io.ReadAll(conn)
		if err != nil {
			t.Errorf("%s %s: %v", method, version, err)
		}
		return string(text)
	}
	old := raw("GET", "HTTP/1.0")
	head, body, _ := strings.Cut(old, "\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.0 200 ") || strings.Contains(head, "chunked") || !strings.HasPrefix(body, ":\n\nevent: job\nid: ") ||
		!strings.Contains(body, "\n\nevent: end\nid: ") || !strings.HasSuffix(body, "}\n\n") {
		t.Errorf("HTTP/1.0: %s", old)
	}
	text := raw("GET", "HTTP/1.1")
	if !strings.HasSuffix(text, "\r\n0\r\n\r\n") {
		t.Errorf("HTTP/1.1 has no end: %s", text)
	}
	answer, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	events, err := io.ReadAll(answer.Body)
	if err != nil || !answer.Close || answer.Header.Get("Content-Type") != "text/event-stream" || len(events) != len(body) {
		t.Errorf("HTTP/1.1: %v, %v, %s", err, answer.Header, events)
	}
	if text := raw("HEAD", "HTTP/1.1"); !strings.HasPrefix(text, "HTTP/1.1 200 ") || !strings.HasSuffix(text, "\r\n\r\n") || strings.Contains(text, "event:") {
		t.Errorf("HEAD: %s", text)
	}

	second := httptest.NewUnstartedServer(s.site)
	second.EnableHTTP2 = true
	second.StartTLS()
	defer second.Close()
	req, err := http.NewRequestWithContext(t.Context(), "GET", second.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	res, err := second.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	events, err = io.ReadAll(res.Body)
	if err != nil || res.ProtoMajor != 2 || len(events) != len(body) {
		t.Errorf("%s: %v, %s", res.Proto, err, events)
	}
	await(t, "no streams", func() bool { guests, _ := s.site.Streams(); return guests == 0 })
}

// TestStreamsEndWithTheClient checks that the server notices at once when a client
// leaves, whether it sends or not.
func TestStreamsEndWithTheClient(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	answered := func() float64 { return s.scrape().value(t, "allcores_http_responses_total", "class", "2xx") }
	path := "/api/v1/jobs/" + s.manual(1) + "/events"
	before := answered()
	stream := s.send("GET", path, "")
	if n := answered() - before; n != 2 { // the stream, and before is asked for once more
		t.Errorf("%v answers", n)
	}
	await(t, "a stream", func() bool { guests, _ := s.site.Streams(); return guests == 1 })
	stream.Body.Close()
	within(t, time.Second, "its end", func() bool { guests, hubs := s.site.Streams(); return guests == 0 && hubs == 0 })
}
