package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// probe requests a server's health. The status is 0 where no server answers.
func probe(t *testing.T, url string) (status int, text string) {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second}
	res, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long: %s", what)
		}
	}
}

// privateDatabase returns the URL of the private Postgres of a data directory.
func privateDatabase(data string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.User("allcores"), Path: "/allcores",
		RawQuery: url.Values{"host": {filepath.Join(data, "postgres", "run")}, "port": {"5432"}}.Encode(),
	}).String()
}

// TestStartingServer checks that a server that waits for another one's migrations is
// healthy, reports what it waits for, and is not ready until it can serve.
func TestStartingServer(t *testing.T) {
	t.Parallel()
	first := dataDir(t)
	serve(t, first)
	database := privateDatabase(first)
	lock, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close(t.Context())
	if _, err := lock.Exec(t.Context(), `select pg_advisory_lock($1)`, int64(0x616c6c636f726573)); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	free.Close()
	start := func() (*exec.Cmd, <-chan string) {
		cmd := exec.Command(os.Args[0], "-addr", at, "-data", dataDir(t), "-role", "web")
		cmd.Env = append(os.Environ(), asServer+"=1", "ALLCORES_TOKEN=token-of-the-test", "DATABASE_URL="+database)
		cmd.Stderr = t.Output()
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill() // it has ended where the test went well
			_ = cmd.Wait()
		})
		said := make(chan string, 8)
		go func() {
			defer close(said)
			for lines := bufio.NewScanner(out); lines.Scan(); {
				said <- lines.Text()
			}
		}()
		return cmd, said
	}
	waits := func() bool {
		status, text := probe(t, "http://"+at+"/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(text, "waits for the database and its migrations")
	}
	end := func(cmd *exec.Cmd) {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	}

	cmd, said := start()
	eventually(t, "it says that it waits", waits)
	if status, text := probe(t, "http://"+at+"/healthz"); status != http.StatusOK || text != "ok\n" {
		t.Errorf("/healthz: %d %s", status, text)
	}
	end(cmd) // while it starts
	if line, more := <-said; more {
		t.Errorf("it said %q", line)
	}

	cmd, said = start()
	eventually(t, "it says that it waits", waits)
	if _, err := lock.Exec(t.Context(), `select pg_advisory_unlock($1)`, int64(0x616c6c636f726573)); err != nil {
		t.Fatal(err)
	}
	if line := <-said; !strings.HasPrefix(line, "allcores: ready at ") {
		t.Errorf("it said %q", line)
	}
	if status, text := probe(t, "http://"+at+"/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: %d %s", status, text)
	}
	end(cmd)
}

// TestOlderServer checks that a server does not change the tables of a newer one.
func TestOlderServer(t *testing.T) {
	t.Parallel()
	data := dataDir(t)
	serve(t, data)
	database := privateDatabase(data)
	db, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	if _, err := db.Exec(t.Context(), `insert into goose_db_version (version_id, is_applied) values (90001, true)`); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-addr", "127.0.0.1:0", "-data", dataDir(t))
	cmd.Env = append(os.Environ(), asServer+"=1", "ALLCORES_TOKEN=token-of-the-test", "DATABASE_URL="+database)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "at version 90001") || strings.Contains(string(out), "ready at") {
		t.Errorf("%v: %s", err, out)
	}
}
