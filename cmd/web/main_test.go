package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asServer makes the test binary the server, so that it can be killed.
const asServer = "ALLCORES_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestWrongSettings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		env  map[string]string
		want []string // that the message names
	}{
		{[]string{"-addr", "nonsense"}, nil, []string{"-addr", "nonsense", "HOST:PORT"}},
		{[]string{"-addr", "127.0.0.1:70000"}, nil, []string{"-addr", "70000", "65535"}},
		{nil, map[string]string{"ALLCORES_ADDR": "x"}, []string{"ALLCORES_ADDR", `"x"`}},
		{[]string{"-role", "boss"}, nil, []string{"-role", "boss", "all, web or worker"}},
		{nil, map[string]string{"ALLCORES_ROLE": "boss"}, []string{"ALLCORES_ROLE", "boss"}},
		{[]string{"-data", ""}, nil, []string{"-data", `""; allowed is a directory`}},
		{[]string{"-cores", "0"}, nil, []string{"-cores", "0", "from 1 to"}},
		{[]string{"-queues", "cpu,B!"}, nil, []string{"-queues", "cpu,B!", "names of queues"}},
		{nil, map[string]string{"ALLCORES_MEMORY_FLOOR": "95%"}, []string{"ALLCORES_MEMORY_FLOOR", "95%", "0% to 90%"}},
		{[]string{"-cores", "99999"}, nil, []string{"-cores", "99999", "from 1 to"}},
		{[]string{"-grace", "soon"}, nil, []string{"-grace", "soon", "10s"}},
		{[]string{"-retention", "5s"}, nil, []string{"-retention", "5s", "1m"}},
		{nil, map[string]string{"ALLCORES_TOKEN": "short"}, []string{"ALLCORES_TOKEN", "8"}},
		{nil, map[string]string{"DATABASE_URL": "postgres://user:geheim@host:notaport/x"}, []string{"DATABASE_URL", "postgres://"}},
		{[]string{"-nosuch"}, nil, []string{"-nosuch", "-help"}},
		{[]string{"extra"}, nil, []string{"extra"}},
	} {
		_, err := readConfig(test.args, func(name string) string { return test.env[name] }, io.Discard)
		var setting *settingError
		if !errors.As(err, &setting) {
			t.Errorf("%v %v: %v", test.args, test.env, err)
			continue
		}
		for _, part := range test.want {
			if !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "nil") || strings.Contains(err.Error(), "geheim") {
				t.Errorf("%v %v: %q does not name %q", test.args, test.env, err, part)
			}
		}
	}
}

func TestFlagsWinOverTheEnvironment(t *testing.T) {
	t.Parallel()
	c, err := readConfig([]string{"-addr", ":1", "-data", "/x"}, func(name string) string {
		return map[string]string{"ALLCORES_ADDR": ":2", "ALLCORES_ROLE": "web", "ALLCORES_TOKEN": "12345678"}[name]
	}, io.Discard)
	if err != nil || c.addr != ":1" || c.role != "web" || c.data != "/x" || c.token != "12345678" || len(c.cores) < 1 || c.grace != 10*time.Second {
		t.Errorf("%+v, %v", c, err)
	}
}

// dataDir returns a directory that Postgres may use also when it runs under another
// account than the tests.
func dataDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "allcores")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A server is the program in a process of its own.
type server struct {
	*exec.Cmd
	url   string
	login string // the sign-in link
	token string
}

func serve(t testing.TB, data string, args ...string) *server {
	t.Helper()
	s := &server{Cmd: exec.Command(os.Args[0], append([]string{"-addr", "127.0.0.1:0", "-data", data}, args...)...)}
	s.Env = append(os.Environ(), asServer+"=1", "ALLCORES_TOKEN=", "DATABASE_URL=")
	s.Stderr = t.Output()
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop(t) })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "allcores: ready at "); ok {
			s.url = url
		}
		if login, ok := strings.CutPrefix(lines.Text(), "allcores: sign in at "); ok {
			s.login = login
			_, s.token, _ = strings.Cut(login, "token=")
			break
		}
	}
	if s.url == "" || s.token == "" {
		t.Fatalf("the server did not say that it is ready: %v", lines.Err())
	}
	go io.Copy(io.Discard, out)
	return s
}

// stop ends the server in order.
func (s *server) stop(t testing.TB) {
	if s.ProcessState != nil {
		return
	}
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

type job struct {
	ID     string           `json:"id"`
	State  string           `json:"state"`
	Counts map[string]int64 `json:"counts"`
	Output []any            `json:"outputs"`
}

// call does a request of the API and decodes the answer.
func (s *server) call(t testing.TB, method, path string, body any, prefer string) (j job) {
	t.Helper()
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			t.Fatal(err)
		}
	}
	r, err := http.NewRequestWithContext(context.Background(), method, s.url+path, &text)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/json")
	if prefer != "" {
		r.Header.Set("Prefer", prefer)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %s", method, path, answer.Status, raw)
	}
	if err := json.Unmarshal(raw, &j); err != nil {
		t.Fatalf("%s %s: %v in %s", method, path, err, raw)
	}
	return j
}

