package store_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/store"
)

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	take := func(request, job string) (earlier string, replayed bool, err error) {
		key := &store.Key{UserID: admin.ID, Key: "k", Request: []byte(request)}
		err = s.Tx(t.Context(), func(tx pgx.Tx) (err error) {
			earlier, err = s.ClaimKey(t.Context(), tx, key, job)
			return err
		})
		return earlier, key.Replayed, err
	}
	first := store.NewID()
	if earlier, replayed, err := take("a", first); earlier != "" || replayed || err != nil {
		t.Errorf("a fresh key stood for %q, %v, %v", earlier, replayed, err)
	}
	if earlier, replayed, err := take("a", store.NewID()); earlier != first || !replayed || err != nil {
		t.Errorf("the same request: %s, %v, %v", earlier, replayed, err)
	}
	if earlier, replayed, err := take("b", store.NewID()); earlier != "" || replayed || !errors.Is(err, store.ErrKeyReused) {
		t.Errorf("another request: %s, %v, %v", earlier, replayed, err)
	}
	if n, err := s.ForgetKeys(t.Context(), 10); err != nil || n != 0 {
		t.Errorf("%d keys were forgotten, %v", n, err)
	}
	if _, err := s.Pool.Exec(t.Context(), `update idempotency_keys set created_at = created_at - interval '25 hours'`); err != nil {
		t.Fatal(err)
	}
	if n, err := s.ForgetKeys(t.Context(), 10); err != nil || n != 1 {
		t.Errorf("%d keys were forgotten, want 1 (%v)", n, err)
	}
	if earlier, _, err := take("b", first); earlier != "" || err != nil {
		t.Errorf("a forgotten key stood for %q (%v)", earlier, err)
	}
}
