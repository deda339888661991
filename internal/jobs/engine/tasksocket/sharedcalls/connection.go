package sharedcalls

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs/engine/tasksocket"
	"github.com/allcores/allcores/internal/jobs/engine/tasksocket/frames"
	"github.com/allcores/allcores/internal/jobs/shared"
)

// openSession switches a connection of a session to frames.
func (h *Handlers) openSession(w http.ResponseWriter, r *http.Request, x *tasksocket.Session, rest string) error {
	if rest != "" || r.Header.Get("Upgrade") == "" {
		return &tasksocket.Problem{Status: http.StatusNotFound, Detail: "Calls need the task: its path is /KEY/tasks/INDEX/shared/NAME/OPERATION."}
	}
	return h.open(w, r, x)
}

// open switches a connection to frames and serves it until it closes or the session
// ends.
func (h *Handlers) open(w http.ResponseWriter, r *http.Request, x *tasksocket.Session) error {
	if !strings.EqualFold(r.Header.Get("Upgrade"), frames.Protocol) {
		return &tasksocket.Problem{Status: http.StatusUpgradeRequired, Detail: "Upgrade is not " + frames.Protocol + "."}
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("take over connection: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil // the connection is closed
	}
	head := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + frames.Protocol + "\r\n\r\n"
	if _, err := conn.Write([]byte(head)); err != nil {
		return nil // nobody reads an answer
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	c := &connection{handlers: h, session: x, conn: conn, reader: buffered.Reader}
	// The client may neither read nor write when its session ends.
	defer context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), tasksocket.ErrEnded) {
			conn.SetReadDeadline(time.Now())
			conn.SetWriteDeadline(time.Now().Add(lastWords))
		}
	})()
	c.serve(ctx)
	cancel(errClosed)
	c.waiting.Wait()
	return nil
}

// errClosed cancels the calls of a connection that is closed.
var errClosed = errors.New("the connection is closed")

// lastWords is how long the answers to waiting calls may take when the session ends.
const lastWords = time.Second

// A connection serves the frames of one client. Its goroutine reads requests and makes
// the calls that do not wait; each waiting call has a goroutine, which the connection
// awaits.
type connection struct {
	handlers *Handlers
	session  *tasksocket.Session
	conn     net.Conn
	reader   *bufio.Reader

	waiting sync.WaitGroup
	writing sync.Mutex // one frame at a time
	frame   []byte     // the memory of the next frame; belongs to writing
}

// serve reads requests until the connection closes or breaks.
func (c *connection) serve(ctx context.Context) {
	for {
		q, err := frames.ReadRequest(c.reader)
		switch {
		case errors.Is(err, frames.ErrTooLarge):
			c.answer(q.ID, failure(shared.ErrBounds, err.Error()))
		case err != nil:
			return
		default:
			c.request(ctx, q)
		}
	}
}

// arguments are what a request has beside its texts.
type arguments struct {
	Kind    shared.Kind       `json:"kind"`
	Args    []json.RawMessage `json:"args"`
	Params  *shared.Params    `json:"params"`
	Timeout *float64          `json:"timeout"`
	Thread  uint32            `json:"thread"`
	Company bool              `json:"company"`
}

// request makes the call of a request.
func (c *connection) request(ctx context.Context, q frames.Request) {
	x, ok := c.session.Execution(q.Task)
	if !ok {
		c.answer(q.ID, failure(shared.ErrSuperseded, fmt.Sprintf("task %d does not run here, or no longer", q.Task)))
		return
	}
	if q.Op == "progress" {
		c.answer(q.ID, c.handlers.progress(x, q.Args))
		return
	}
	var a arguments
	if len(q.Args) > 0 {
		if err := json.Unmarshal(q.Args, &a); err != nil {
			c.answer(q.ID, failure(shared.ErrArgument, "the arguments of the request: "+err.Error()))
			return
		}
	}
	caller := callerOf(x, q.Scope, a.Thread)
	call := shared.Call{Name: q.Name, Kind: a.Kind, Op: q.Op, Params: a.Params, Args: a.Args, Timeout: timeoutOf(a.Timeout), Company: a.Company}
	if call.Timeout == 0 || !shared.Waits(call.Kind, call.Op) {
		c.make(ctx, q.ID, caller, call)
		return
	}
	c.waiting.Go(func() { c.make(ctx, q.ID, caller, call) })
}

// make makes a call and sends its answer.
func (c *connection) make(ctx context.Context, id uint32, caller shared.Caller, call shared.Call) {
	if answer, ended := c.handlers.call(ctx, caller, call); !ended {
		c.answer(id, answer)
	}
}

// answer sends an answer. The mutex is held while the client's socket takes the frame,
// so that a client that does not read is not read from either. An error shows at the
// next read.
func (c *connection) answer(id uint32, answer shared.Answer) {
	a := frames.Answer{ID: id, Body: answer.Value}
	if answer.Err != nil {
		a.Status = frames.Failed
		a.Body, _ = json.Marshal(answer.Err) // two texts cannot fail
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	c.frame = frames.AppendAnswer(c.frame[:0], a)
	if _, err := c.conn.Write(c.frame); err != nil {
		c.conn.Close()
	}
	if cap(c.frame) > keptFrame {
		c.frame = nil
	}
}

// keptFrame is the largest memory of a frame, in bytes, that a connection keeps.
const keptFrame = 64 << 10

// timeoutOf converts a timeout in seconds. It bounds it to some 30 years.
func timeoutOf(seconds *float64) time.Duration {
	switch {
	case seconds == nil:
		return shared.Forever
	case *seconds <= 0:
		return 0
	}
	return time.Duration(min(*seconds, 1e9) * float64(time.Second))
}