func pythonJob(source, function string, stop int) map[string]any {
	return map[string]any{
		"program": map[string]any{"python": map[string]any{"source": source, "function": function}},
		"inputs":  map[string]any{"range": map[string]any{"stop": stop}},
	}
}

func (s *server) end(t testing.TB, id string) job {
	t.Helper()
	for range 10 {
		if j := s.call(t, "GET", "/api/v1/jobs/"+id+"?wait=30", nil, ""); j.State == "succeeded" || j.State == "failed" || j.State == "cancelled" {
			return j
		}
	}
	t.Fatal("the job does not end")
	return job{}
}

func TestFromStartToStop(t *testing.T) {
	t.Parallel()
	data := dataDir(t)
	s := serve(t, data)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Jar: jar}).Get(s.login)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusOK || answer.Request.URL.Path != "/" || !bytes.Contains(page, []byte("New job")) {
		t.Errorf("the sign-in link leads to %s, %s (%v)", answer.Request.URL, answer.Status, err)
	}
	info, err := os.Stat(filepath.Join(data, "admin-token"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: %v, %v", info, err)
	}
	j := s.call(t, "POST", "/api/v1/jobs", pythonJob("def f(x): return x * x", "f", 4), "wait=30")
	if j.State != "succeeded" || fmt.Sprint(j.Output) != "[0 1 4 9]" {
		t.Errorf("%+v", j)
	}
	s.stop(t)
	if _, err := os.Stat(filepath.Join(data, "postgres", "data", "postmaster.pid")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Postgres was left behind: %v", err)
	}
	again := serve(t, data)
	if again.token != s.token {
		t.Error("the token changed with a restart")
	}
	if j := again.call(t, "GET", "/api/v1/jobs/"+j.ID, nil, ""); j.State != "succeeded" {
		t.Errorf("after the restart: %+v", j)
	}
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cmd := exec.Command(os.Args[0], "-addr", taken.Addr().String(), "-data", dataDir(t))
	cmd.Env = append(os.Environ(), asServer+"=1")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), taken.Addr().String()) || strings.Count(string(out), "\n") != 1 {
		t.Errorf("%v: %s", err, out)
	}
}

func TestProfileThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nosuch", "cpu.prof")
	cmd := exec.Command(os.Args[0], "-addr", "127.0.0.1:0", "-data", dataDir(t), "-cpuprofile", path)
	cmd.Env = append(os.Environ(), asServer+"=1")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), path) || strings.Count(string(out), "\n") != 1 {
		t.Errorf("%v: %s", err, out)
	}
}

func TestKilledServerLosesNothing(t *testing.T) {
	t.Parallel()
	data, marks := dataDir(t), t.TempDir()
	s := serve(t, data)
	const total = 600
	source := fmt.Sprintf(`
import os, time
with open(os.path.join(%q, "pid-%%d" %% os.getpid()), "w"): pass
def f(x):
    with open(os.path.join(%q, "%%d" %% x), "a") as file:
        file.write("x")
    time.sleep(0.01)
    return x * x
`, marks, marks)
	id := s.call(t, "POST", "/api/v1/jobs", pythonJob(source, "f", total), "").ID
	for deadline := time.Now().Add(20 * time.Second); s.call(t, "GET", "/api/v1/jobs/"+id, nil, "").Counts["succeeded"] < 100; {
		if time.Now().After(deadline) {
			t.Fatal("no task succeeds")
		}
	}
	if err := s.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err == nil {
		t.Error("the killed server ended in order")
	}
	pids, err := filepath.Glob(filepath.Join(marks, "pid-*"))
	if err != nil || len(pids) == 0 {
		t.Fatal("no worker process left its mark", err)
	}
	for _, path := range pids {
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(path), "pid-%d", &pid); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(5 * time.Second); syscall.Kill(pid, 0) == nil; {
			stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if strings.Contains(string(stat), ") Z ") {
				break // dead, and waiting for its new parent to notice
			}
			if time.Now().After(deadline) {
				t.Fatalf("worker process %d outlives its server", pid)
			}
		}
	}
	again := serve(t, data)
	j := again.end(t, id)
	if j.State != "succeeded" || j.Counts["succeeded"] != total {
		t.Errorf("%+v", j)
	}
	rerun := 0
	for i := range total {
		text, err := os.ReadFile(filepath.Join(marks, fmt.Sprint(i)))
		if err != nil || len(text) == 0 {
			t.Errorf("task %d was never run (%v)", i, err)
		}
		rerun += len(text) - 1
	}
	t.Logf("%d of %d tasks were run again", rerun, total)
}
