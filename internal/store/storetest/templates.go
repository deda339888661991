package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"time"
)

// template returns the name of the template database, and builds it if it is missing.
func (s *server) template(ctx context.Context, tpl Template) (string, error) {
	sum := sha256.Sum256([]byte(tpl.Fingerprint))
	name := prefix + "_" + hex.EncodeToString(sum[:8])
	if s.ready[name] {
		return name, nil
	}
	key := keyOf(name)
	// The lock comes before the look, so that nobody drops the template in between.
	if err := s.exec(ctx, fmt.Sprintf("select pg_advisory_lock_shared(%d, %d)", lockTemplate, key)); err != nil {
		return "", err
	}
	if err := s.exec(ctx, fmt.Sprintf("select pg_advisory_lock(%d, %d)", lockBuild, key)); err != nil {
		return "", err
	}
	err := s.build(ctx, name, tpl)
	if err == nil {
		err = s.exec(ctx, fmt.Sprintf("comment on database %s is '%s'", name, time.Now().UTC().Format(time.RFC3339)))
	}
	err = errors.Join(err, s.exec(ctx, fmt.Sprintf("select pg_advisory_unlock(%d, %d)", lockBuild, key)))
	if err != nil {
		return "", err
	}
	s.ready[name] = true
	return name, nil
}

// build creates the template under another name and renames it when it is complete.
func (s *server) build(ctx context.Context, name string, tpl Template) error {
	names, err := s.databases(ctx, name)
	if err != nil || len(names) > 0 {
		return err
	}
	if err := s.dropTemplates(ctx); err != nil {
		return err
	}
	making := "making_" + name
	if err := s.exec(ctx, "drop database if exists "+making+" with (force)"); err != nil {
		return err
	}
	if err := s.exec(ctx, "create database "+making+" template template0"); err != nil {
		return err
	}
	if err := tpl.Migrate(ctx, s.pg.URLFor(making)); err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	// Without connections nobody can change it or keep it from being copied.
	if err := s.exec(ctx, "alter database "+making+" with allow_connections false"); err != nil {
		return err
	}
	return s.exec(ctx, "alter database "+making+" rename to "+name)
}

// This package's tests use other values, to leave other packages' templates alone.
var (
	prefix = "tpl" // of the templates' names
	keep   = 6     // so many templates stay, at about 10 MB each
)

// dropTemplates drops the templates of earlier migrations. It keeps those in use, and a
// few recently used ones, which a switch of branches may need again.
func (s *server) dropTemplates(ctx context.Context) error {
	names, err := s.databases(ctx, prefix+"\\_%")
	if err != nil {
		return err
	}
	for i, name := range names {
		if i < keep-1 || s.ready[name] { // our own lock would not stop us
			continue
		}
		key := keyOf(name)
		unused, err := s.tryLock(ctx, lockTemplate, key)
		if err != nil {
			return err
		}
		if !unused {
			continue
		}
		err = s.exec(ctx, "drop database if exists "+name)
		err = errors.Join(err, s.exec(ctx, fmt.Sprintf("select pg_advisory_unlock(%d, %d)", lockTemplate, key)))
		if err != nil {
			return err
		}
	}
	return nil
}

// keyOf returns a template's key in advisory locks.
func keyOf(name string) int32 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return int32(h.Sum32())
}
