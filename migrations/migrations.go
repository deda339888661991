// Package migrations holds the database's schema as numbered SQL files. They
// are applied in their order, after River's own, by store.Migrate.
package migrations

import "embed"

// Files are the migrations, NNNNN_name.sql, in goose's format.
//
//go:embed *.sql
var Files embed.FS
