package http

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"riverqueue.com/riverui"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/static"
)

// riverPrefix is the address of River's own pages.
const riverPrefix = "/admin/river"

// riverPolicy is the content security policy of River's own pages, which set
// styles on their elements. Scripts stay those of files.
const riverPolicy = "default-src 'self'; style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

// riverPages are River's own pages of the turns, for admins.
type riverPages struct {
	site    *Site
	handler *riverui.Handler
	html    []byte // of their single page
	start   func() error
}

func (s *Site) newRiverPages() (*riverPages, error) {
	handler, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: riverui.NewEndpoints(s.engine.Turns().River(), nil),
		Logger:    s.log,
		Prefix:    riverPrefix,
	})
	if err != nil {
		return nil, fmt.Errorf("prepare River's pages: %w", err)
	}
	p := &riverPages{site: s, handler: handler}
	// They count turns in the background, so they start with the first request.
	p.start = sync.OnceValue(func() error { return handler.Start(s.streams.Draining()) })
	if p.html, err = p.read(); err != nil {
		return nil, fmt.Errorf("read River's page: %w", err)
	}
	return p, nil
}

// riverBanner is added to River's pages, which have no link back and also show
// River's own work.
const riverBanner = `<aside id="allcores" aria-label="Allcores">
<a href="/">← Allcores</a>
<p>River's own pages, for admins. Its jobs are the internal turns of Allcores: cancel, pause and retry your jobs <a href="/">in Allcores</a>, its queues <a href="/queues">there</a>.</p>
</aside>`

// read fetches River's page and adds a script before its own: one of its libraries
// would test whether the policy allows eval, and the browser would report an error.
// It also adds a style sheet and the banner.
func (p *riverPages) read() ([]byte, error) {
	var w memory
	p.handler.ServeHTTP(&w, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: riverPrefix + "/"}, Header: make(http.Header)})
	const head, root = "<head>", `<div id="root"`
	ours := `<script src="` + static.URL("river.js") + `"></script><link rel="stylesheet" href="` + static.URL("river.css") + `">`
	page := w.String()
	if strings.Count(page, head) != 1 || strings.Count(page, root) != 1 {
		return nil, errors.New("it has no head or no root")
	}
	return []byte(strings.NewReplacer(head, head+ours, root, riverBanner+root).Replace(page)), nil
}

// memory records an answer.
type memory struct {
	bytes.Buffer
	header http.Header
}

func (m *memory) Header() http.Header {
	if m.header == nil {
		m.header = make(http.Header)
	}
	return m.header
}

func (*memory) WriteHeader(int) {}

// page passes requests of signed-in users on. Requests of River's scripts get 401
// instead of the sign-in form.
func (p *riverPages) page(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, riverPrefix+"/api/") {
		p.site.authenticated(p.site.plain(p.serve)).ServeHTTP(w, r)
		return
	}
	p.site.page(p.serve)(w, r)
}

// serve answers requests of admins.
func (p *riverPages) serve(w http.ResponseWriter, r *http.Request) error {
	if err := require(r, jobs.Admin); err != nil {
		return err
	}
	path := strings.TrimPrefix(r.URL.Path, riverPrefix)
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	if read && path != "" && !strings.HasPrefix(path, "/api/") && !isRiverFile(path) {
		w.Header().Set("Content-Security-Policy", riverPolicy)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, err := w.Write(p.html)
		return err
	}
	if err := p.start(); err != nil {
		return fmt.Errorf("start River's pages: %w", err)
	}
	if strings.HasPrefix(path, "/assets/") { // their names change with their content
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	p.handler.ServeHTTP(w, r)
	return nil
}

func isRiverFile(path string) bool {
	info, err := fs.Stat(riverui.FrontendIndex, "dist"+path)
	return err == nil && !info.IsDir()
}
