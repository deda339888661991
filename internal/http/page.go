package http

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/static"
	"github.com/allcores/allcores/views"
)

// base returns what every page shows.
func (s *Site) base(r *http.Request) views.Page {
	p := views.Page{
		BaseURL: scheme(r) + "://" + r.Host,
		Version: s.version,
		Now:     time.Now(),
		User:    callOf(r.Context()).user,
	}
	if cookie, err := r.Cookie(views.ThemeCookie); err == nil {
		p.Theme = cookie.Value
	}
	return p
}

// render renders a page and sends it, unless rendering fails.
func (s *Site) render(w http.ResponseWriter, r *http.Request, status int, page templ.Component) error {
	var b bytes.Buffer
	if err := page.Render(r.Context(), &b); err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Add("Vary", "Accept-Encoding")
	if static.AcceptsGzip(r.Header.Get("Accept-Encoding")) {
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		_, err := b.WriteTo(z)
		if err := errors.Join(err, z.Close()); err != nil {
			return fmt.Errorf("compress page: %w", err)
		}
		h.Set("Content-Encoding", "gzip")
		b = zipped
	}
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // an error means that the client is gone
	return nil
}

func viewer(r *http.Request) store.Viewer { return store.As(callOf(r.Context()).user) }

// A handlerFunc answers a request, or returns an error.
type handlerFunc func(http.ResponseWriter, *http.Request) error

// plain answers with the error that h returns.
func (s *Site) plain(h handlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.refuse(w, r, err)
		}
	}
}

// page passes requests of signed-in users on, and leads others to the sign-in form.
// A stream answers 401 instead: a script cannot fill in a form.
func (s *Site) page(h handlerFunc) http.HandlerFunc {
	return s.plain(func(w http.ResponseWriter, r *http.Request) error {
		user, err := s.recognise(r)
		if errors.Is(err, errUnauthorized) && !strings.HasSuffix(r.URL.Path, "/live") {
			next := r.URL.RequestURI()
			if r.Method == http.MethodPost {
				next = formPage(r.URL.Path)
			}
			target := "/login"
			if next != "/" {
				target += "?next=" + url.QueryEscape(next)
			}
			http.Redirect(w, r, target, http.StatusSeeOther)
			return nil
		}
		if err != nil {
			return err
		}
		callOf(r.Context()).user = user
		if odd := repeatedOnPage(r); odd != nil {
			return odd
		}
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			ctx, cancel := context.WithTimeout(r.Context(), pageTimeout)
			defer cancel()
			r = r.WithContext(ctx)
		}
		return h(w, r)
	})
}

// Bounds of waiting for a database that neither answers nor refuses to.
const (
	recogniseTimeout = 5 * time.Second
	pageTimeout      = 10 * time.Second // for a page that changes nothing
)

// manyOnPage are the parameters of pages that may be repeated.
var manyOnPage = []string{"page"}

// repeatedOnPage returns violations for parameters that have several values where
// the page would use one of them.
func repeatedOnPage(r *http.Request) error {
	query, odd := parseQuery(r)
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(manyOnPage, name) {
			odd = append(odd, repeated("query."+name, query[name])...)
		}
	}
	if odd == nil {
		return nil
	}
	return odd
}

// formPage returns the page of a form that is posted to path.
func formPage(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case parts[0] == "queues" || parts[0] == "nodes":
		return "/" + parts[0]
	case parts[0] == "jobs" && len(parts) > 2: // of a job, or of the form for a new one
		return "/jobs/" + parts[1]
	}
	return path
}

// fromForm makes a form's handler of call, which changes what the parameter of the
// address names. The handler leads back to the address page + name.
func fromForm(role jobs.Role, param, page string, call func(ctx context.Context, name string) error) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := require(r, role); err != nil {
			return err
		}
		name := chi.URLParam(r, param)
		if err := call(r.Context(), name); err != nil {
			return err
		}
		http.Redirect(w, r, page+name, http.StatusSeeOther)
		return nil
	}
}
