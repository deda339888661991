package http

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/timeline"
	"github.com/allcores/allcores/internal/store"
)

// Options is what a Site is made of.
type Options struct {
	Store   *store.Store
	Engine  *engine.Engine
	Logger  *slog.Logger // default slog.Default()
	Version string       // of the server, shown on pages and in the API's description
}

// A Site is the handler of every address that the server has.
type Site struct {
	store   *store.Store
	engine  *engine.Engine
	log     *slog.Logger
	version string
	schemas huma.Registry // of the API's types
	tokens  knownTokens
	lines   knownLines
	fleet   *fleet
	streams shared[*timeline.Timeline]
	tables  streamTables
	hubs    *hubs
	usher   *usher

	counters counters

	writeTimeout time.Duration // for each piece of a stream
	bodyTimeout  time.Duration // for a whole body to arrive
	recheckEvery time.Duration // whether who opened a stream is let in

	river     *riverPages
	router    chi.Routes
	livePages map[string]livePage // by the pattern of their streams' address
	handler   http.Handler
	//lint:ignore containedctx the site outlives every call
	draining context.Context // ends when streams must end
	drain    context.CancelFunc
}

// New makes the site of one server.
func New(o Options) (*Site, error) {
	if o.Store == nil || o.Engine == nil {
		return nil, errors.New("a site needs a store and an engine")
	}
	s := &Site{
		store: o.Store, engine: o.Engine, log: o.Logger, version: o.Version,
		writeTimeout: writeTimeout, bodyTimeout: bodyTimeout, recheckEvery: recheckEvery,
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.draining, s.drain = context.WithCancel(context.Background())
	river, err := s.newRiverPages()
	if err != nil {
		return nil, err
	}
	s.river = river
	s.hubs = &hubs{site: s, looking: make(chan struct{}, maxLooking), all: make(map[string]*hub)}
	s.usher = newUsher(s)
	s.fleet = newFleet(s.store, s.usher, s.log)
	routes := s.routes()
	s.router, s.handler = routes, routes
	return s, nil
}

// ServeHTTP answers one request.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Drain says that the server is about to stop: /readyz answers no, streams end,
// and requests that wait for a job are answered with its present state. Plain
// requests are still served. It may be called more than once.
func (s *Site) Drain() {
	s.drain()
	s.usher.endAll()
}

// Wait returns when all streams have ended, or ctx has. [http.Server.Shutdown]
// does not wait for streams of events.
func (s *Site) Wait(ctx context.Context) { s.usher.wait(ctx) }

// untilDrain is ctx, cancelled also when the site drains.
func (s *Site) untilDrain(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.draining, cancel)
	return ctx, func() { stop(); cancel() }
}

// Bounds of a connection. Bodies and answers have deadlines of their own, see
// body.go and stream.go: a job's results may take long to download.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// NewServer is a server for a Site, or for the Door in front of one, with bounds
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
