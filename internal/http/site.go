package http

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/allcores/allcores/internal/http/live"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/timeline"
	"github.com/allcores/allcores/internal/store"
)

// Options configure a Site.
type Options struct {
	Store   *store.Store
	Engine  *engine.Engine
	Logger  *slog.Logger // default slog.Default()
	Version string       // of the server, shown on pages and in openapi.json
}

// A Site is the handler of every address that the server has.
type Site struct {
	store   *store.Store
	engine  *engine.Engine
	log     *slog.Logger
	version string

	streams *live.Streams // all answers that go on
	cluster *cluster      // queues and nodes, read once for all
	caches
	routing

	counters    counters
	bodyTimeout time.Duration // for a whole body to arrive
}

// caches hold earlier reads that requests share.
type caches struct {
	tokens    knownTokens
	lines     knownLines
	timelines live.Coalescer[*timeline.Timeline]
	tables    timelineTables
}

// routing is the tables that requests are found in.
type routing struct {
	handler     http.Handler
	router      chi.Routes
	pageStreams map[string]pageStream // by the pattern of their address
	schemas     huma.Registry         // of the API's types
	river       *riverPages
}

// New makes the site of one server.
func New(o Options) (*Site, error) {
	if o.Store == nil || o.Engine == nil {
		return nil, errors.New("a site needs a store and an engine")
	}
	s := &Site{store: o.Store, engine: o.Engine, log: o.Logger, version: o.Version, bodyTimeout: bodyTimeout}
	s.lines.exclusive = newExclusive()
	if s.log == nil {
		s.log = slog.Default()
	}
	s.streams = s.newStreams()
	river, err := s.newRiverPages()
	if err != nil {
		return nil, err
	}
	s.river = river
	s.cluster = newCluster(s.store, s.streams, s.log)
	routes := s.routes()
	s.router, s.handler = routes, routes
	return s, nil
}

// ServeHTTP answers one request.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Drain prepares the server's stop: /readyz answers 503, streams end, and requests
// that wait for a job are answered with its present state. Plain requests are
// still served. It may be called more than once.
func (s *Site) Drain() { s.streams.Drain() }

// Wait returns when all streams have ended, or ctx has. [http.Server.Shutdown]
// does not wait for streams of events.
func (s *Site) Wait(ctx context.Context) { s.streams.Wait(ctx) }

// Bounds of a connection. Bodies and answers have deadlines of their own, see
// request_body.go and package live: a job's results may take long to download.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// NewServer is a server for a Site, or for the StartupHandler in front of one, with bounds
// on what a connection may cost, whose complaints about connections go to
// logger. Its Shutdown drains the site.
func NewServer(s interface {
	http.Handler
	Drain()
}, logger *slog.Logger) *http.Server {
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(s.Drain)
	return server
}
