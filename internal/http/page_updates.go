package http

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/go-chi/chi/v5"

	"github.com/allcores/allcores/internal/http/live"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/views"
)

// A fillFunc reads what is true now and returns a page's fragments. last reports
// that nothing will change any more. A hub calls it for all its streams, so it may
// depend on their role, on what they may see and on the address of the site, which
// ctx carries, but on no single stream.
type fillFunc func(ctx context.Context) (fragments []views.Fragment, last bool, err error)

// A pageStream returns what the stream of a page shows, and when it looks. r is not
// the request of one stream; it represents all equal ones.
type pageStream func(r *http.Request) (live.Watch, fillFunc)

// live adds the stream of a page to the routes.
func (s *Site) live(r chi.Router, pattern string, page pageStream) {
	if s.pageStreams == nil {
		s.pageStreams = make(map[string]pageStream)
	}
	s.pageStreams[pattern] = page
	r.Get(pattern, s.page(s.pageLive))
}

// pageLive streams the fragments of one page, as package views describes.
func (s *Site) pageLive(w http.ResponseWriter, r *http.Request) error {
	wake := make(chan struct{}, 1)
	reader, err := s.readerOf(r, r.URL, wake)
	if err != nil {
		return err
	}
	// An error before the first view is answered by a status, not by a stream.
	ctx, cancel := s.streams.UntilDrain(r.Context())
	defer cancel()
	for {
		err := reader.Err()
		if err == nil || ctx.Err() != nil {
			break
		}
		if !errors.Is(err, live.ErrUnread) {
			reader.Leave()
			return err
		}
		select {
		case <-wake:
		case <-ctx.Done():
		}
	}
	s.serveEvents(w, r, wake, s.streams.WritePages(reader))
	return nil
}

// maxPages bounds how many pages one stream carries.
const maxPages = 64

// pagesLive streams the fragments of several pages, given by the addresses of their
// streams, so that a browser needs one connection for all its tabs.
func (s *Site) pagesLive(w http.ResponseWriter, r *http.Request) error {
	addresses := slices.Compact(slices.Sorted(slices.Values(r.URL.Query()["page"])))
	if len(addresses) == 0 || len(addresses) > maxPages {
		return jobs.Invalid{{Location: "query.page", Message: fmt.Sprintf("must be given once for each page, for 1 to %d of them", maxPages)}}
	}
	wake := make(chan struct{}, 1)
	readers := make([]*live.Reader, 0, len(addresses))
	for _, address := range addresses {
		reader, err := s.readerAt(r, address, wake)
		if err != nil {
			live.LeaveAll(readers)
			return err
		}
		reader.Page = address
		readers = append(readers, reader)
	}
	s.serveEvents(w, r, wake, s.streams.WritePages(readers...))
	return nil
}

func (s *Site) readerAt(r *http.Request, address string, wake chan<- struct{}) (*live.Reader, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, noPage(address)
	}
	return s.readerOf(r, u, wake)
}

func noPage(address string) error {
	return jobs.Invalid{{Location: "query.page", Message: "must be the address of a page's stream", Value: address}}
}

// readerOf joins the hub of the page whose stream has the address, for the user of
// r. wake is sent a token when there may be something to send.
func (s *Site) readerOf(r *http.Request, address *url.URL, wake chan<- struct{}) (*live.Reader, error) {
	route := chi.NewRouteContext()
	if address.Host != "" || !s.router.Match(route, http.MethodGet, address.Path) {
		return nil, noPage(address.String())
	}
	page := s.pageStreams[route.RoutePattern()]
	if page == nil {
		return nil, noPage(address.String())
	}
	apart := apart(r, address, route)
	wt, fill := page(apart)
	key := fmt.Sprintf("page %s %s://%s%s", scope(callOf(r.Context()).user), scheme(r), r.Host, address.RequestURI())
	open := func() live.LookFunc { return (&pageLooks{call: callOf(apart.Context()), fill: fill}).look }
	return s.streams.Join(live.Hub{Key: key, Watch: wt, Open: open}, wake), nil
}

// apart returns a request for an address by the user of r, without r's connection:
// it may outlive r.
func apart(r *http.Request, address *url.URL, route *chi.Context) *http.Request {
	from := callOf(r.Context())
	c := &call{id: from.id, user: from.user}
	ctx := context.WithValue(context.WithValue(context.Background(), callKey{}, c), chi.RouteCtxKey, route)
	c.r = (&http.Request{
		Method: http.MethodGet, URL: address, Host: r.Host, Header: http.Header{"X-Forwarded-Proto": {scheme(r)}},
	}).WithContext(ctx)
	return c.r
}

// pageLooks reads a page for its streams.
type pageLooks struct {
	call  *call
	fill  fillFunc
	shown *views.Snapshot
	view  *live.View
}

func (t *pageLooks) look(ctx context.Context) (*live.View, error) {
	fragments, last, err := t.fill(context.WithValue(ctx, callKey{}, t.call))
	shown := t.shown
	switch {
	case errors.Is(err, jobs.ErrNotFound) && t.view != nil: // it was deleted
		last = true
	case err != nil:
		return nil, err
	default:
		if shown, err = views.Snap(ctx, t.shown, fragments); err != nil {
			return nil, err
		}
	}
	if t.view != nil && shown == t.shown && !last {
		return t.view, nil
	}
	t.shown = shown
	t.view = &live.View{Version: shown.Version, Last: last, Messages: func(since int64) ([]live.Message, error) {
		html, err := shown.Since(since)
		if err != nil || len(html) == 0 {
			return nil, err
		}
		return []live.Message{live.NewMessage("patch", false, html)}, nil
	}}
	return t.view, nil
}
