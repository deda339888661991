package http

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

// loginPage shows the sign-in form. With a token in the address, as in the link
// that the server prints, it signs in at once.
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

// scheme returns the scheme that the browser sees; a proxy in front may send it.
func scheme(r *http.Request) string {
	forwarded, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	if r.TLS != nil || strings.EqualFold(strings.TrimSpace(forwarded), "https") {
		return "https"
	}
	return "http"
}

// localPath returns next if it is an address of this site, else "": a link to the
// sign-in form must not lead to another site.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" ||
		!strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return ""
	}
	return next
}
