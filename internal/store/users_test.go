package store_test

import (
	"testing"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// TestUsersBy checks that one call finds the users of many valid credentials, and
// leaves out those that are invalid or have expired.
func TestUsersBy(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	ann := &jobs.User{ID: store.NewID(), Name: "ann", Role: jobs.Viewer}
	if _, err := s.Pool.Exec(t.Context(), `insert into users (id, name, role) values ($1, $2, $3)`, ann.ID, ann.Name, ann.Role); err != nil {
		t.Fatal(err)
	}
	start := func(u *jobs.User) string {
		t.Helper()
		secret, err := s.StartSession(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	here, gone, old := start(ann), start(ann), start(admin)
	if err := s.EndSession(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	oldOne := store.NewCredential(old, true)
	if users, err := s.UsersBy(t.Context(), []store.Credential{oldOne}); err != nil || users[oldOne] != *admin {
		t.Errorf("%v, %v", users, err)
	}
	if _, err := s.Pool.Exec(t.Context(), `update sessions set expires_at = now() where user_id = $1`, admin.ID); err != nil {
		t.Fatal(err)
	}
	token, session := store.NewCredential("secret", false), store.NewCredential(here, true)
	users, err := s.UsersBy(t.Context(), []store.Credential{
		token, session, oldOne, store.NewCredential(gone, true),
		store.NewCredential(here, false), store.NewCredential("secret", true), store.NewCredential("nobody's", false),
	})
	if err != nil || len(users) != 2 || users[token] != *admin || users[session] != *ann {
		t.Errorf("%v, %v", users, err)
	}
	if users, err := s.UsersBy(t.Context(), make([]store.Credential, store.MaxCredentials)); err != nil || len(users) != 0 {
		t.Errorf("%v, %v", users, err)
	}
	if _, err := s.UsersBy(t.Context(), make([]store.Credential, store.MaxCredentials+1)); err == nil {
		t.Error("more than the most are looked for")
	}
}
