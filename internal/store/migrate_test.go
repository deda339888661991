package store_test

import (
	"testing"

	"github.com/allcores/allcores/internal/store"
)

// TestMigrateCountsOn checks that Migrate mends the sequence of migrations: a crashed
// server may have lost its last values.
func TestMigrateCountsOn(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	exec(t, s, `select setval('goose_db_version_id_seq', 1)`)
	if err := store.Migrate(t.Context(), s.Pool.Config().ConnString()); err != nil {
		t.Fatal(err)
	}
	exec(t, s, `insert into goose_db_version (version_id, is_applied) values (1000, true)`)
}
