package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// SessionLength is how long a browser stays signed in.
const SessionLength = 30 * 24 * time.Hour

// NewSecret returns a fresh secret of 26 characters and 130 random bits: long enough
// that its SHA-256 is safe to store.
func NewSecret() string { return rand.Text() }

func hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// EnsureAdmin creates the user admin unless it exists, and makes token sign in as
// admin in place of an earlier token of the same name.
func (s *Store) EnsureAdmin(ctx context.Context, name, token string) error {
	return s.Tx(ctx, func(tx pgx.Tx) error {
		var id string
		err := tx.QueryRow(ctx, `
			insert into users (id, name, role) values ($1, 'admin', 'admin')
			on conflict (name) do update set role = 'admin' returning id`, NewID()).Scan(&id)
		if err != nil {
			return wrap("make admin", err)
		}
		_, err = tx.Exec(ctx, `delete from tokens where user_id = $1 and name = $2 and hash <> $3`, id, name, hash(token))
		if err != nil {
			return wrap("drop earlier token", err)
		}
		_, err = tx.Exec(ctx, `insert into tokens (id, user_id, name, hash) values ($1, $2, $3, $4) on conflict (hash) do nothing`,
			NewID(), id, name, hash(token))
		return wrap("write token", err)
	})
}

// UserByToken reads the user with the token. It returns ErrNotFound when there is none.
func (s *Store) UserByToken(ctx context.Context, token string) (*jobs.User, error) {
	return s.user(ctx, `select u.id, u.name, u.role from tokens t join users u on u.id = t.user_id where t.hash = $1`, hash(token))
}

// UserBySession reads the user who is signed in with a session. It returns ErrNotFound
// when there is none.
func (s *Store) UserBySession(ctx context.Context, session string) (*jobs.User, error) {
	return s.user(ctx, `
		select u.id, u.name, u.role from sessions s join users u on u.id = s.user_id
		where s.hash = $1 and s.expires_at > now()`, hash(session))
}

func (s *Store) user(ctx context.Context, sql string, args ...any) (*jobs.User, error) {
	var u jobs.User
	err := s.Pool.QueryRow(ctx, sql, args...).Scan(&u.ID, &u.Name, &u.Role)
	if err != nil {
		return nil, wrap("read user", err)
	}
	return &u, nil
}

// A Credential is the hash of a token or session. It is comparable.
type Credential struct {
	Session bool // a browser's session; else a token
	hash    [sha256.Size]byte
}

// NewCredential returns the credential of a secret.
func NewCredential(secret string, session bool) Credential {
	return Credential{session, sha256.Sum256([]byte(secret))}
}

// MaxCredentials bounds one call of UsersBy.
const MaxCredentials = 1000

// UsersBy reads the users with the credentials. Invalid and expired ones are missing in
// the answer.
func (s *Store) UsersBy(ctx context.Context, credentials []Credential) (map[Credential]jobs.User, error) {
	if len(credentials) > MaxCredentials {
		return nil, fmt.Errorf("read users: %d credentials, at most %d are looked for at once", len(credentials), MaxCredentials)
	}
	var tokens, sessions [][]byte
	for _, c := range credentials {
		if c.Session {
			sessions = append(sessions, c.hash[:])
		} else {
			tokens = append(tokens, c.hash[:])
		}
	}
	rows, err := s.Pool.Query(ctx, `
		select false, t.hash, u.id, u.name, u.role from tokens t join users u on u.id = t.user_id where t.hash = any($1)
		union all
		select true, s.hash, u.id, u.name, u.role from sessions s join users u on u.id = s.user_id
		where s.hash = any($2) and s.expires_at > now()`, tokens, sessions)
	if err != nil {
		return nil, wrap("read users", err)
	}
	users := make(map[Credential]jobs.User, len(credentials))
	var c Credential
	var hash []byte
	var u jobs.User
	_, err = pgx.ForEachRow(rows, []any{&c.Session, &hash, &u.ID, &u.Name, &u.Role}, func() error {
		copy(c.hash[:], hash)
		users[c] = u
		return nil
	})
	return users, wrap("read users", err)
}

// StartSession signs a user in and returns the session's secret.
func (s *Store) StartSession(ctx context.Context, userID string) (session string, err error) {
	session = NewSecret()
	_, err = s.Pool.Exec(ctx, `
		with old as (delete from sessions where expires_at < now())
		insert into sessions (hash, user_id, expires_at) values ($1, $2, now() + $3::bigint * interval '1 second')`,
		hash(session), userID, int64(SessionLength/time.Second))
	return session, wrap("start session", err)
}

// EndSession signs out.
func (s *Store) EndSession(ctx context.Context, session string) error {
	_, err := s.Pool.Exec(ctx, `delete from sessions where hash = $1`, hash(session))
	return wrap("end session", err)
}
