package http

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
)

// sessionCookie is the name of the cookie that keeps a browser signed in.
const sessionCookie = "allcores_session"

// secretOf returns the bearer token of r, else its session, or "" without either.
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

// recognise returns the user that sends r. The error is errUnauthorized if the
// token or session is not valid.
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

// authenticated passes requests of signed-in users on.
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

// require returns ErrForbidden if the user's role does not include role.
func require(r *http.Request, role jobs.Role) error {
	if !callOf(r.Context()).user.Role.Allows(role) {
		return jobs.ErrForbidden
	}
	return nil
}

// sameOrigin refuses requests that pages of other sites make a browser send with
// its user's session. A browser never sends a bearer token by itself.
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
