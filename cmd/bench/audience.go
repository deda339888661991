package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// perAddress is the number of connections from one loopback address, which has
// fewer ports than some crowds have streams.
const perAddress = 20_000

// maxStreams is the number for which the addresses from 127.0.0.1 on have ports.
const maxStreams = 200 * perAddress

// An audience is all open streams.
type audience struct {
	server  *server
	address string
	dialled atomic.Int64
	conns   sync.Map // net.Conn
	readers sync.WaitGroup
}

// A group is streams that receive the same events.
type group struct {
	mu    sync.Mutex
	conns int
	mark  atomic.Pointer[mark]
	lost  atomic.Int64 // streams that the server ended
}

// A mark is a text that identifies a change in a stream.
type mark struct {
	text []byte
	left sync.WaitGroup // one for each stream that has not received it
}

func (g *group) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.conns
}

// dial connects to the server and requests a path. A small window bounds what the
// server sends unread.
func (t *audience) dial(ctx context.Context, path string, smallWindow bool) (net.Conn, error) {
	n := t.dialled.Add(1)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+n/perAddress))}, Timeout: 30 * time.Second}
	if smallWindow {
		dialer.Control = func(_, _ string, c syscall.RawConn) error {
			var err error
			control := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
			return errors.Join(control, err)
		}
	}
	conn, err := dialer.DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, fmt.Errorf("open a stream: %w", err)
	}
	t.conns.Store(conn, nil)
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nAccept: text/event-stream\r\n\r\n", path, t.address, t.server.token)
	if err != nil {
		return nil, fmt.Errorf("open a stream: %w", err)
	}
	return conn, nil
}

// open adds n streams to a group and returns when the server has answered all.
func (t *audience) open(ctx context.Context, g *group, n int, path func(int) string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	next := atomic.Int64{}
	for range min(n, 32) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := t.join(ctx, g, path(i)); err != nil {
					cancel(err)
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

func (t *audience) join(ctx context.Context, g *group, path string) error {
	conn, err := t.dial(ctx, path, false)
	if err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return fmt.Errorf("open a stream: %w", err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New(answer.Status)
	}
	var first [1]byte
	if err == nil {
		_, err = answer.Body.Read(first[:])
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		return fmt.Errorf("open the stream %s: %w", path, err)
	}
	g.mu.Lock()
	g.conns++
	g.mu.Unlock()
	t.readers.Go(func() {
		g.follow(answer.Body)
		if _, open := t.conns.LoadAndDelete(conn); open {
			g.lost.Add(1)
			conn.Close()
		}
	})
	return nil
}

// follow reads a stream to its end and looks for the group's mark.
func (g *group) follow(body io.Reader) {
	var window [4096]byte
	kept := 0 // of what was read before, in which a mark may have begun
	var seen *mark
	for {
		n, err := body.Read(window[kept:])
		text := window[:kept+n]
		if m := g.mark.Load(); m != nil && m != seen && bytes.Contains(text, m.text) {
			seen = m
			m.left.Done()
		}
		if err != nil {
			return
		}
		kept = copy(window[:], text[max(len(text)-64, 0):])
	}
}

// probe makes a change and returns the time from its request until the last stream
// of the groups received it.
func (t *audience) probe(ctx context.Context, text string, groups []*group, change func() error) (time.Duration, error) {
	m := &mark{text: []byte(text)}
	for _, g := range groups {
		m.left.Add(g.size())
	}
	for _, g := range groups {
		g.mark.Store(m)
	}
	began := time.Now()
	if err := change(); err != nil {
		return 0, err
	}
	seen := make(chan time.Time, 1)
	go func() { m.left.Wait(); seen <- time.Now() }()
	select {
	case at := <-seen:
		return at.Sub(began), nil
	case <-time.After(time.Minute):
		return 0, fmt.Errorf("%q did not reach every stream within a minute", text)
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// openDeaf opens streams from which nothing is read.
func (t *audience) openDeaf(ctx context.Context, n int, path string) ([]net.Conn, error) {
	conns := make([]net.Conn, n)
	for i := range conns {
		var err error
		if conns[i], err = t.dial(ctx, path, true); err != nil {
			return nil, err
		}
	}
	return conns, nil
}

// close ends all streams and waits for their readers.
func (t *audience) close() {
	t.conns.Range(func(conn, _ any) bool {
		if _, open := t.conns.LoadAndDelete(conn); open {
			conn.(net.Conn).Close()
		}
		return true
	})
	t.readers.Wait()
}
