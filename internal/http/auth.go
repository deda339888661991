package http

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

// sessionCookie is the name of the cookie that keeps a browser signed in.
const sessionCookie = "allcores_session"

// secretOf is what r has to be let in by: a bearer token, else a session. It is
// empty when there is neither.
func secretOf(r *http.Request) (secret string, session bool) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", false
		}
		return strings.TrimSpace(token), false
	}
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return "", true
	}
	return cookie.Value, true
}

// Bounds of waiting for a database that does not even refuse to answer.
const (
	recogniseTimeout = 5 * time.Second
	pageTimeout      = 10 * time.Second // for a page that is only looked at
)

// recognise finds out who sends r. The error is errUnauthorized when they are not
// let in.
func (s *Site) recognise(r *http.Request) (*jobs.User, error) {
	secret, session := secretOf(r)
	if secret == "" {
		return nil, errUnauthorized
	}
	ctx, cancel := context.WithTimeout(r.Context(), recogniseTimeout)
	defer cancel()
	var user *jobs.User
	var err error
	if session {
		user, err = s.store.UserBySession(ctx, secret)
	} else {
		if user := s.tokens.get(secret); user != nil {
			return user, nil
		}
		user, err = s.store.UserByToken(ctx, secret)
		if err == nil {
			s.tokens.put(secret, user)
		}
	}
	if errors.Is(err, jobs.ErrNotFound) {
		return nil, errUnauthorized
	}
	return user, err
}

// page lets those pass who are signed in, and sends others to the sign-in form.
// A stream answers them 401: whoever opened it cannot follow to a form.
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

// manyOnPage are the parameters of pages that may be repeated.
var manyOnPage = []string{"page"}

// repeatedOnPage lists the parameters of a page's address that the page would
// take one value of and drop the others.
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

// formPage is the page on which a form stands that is posted to path.
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

// authenticated lets those pass who are signed in.
func (s *Site) authenticated(next http.Handler) http.Handler {
	return s.plain(func(w http.ResponseWriter, r *http.Request) error {
		user, err := s.recognise(r)
		if err != nil {
			return err
		}
		callOf(r.Context()).user = user
		next.ServeHTTP(w, r)
		return nil
	})
}

// require is ErrForbidden for those whose role is too small.
func require(r *http.Request, role jobs.Role) error {
	if !callOf(r.Context()).user.Role.Allows(role) {
		return jobs.ErrForbidden
	}
	return nil
}

// sameOrigin refuses what pages of other sites make a browser send in the name
// of its user. A bearer token is never sent by a browser on its own.
func (s *Site) sameOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(s.plain(func(http.ResponseWriter, *http.Request) error { return errCrossOrigin }))
	protected := protection.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			next.ServeHTTP(w, r)
			return
		}
		protected.ServeHTTP(w, r)
	})
}

// loginPage shows the sign-in form. With a token in the address it signs in at
// once: that is the link that the server prints.
func (s *Site) loginPage(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if token := q.Get(views.FieldToken); token != "" {
		return s.signIn(w, r, token, q.Get(views.FieldNext))
	}
	return s.render(w, r, http.StatusOK, views.Login(views.LoginPage{Page: s.base(r), Next: localPath(q.Get(views.FieldNext))}))
}

func (s *Site) login(w http.ResponseWriter, r *http.Request) error {
	if err := parseForm(r); err != nil {
		return err
	}
	return s.signIn(w, r, strings.TrimSpace(r.PostForm.Get(views.FieldToken)), r.PostForm.Get(views.FieldNext))
}

// signIn starts a session for the token's user and goes on to next.
func (s *Site) signIn(w http.ResponseWriter, r *http.Request, token, next string) error {
	next = localPath(next)
	user, err := s.store.UserByToken(r.Context(), token)
	if errors.Is(err, jobs.ErrNotFound) {
		p := views.LoginPage{Page: s.base(r), Next: next, Error: "This token is not valid. Was it copied as a whole?"}
		return s.render(w, r, http.StatusUnauthorized, views.Login(p))
	}
	if err != nil {
		return err
	}
	session, err := s.store.StartSession(r.Context(), user.ID)
	if err != nil {
		return err
	}
	http.SetCookie(w, s.cookie(r, session, int(store.SessionLength.Seconds())))
	if next == "" {
		next = "/"
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

func (s *Site) logout(w http.ResponseWriter, r *http.Request) error {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		if err := s.store.EndSession(r.Context(), cookie.Value); err != nil {
			return err
		}
	}
	http.SetCookie(w, s.cookie(r, "", -1))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

func (s *Site) cookie(r *http.Request, value string, age int) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: scheme(r) == "https",
	}
}

// scheme is the one that the browser sees, which a proxy in front may tell.
func scheme(r *http.Request) string {
	forwarded, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	if r.TLS != nil || strings.EqualFold(strings.TrimSpace(forwarded), "https") {
		return "https"
	}
	return "http"
}

// localPath is next where it is an address of this site, else empty: a link to
// the sign-in form must not lead to another site.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" ||
		!strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return ""
	}
	return next
}
