package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// enoughFiles raises the limit of open files, for this process and its children.
func enoughFiles(n int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("ask for the limit of open files: %w", err)
	}
	most := limit.Max
	limit.Cur, limit.Max = max(limit.Cur, uint64(n)), max(limit.Max, uint64(n))
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("so many streams need %s open files, and at most %s are allowed (ulimit -Hn): %w", thousands(n), thousands(int(most)), err)
	}
	return nil
}

// resident returns the server's resident memory in bytes.
func (s *server) resident() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("ask for the server's memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read the server's memory: %w", err)
			}
			return kib << 10, nil
		}
	}
	return 0, errors.New("the system does not report the server's memory")
}

// tick is the unit of /proc's times, which is the same on every Linux.
const tick = 10 * time.Millisecond

// processTime is of /proc/PID/stat: who started the process, and its CPU time.
func processTime(pid int) (parent int, used time.Duration, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The name, in parentheses, may hold anything. State is the first after it.
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(f) < 13 {
		return 0, 0, fmt.Errorf("/proc/%d/stat is %q", pid, text)
	}
	var ticks int64
	for _, field := range f[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	parent, err = strconv.Atoi(f[1])
	return parent, time.Duration(ticks) * tick, err
}

// A used is the CPU time of the server and its database up to one moment.
type used struct {
	at               time.Time
	server, database time.Duration
}

func (s *server) usage() (u used, err error) {
	u.at = time.Now()
	if _, u.server, err = processTime(s.Process.Pid); err != nil {
		return u, fmt.Errorf("ask for the server's CPU time: %w", err)
	}
	u.database, err = s.databaseCPU()
	return u, err
}

// since returns the cores used since before.
func (u used) since(before used) string {
	percent := func(d time.Duration) string { return digits(100*d.Seconds()/u.at.Sub(before.at).Seconds()) + " %" }
	return percent(u.server-before.server) + " of a core, the database " + percent(u.database-before.database)
}

// postmaster reads the process id and the socket's directory from Postgres's own
// file.
func (s *server) postmaster() (pid int, socket string, err error) {
	text, err := os.ReadFile(filepath.Join(s.data, "postgres", "data", "postmaster.pid"))
	if err != nil {
		return 0, "", fmt.Errorf("look for Postgres: %w", err)
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 5 {
		return 0, "", fmt.Errorf("look for Postgres: postmaster.pid is %q", text)
	}
	if pid, err = strconv.Atoi(lines[0]); err != nil {
		return 0, "", fmt.Errorf("look for Postgres: %w", err)
	}
	return pid, lines[4], nil
}

// databaseCPU returns the CPU time of all living processes of Postgres.
func (s *server) databaseCPU() (time.Duration, error) {
	postmaster, _, err := s.postmaster()
	if err != nil {
		return 0, err
	}
	all, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("ask for the database's CPU time: %w", err)
	}
	var sum time.Duration
	for _, entry := range all {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		parent, used, err := processTime(pid)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has just ended
		}
		if err != nil {
			return 0, fmt.Errorf("ask for the database's CPU time: %w", err)
		}
		if parent == postmaster {
			sum += used
		}
	}
	return sum, nil
}

// connected counts the server's open connections. A client that does not read does
// not notice a cut, so the kernel's table is read.
func (t *audience) connected(conns []net.Conn) (int, error) {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return 0, fmt.Errorf("ask for the server's connections: %w", err)
	}
	type ends struct{ local, remote string }
	established := make(map[ends]bool)
	for line := range strings.Lines(string(table)) {
		// sl local_address rem_address st …; 01 is established.
		if f := strings.Fields(line); len(f) > 3 && f[3] == "01" {
			established[ends{f[1], f[2]}] = true
		}
	}
	n := 0
	for _, conn := range conns {
		if established[ends{inTable(conn.RemoteAddr()), inTable(conn.LocalAddr())}] {
			n++
		}
	}
	return n, nil
}

// inTable returns an address as in /proc/net/tcp: its four bytes as one number of
// the machine's byte order, and the port, in hexadecimal.
func inTable(a net.Addr) string {
	tcp := a.(*net.TCPAddr)
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(tcp.IP.To4()), tcp.Port)
}

// database connects to the server's private Postgres.
func (s *server) database(ctx context.Context) (*pgx.Conn, error) {
	_, socket, err := s.postmaster()
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, "host="+socket+" user=allcores dbname=allcores application_name=bench")
	if err != nil {
		return nil, fmt.Errorf("connect to the server's database: %w", err)
	}
	return conn, nil
}

// activity counts the server's connections to the database.
type activity struct{ all, listening, busy int }

// watchDatabase samples them for that long. It returns the most that were busy at
// once, and their number at the end.
func (s *server) watchDatabase(ctx context.Context, d time.Duration) (seen activity, err error) {
	database, err := s.database(ctx)
	if err != nil {
		return seen, err
	}
	defer database.Close(context.WithoutCancel(ctx))
	for began := time.Now(); time.Since(began) < d; {
		var busy int
		err := database.QueryRow(ctx, `
			select count(*), count(*) filter (where query = 'listen allcores'), count(*) filter (where state <> 'idle')
			from pg_stat_activity where application_name = 'allcores' and datname = current_database()`).Scan(&seen.all, &seen.listening, &busy)
		if err != nil {
			return seen, fmt.Errorf("ask for the server's connections to the database: %w", err)
		}
		seen.busy = max(seen.busy, busy)
		if err := wait(ctx, 200*time.Millisecond); err != nil {
			return seen, err
		}
	}
	return seen, nil
}
