package http

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

const (
	// trustFor is how long a token is accepted without asking the database again,
	// and so how long a token that was revoked elsewhere still works here.
	trustFor = time.Second
	// maxKnown is how many tokens are remembered.
	maxKnown = 1024
)

// knownTokens caches the users of tokens for a moment: a script sends the same
// token with each of many calls.
type knownTokens struct {
	mu    sync.Mutex
	users map[[sha256.Size]byte]knownUser
}

type knownUser struct {
	user  *jobs.User
	until time.Time
}

func (k *knownTokens) get(token string) *jobs.User {
	k.mu.Lock()
	defer k.mu.Unlock()
	known, ok := k.users[sha256.Sum256([]byte(token))]
	if !ok || time.Now().After(known.until) {
		return nil
	}
	return known.user
}

func (k *knownTokens) put(token string, user *jobs.User) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.users == nil || len(k.users) >= maxKnown {
		k.users = make(map[[sha256.Size]byte]knownUser)
	}
	k.users[sha256.Sum256([]byte(token))] = knownUser{user, time.Now().Add(trustFor)}
}
