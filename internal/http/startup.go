package http

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/danielgtaylor/huma/v2"
)

// A StartupHandler answers while the server starts: that it is alive, and what it
// waits for. Later it passes requests on to the site.
type StartupHandler struct {
	site    atomic.Pointer[Site]
	reason  atomic.Pointer[string] // why there is no site yet
	drained atomic.Bool
}

// NewStartupHandler makes a handler without a site.
func NewStartupHandler() *StartupHandler {
	d := new(StartupHandler)
	d.WaitFor("its settings")
	return d
}

// WaitFor sets what the server waits for.
func (d *StartupHandler) WaitFor(what string) {
	d.say("The server is starting. It waits for " + what + ".")
}

func (d *StartupHandler) say(reason string) { d.reason.Store(&reason) }

// Open passes requests on to the site from now on.
func (d *StartupHandler) Open(s *Site) {
	d.site.Store(s)
	if d.drained.Load() {
		s.Drain()
	}
}

// Drain drains the site. Without a site, requests are answered that the server
// stops.
func (d *StartupHandler) Drain() {
	d.say("The server is stopping.")
	d.drained.Store(true)
	if s := d.site.Load(); s != nil {
		s.Drain()
	}
}

// ServeHTTP answers /healthz, and any other address with 503 until Open is called.
func (d *StartupHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s := d.site.Load(); s != nil {
		s.ServeHTTP(w, r)
		return
	}
	answerEarly(w, r, bodyTimeout, context.Background(), secure(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			writeHealth(w)
			return
		}
		reason := *d.reason.Load()
		switch {
		case isAPI(r):
			w.Header().Set("Retry-After", "2")
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusServiceUnavailable)
			_ = json.NewEncoder(w).Encode(&huma.ErrorModel{
				Title: http.StatusText(http.StatusServiceUnavailable), Status: http.StatusServiceUnavailable, Detail: reason,
			})
		default:
			if strings.Contains(r.Header.Get("Accept"), "text/html") {
				w.Header().Set("Refresh", "2") // for a browser
			}
			writeUnready(w, reason)
		}
	})))
}
