package pglocal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestKilledServerComesBack(t *testing.T) {
	dir := newCluster(t)
	s := start(t, Options{Dir: dir})
	other := start(t, Options{Dir: dir}) // does not get in the way
	defer closeServer(t, other)
	mustExec(t, s.URL(), "drop table if exists t; create table t as select generate_series(1, 100000) as v")
	for range 2 {
		pid := postmaster(dir)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, 5*time.Second, func() error {
			v, err := query(t.Context(), s.URL(), "select count(*)::text from t")
			if err == nil && v != "100000" {
				t.Fatalf("%s rows, want 100000", v)
			}
			return err
		})
		if got := postmaster(dir); got == pid {
			t.Fatal("the killed server serves")
		}
	}
}

// TestKilledServerComesBackDespiteBusyBackend checks that a server starts although a
// backend outlives the killed one. No server can start while such a backend executes
// a statement.
func TestKilledServerComesBackDespiteBusyBackend(t *testing.T) {
	if _, err := os.Stat("/proc/self/cwd"); err != nil {
		t.Skip("needs /proc to find the backend")
	}
	dir := newCluster(t)
	s := start(t, Options{Dir: dir})
	busy := make(chan struct{})
	go func() {
		defer close(busy)
		query(context.Background(), s.URL(), "select count(*)::text from generate_series(1, 1e12) v")
	}()
	defer func() { <-busy }()
	eventually(t, 10*time.Second, func() error {
		v, err := query(t.Context(), s.URL(), "select count(*)::text from pg_stat_activity where query like '%1e12%' and state = 'active' and pid <> pg_backend_pid()")
		if err == nil && v != "1" {
			err = errors.New("the statement does not run yet")
		}
		return err
	})
	if err := syscall.Kill(postmaster(dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, func() error {
		_, err := query(t.Context(), s.URL(), "select 1::text")
		return err
	})
}

func TestCrashedBackend(t *testing.T) {
	dir := newCluster(t)
	s := start(t, Options{Dir: dir})
	pid := postmaster(dir)
	conn, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(int(conn.PgConn().PID()), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, func() error {
		if err := conn.Ping(t.Context()); err == nil {
			return errors.New("the killed backend answers")
		}
		_, err := query(t.Context(), s.URL(), "select 1::text")
		return err
	})
	conn.Close(t.Context())
	if got := postmaster(dir); got != pid {
		t.Errorf("process %d serves, want %d: a server that recovers by itself was replaced", got, pid)
	}
}

func TestCloseDuringRestart(t *testing.T) {
	dir := newCluster(t)
	s := start(t, Options{Dir: dir})
	if err := syscall.Kill(postmaster(dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	closeServer(t, s)
	eventually(t, 10*time.Second, func() error {
		if pid := postmaster(dir); pid != 0 {
			return fmt.Errorf("process %d is left", pid)
		}
		return nil
	})
}
