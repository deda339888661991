package engine_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/executor"
)

// A tap is a proxy between a node and Postgres that records the node's transactions,
// each with its statements.
type tap struct {
	cut    func(statement string) bool // reports whether to hang up at a statement; nil for never
	server string                      // the socket

	mu           sync.Mutex
	transactions [][]string
}

// listen makes a tap of the database at url, and returns the URL that leads
// through it.
func (p *tap) listen(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	socket := ".s.PGSQL." + query.Get("port")
	p.server = filepath.Join(query.Get("host"), socket)
	dir, err := os.MkdirTemp("", "tap") // t.TempDir is too long for the name of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, socket))
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				if err := p.serve(client); err != nil {
					t.Error("tap:", err)
				}
			})
		}
	})
	query.Set("host", dir)
	u.RawQuery = query.Encode()
	return u.String()
}

// serve passes on what client and server send until one of them hangs up.
func (p *tap) serve(client net.Conn) error {
	defer client.Close()
	server, err := net.Dial("unix", p.server)
	if err != nil {
		return err
	}
	defer server.Close()
	// The statements before each ReadyForQuery of the server.
	synced := make(chan []string, 1024)
	var back sync.WaitGroup
	back.Go(func() {
		defer client.Close()
		p.answers(client, server, synced)
	})
	defer back.Wait()
	defer server.Close()
	p.requests(server, client, synced)
	return nil
}

// requests copies what the client sends: a message without a type, then others
// of a type, a length and a body (PostgreSQL's manual, chapter 55).
func (p *tap) requests(to io.Writer, from io.Reader, synced chan<- []string) {
	in, out := bufio.NewReaderSize(from, 1<<16), bufio.NewWriterSize(to, 1<<16)
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return
	}
	out.Write(length[:])
	if _, err := io.CopyN(out, in, int64(binary.BigEndian.Uint32(length[:]))-4); err != nil {
		return
	}
	prepared := make(map[string]string)
	var bound string
	var statements []string
	for out.Flush() == nil {
		kind, body, err := message(in, out, "PBEQS")
		if err != nil {
			return
		}
		name, rest, _ := bytes.Cut(body, []byte{0})
		text, _, _ := bytes.Cut(rest, []byte{0})
		switch kind {
		case 'P':
			prepared[string(name)] = string(text)
			if p.cut != nil && p.cut(string(text)) {
				return
			}
		case 'B':
			bound = prepared[string(text)]
		case 'E':
			statements = append(statements, bound)
			if p.cut != nil && p.cut(bound) {
				return
			}
		case 'Q':
			synced <- append(statements, string(name))
			statements = nil
		case 'S':
			synced <- statements
			statements = nil
		}
	}
}

// answers copies what the server sends, and records each transaction at its end.
func (p *tap) answers(to io.Writer, from io.Reader, synced <-chan []string) {
	in, out := bufio.NewReaderSize(from, 1<<16), bufio.NewWriterSize(to, 1<<16)
	var statements []string
	ready := false
	for {
		kind, body, err := message(in, out, "Z")
		if err != nil {
			return
		}
		switch {
		case kind != 'Z':
		case !ready: // to begin with
			ready = true
		default:
			statements = append(statements, <-synced...)
			if body[0] == 'I' {
				p.mu.Lock()
				p.transactions = append(p.transactions, statements)
				p.mu.Unlock()
				statements = nil
			}
		}
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}

// message copies one message and returns its body if it is of one of the kinds.
func message(in *bufio.Reader, out *bufio.Writer, kinds string) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}
	out.Write(head[:])
	length := int64(binary.BigEndian.Uint32(head[1:])) - 4
	if !strings.ContainsRune(kinds, rune(head[0])) {
		_, err := io.CopyN(out, in, length)
		return head[0], nil, err
	}
	body = make([]byte, length)
	if _, err := io.ReadFull(in, body); err != nil {
		return 0, nil, err
	}
	_, err = out.Write(body)
	return head[0], body, err
}

// take returns the transactions since the last call.
func (p *tap) take() [][]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.transactions
	p.transactions = nil
	return taken
}

// TestCostOfAChunk counts every statement and transaction that a node sends for
// a long job. A chunk may cost four statements and one commit, in one round trip. A
// task may cost none. Statements that an idle node sends too do not count.
func TestCostOfAChunk(t *testing.T) {
	t.Parallel()
	database := template.New(t)
	watcher := webNode(t, database)
	var p tap
	start(t, p.listen(t, database), engine.Options{
		Role: engine.RoleWorker, Executors: map[string]executor.Executor{"python": squares{}}})
	p.take()
	const idle = 4 * time.Second // the period of the slowest background statements is about three seconds
	pause(t.Context(), idle)
	background := make(map[string]bool)
	resting := p.take()
	for _, transaction := range resting {
		for _, statement := range transaction {
			background[statement] = true
		}
	}
	t.Logf("an idle node: %.1f transactions a second", float64(len(resting))/idle.Seconds())
	if len(resting) < 4 || len(resting) > 60*int(idle/time.Second) {
		t.Errorf("an idle node made %d transactions in %v", len(resting), idle)
	}

	const chunks = 600
	var sent [2]int
	for i, size := range []int64{10, 1000} {
		spec := python("def f(x): return x*x", "f", rangeOf(chunks*size))
		spec.Policy.ChunkSize = pointer(int(size))
		id := watcher.submit(t, spec)
		j := watcher.end(t, id, 60*time.Second)
		if j.State != jobs.Succeeded {
			t.Fatalf("%+v", j)
		}
		await(t, "its turns are over", func() bool { return watcher.turns(t, id, "running") == 0 })
		var made, turns int
		err := watcher.store.Pool.QueryRow(t.Context(), `
			select (select count(*) from chunks where job_id = $1), (select count(*) from river_job where args->>'job' = $1::text)`, id).Scan(&made, &turns)
		if err != nil || made != chunks {
			t.Fatalf("%d chunks, %d turns, %v", made, turns, err)
		}
		all := p.take()
		statements, transactions := 0, 0
		texts := make(map[string]int)
		for _, transaction := range all {
			if slices.ContainsFunc(transaction, func(s string) bool { return !background[s] }) {
				transactions++
				statements += len(transaction)
				for _, s := range transaction {
					texts[strings.Join(strings.Fields(s), " ")]++
				}
			}
		}
		sent[i] = statements
		t.Logf("%d tasks in %d chunks, %d turns, %v: %d statements (%.2f a chunk) in %d transactions (%.2f a chunk); in the background %d",
			j.Counts.Total, made, turns, j.Elapsed(time.Now()).Round(time.Millisecond),
			statements, float64(statements)/chunks, transactions, float64(transactions)/chunks, len(all)-transactions)
		for text, times := range texts {
			t.Logf("%6d × %.100s", times, text)
		}
		// A turn begins and ends; notifications come some times a second.
		extra := 10*turns + 20 + int(15*j.Elapsed(time.Now()).Seconds())
		if statements > 4*chunks+extra {
			t.Errorf("%d statements for %d chunks", statements, chunks)
		}
		if transactions > chunks+extra {
			t.Errorf("%d transactions for %d chunks", transactions, chunks)
		}
	}
	if more := sent[1] - sent[0]; more > sent[0]/10 {
		t.Errorf("%d more statements for %d times as many tasks in as many chunks", more, 100)
	}
}
