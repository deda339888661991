package tasksocket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxPath is how many bytes the path of a Unix socket may have, with some left
	// for systems that allow fewer than Linux's 107.
	maxPath = 99
	// idle is how long a connection stays open between requests. A task that calls
	// now and then keeps its connection.
	idle = 5 * time.Minute
	// headers bounds the time in which the head of a request must come.
	headers = 10 * time.Second
)

// A Server serves the tasks of a node. Handle must be called before Start, and
// Close after a Start that succeeded.
type Server struct {
	log             *slog.Logger
	handlers        map[string]Handler
	sessionHandlers map[string]SessionHandler
	sessions        registry
	blobs           *blobs // nil where it serves none

	path string
	own  string // a directory made for the socket alone; empty where it lies in a directory of others
	http http.Server
	done sync.WaitGroup
}

// New makes a server. Errors of connections go to log.
func New(log *slog.Logger) *Server {
	return &Server{
		log: log, handlers: make(map[string]Handler), sessionHandlers: make(map[string]SessionHandler),
		sessions: newRegistry(),
	}
}

// sockets counts the sockets of this process, as several nodes may run in one.
var sockets atomic.Int64

// Start listens on a socket in dir, a directory that only this user can enter, and
// serves until Close. Where the path of dir is too long for a socket, a directory of
// its own is made below /tmp.
func (s *Server) Start(dir string) error {
	if s.blobs != nil {
		cache, err := newBlobCache(dir)
		if err != nil {
			return err
		}
		s.blobs.cache = cache
	}
	name := fmt.Sprintf("tasks%d", sockets.Add(1))
	s.path = filepath.Join(dir, name)
	if len(s.path) > maxPath {
		own, err := os.MkdirTemp("/tmp", "allcores-")
		if err != nil {
			s.remove()
			return fmt.Errorf("listen for tasks: %w", err)
		}
		s.own, s.path = own, filepath.Join(own, name)
	}
	listener, err := net.Listen("unix", s.path)
	if err != nil {
		s.remove()
		return fmt.Errorf("listen for tasks: %w", err)
	}
	s.http = http.Server{
		Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: headers, IdleTimeout: idle,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.done.Go(func() {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the socket of tasks is closed", "path", s.path, "error", err)
		}
	})
	return nil
}

// Path returns the path of the socket.
func (s *Server) Path() string { return s.path }

// Close ends all requests, and removes the socket and the cache of blobs. Sessions must have been closed.
func (s *Server) Close() {
	s.http.Close()
	s.done.Wait()
	s.sessions.requests.Wait()
	s.remove()
}

func (s *Server) remove() {
	if s.blobs != nil {
		s.blobs.cache.close()
	}
	os.Remove(s.path)
	if s.own != "" {
		os.Remove(s.own)
	}
}

// serve answers a request: it finds the execution that the path names, and calls the
// handler.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	address, ok := parseAddress(r.URL.Path)
	if !ok {
		refuse(w, http.StatusNotFound, "The path is not /KEY/tasks/INDEX/…, as ALLCORES_TASK_URL has it.")
		return
	}
	session := s.sessions.enter(address.key)
	if session == nil {
		refuse(w, http.StatusGone, "The task that has this address has ended.")
		return
	}
	defer s.sessions.leave()
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(session.open, func() { cancel(ErrEnded) })()
	r = r.WithContext(ctx)
	if err := s.dispatch(w, r, session, address); err != nil {
		s.answer(w, r, err)
	}
}

// dispatch calls the handler of an address.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request, session *Session, a address) error {
	if a.task < 0 {
		if handle := s.sessionHandlers[a.name]; handle != nil {
			return handle(w, r, session, a.rest)
		}
		return &Problem{http.StatusNotFound, "A session has no " + a.name + "."}
	}
	x, ok := session.Execution(a.task)
	if !ok {
		return &Problem{http.StatusConflict, fmt.Sprintf("Task %d does not run here, or no longer.", a.task)}
	}
	if handle := s.handlers[a.name]; handle != nil {
		return handle(w, r, x, a.rest)
	}
	return &Problem{http.StatusNotFound, "A task has no " + a.name + "."}
}
