package pglocal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// health is the server's state as a connection attempt shows it.
type health int

const (
	down health = iota // nothing listens
	busy               // it listens but does not serve: starting, recovering, stopping
	up
	odd // it answers with an error that waiting will not change
)

// probe tries to connect. The connection is not nil if and only if the server
// is up.
func (c *cluster) probe(ctx context.Context) (*pgx.Conn, health, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	config, err := pgx.ParseConfig(c.url("postgres"))
	if err != nil {
		return nil, odd, err
	}
	config.RuntimeParams = map[string]string{"application_name": "allcores supervision"}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err == nil {
		return conn, up, nil
	}
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused):
		switch refused.Code {
		case "57P03", "57P01", "57P02", "53300": // starting or stopping, stopping, crashed, too many connections
			return nil, busy, err
		}
		return nil, odd, err
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return nil, down, err
	case errors.Is(err, syscall.EACCES):
		return nil, odd, c.denied(err)
	}
	return nil, busy, err // cut or timed out in mid-handshake
}

// ensure returns a connection to the server. It starts the server if it does not run.
func (c *cluster) ensure(ctx context.Context) (*pgx.Conn, error) {
	const patience = time.Minute // without a deadline, for a server that does not even listen
	began := time.Now()
	var (
		started  bool      // a server by this call, which has not failed so far
		orphaned time.Time // when a dead server's backends were first in the way
		retry    time.Time // not to start another one before
		failure  error     // the last one
	)
	longest := 20 * time.Millisecond
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, longest) {
		if time.Since(began) > time.Second {
			longest = 100 * time.Millisecond // it recovers, and would log each attempt
		}
		conn, state, err := c.probe(ctx)
		switch state {
		case up:
			if started {
				c.log.Info("started the private PostgreSQL", "dir", c.base, "took", time.Since(began).Round(time.Millisecond))
			}
			return conn, nil
		case odd:
			return nil, fmt.Errorf("connecting to PostgreSQL in %s: %w", c.base, err)
		case busy:
			failure = err
		case down:
			if c.proc.running() {
				break // it has not come to listening yet
			}
			if started {
				started = false
				var obstacle obstacle
				if obstacle, failure = c.proc.failure(); obstacle == none {
					return nil, failure
				}
				retry = time.Now().Add(100 * time.Millisecond)
				if obstacle == backends {
					if orphaned.IsZero() {
						orphaned = time.Now()
					} else if time.Since(orphaned) > time.Second {
						c.endOrphans()
					}
				}
			}
			if _, bounded := ctx.Deadline(); !bounded && time.Since(began) > patience {
				return nil, failure
			}
			if time.Now().Before(retry) {
				break
			}
			if err := c.spawn(ctx); err != nil {
				return nil, err
			}
			started = true
			pause = 2 * time.Millisecond
		}
		var ended <-chan struct{}
		if started {
			ended = c.proc.ended()
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("starting PostgreSQL in %s: %w", c.base, errors.Join(context.Cause(ctx), failure))
		case <-ended:
		case <-time.After(pause):
		}
	}
}

// spawn starts the server, and creates the cluster first if there is none. It does not
// wait until the server answers.
func (c *cluster) spawn(ctx context.Context) error {
	major, err := c.major()
	if err != nil {
		return err
	}
	bin, err := binaries(major, c.data())
	if err != nil {
		return err
	}
	if err := c.makeOwned(c.run); err != nil {
		return fmt.Errorf("making the socket's folder: %w", err)
	}
	if major == 0 {
		if err := c.initdb(ctx, bin); err != nil {
			return fmt.Errorf("making the database cluster in %s: %w", c.base, err)
		}
	}
	if err := c.writeAccess(); err != nil {
		return fmt.Errorf("writing who may connect to PostgreSQL: %w", err)
	}
	log, from, err := c.openLog()
	if err != nil {
		return fmt.Errorf("opening PostgreSQL's log: %w", err)
	}
	defer log.Close()

	args := []string{
		"-D", c.data(),
		"-p", port,
		"-c", "listen_addresses=",
		"-c", `unix_socket_directories="` + c.run + `"`,
		"-c", "unix_socket_permissions=0700",
		"-c", "hba_file=" + filepath.Join(c.base, "hba.conf"),
		"-c", "ident_file=" + filepath.Join(c.base, "ident.conf"),
	}
	cmd := c.command(bin, "postgres", append(args, settings(c.settings)...)...)
	// Not our streams: a reader of them would wait for the server to end.
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting PostgreSQL as %s: %w", c.account.name, err)
	}
	c.proc = &process{cmd: cmd, log: log.Name(), from: from, done: make(chan struct{})}
	background(c.proc.reap)
	return nil
}

// command prepares a server program to run under the server's account, without
// variables of our environment that could change what it does.
func (c *cluster) command(bin, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(bin, name), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin", "LC_ALL=C", "HOME=/", "USER=" + c.account.name}
	for _, keep := range []string{"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZDIR"} {
		if v, ok := os.LookupEnv(keep); ok {
			cmd.Env = append(cmd.Env, keep+"="+v)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: c.account.credential(),
		// Its own session, so that a Ctrl-C in our terminal does not reach it.
		Setsid: true,
	}
	return cmd
}
