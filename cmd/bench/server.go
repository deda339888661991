package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A server is Allcores as its users start it, and its client.
type server struct {
	*process
	url    string
	token  string
	data   string
	client http.Client
	ended  chan error // what Wait returns
}

// startLimit bounds the time until the server has made its database and answers.
const startLimit = 2 * time.Minute

// startServer starts the program with default settings, on a database of its
// own, and waits until it answers. An empty profile writes none. It calls lost
// if the server ends before stop.
func (b *bench) startServer(ctx context.Context, binary, profile string, lost context.CancelCauseFunc) (*server, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, fmt.Errorf("find the server's program: %w", err)
	}
	s := &server{data: filepath.Join(b.dir, "data"), ended: make(chan error, 1)}
	argv := []string{binary, "-addr", "127.0.0.1:0", "-data", s.data}
	if profile != "" {
		profile, err := filepath.Abs(profile)
		if err != nil {
			return nil, fmt.Errorf("find the profile's file: %w", err)
		}
		argv = append(argv, "-cpuprofile", profile)
	}
	// As many connections stay open as the busiest row uses.
	s.client.Transport = &http.Transport{MaxIdleConnsPerHost: b.sizes.jobs}
	// The patience is more than the server gives its tasks and its database.
	s.process = b.prepare(ctx, syscall.SIGTERM, time.Minute, argv...)
	out, err := s.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	if err := s.Start(); err != nil {
		s.cancel()
		return nil, fmt.Errorf("start the server: %w", err)
	}
	late := time.AfterFunc(startLimit, s.cancel)
	lines := bufio.NewScanner(out)
	for s.token == "" && lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "allcores: ready at "); ok {
			s.url = url
		}
		if login, ok := strings.CutPrefix(lines.Text(), "allcores: sign in at "); ok {
			_, s.token, _ = strings.Cut(login, "token=")
		}
	}
	late.Stop()
	go func() {
		_, _ = io.Copy(io.Discard, out)
		err := s.Wait()
		lost(errors.New("the server has ended"))
		s.ended <- err
	}()
	if s.token == "" {
		return nil, errors.Join(errors.New("start the server: it did not say that it is ready"), s.stop())
	}
	// The first use of a program is not measured.
	if _, err := s.finish(ctx, pythonJob("square", 0, 64), 64); err != nil {
		return nil, errors.Join(fmt.Errorf("warm up the server: %w", err), s.stop())
	}
	return s, nil
}

// stop ends the server in order, and its database even if the server could not.
func (s *server) stop() error {
	s.cancel()
	err := <-s.ended
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		err = nil // it ended with status 0
	}
	if err = s.end(err); err != nil {
		err = fmt.Errorf("the server: %w", err)
	}
	return errors.Join(err, s.stopPostgres())
}

// stopPostgres ends a database whose server was killed. Its data is not needed.
func (s *server) stopPostgres() error {
	file := filepath.Join(s.data, "postgres", "data", "postmaster.pid")
	for deadline := time.Now().Add(20 * time.Second); ; {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look for Postgres: %w", err)
		}
		line, _, _ := strings.Cut(string(text), "\n")
		pid, err := strconv.Atoi(line)
		if err != nil {
			return fmt.Errorf("look for Postgres: %w", err)
		}
		if err := syscall.Kill(pid, syscall.SIGQUIT); errors.Is(err, syscall.ESRCH) {
			return nil
		} else if err != nil {
			return fmt.Errorf("end Postgres: %w", err)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("end Postgres: process %d goes on", pid)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// A job has the fields that bench reads of the API's.
type job struct {
	ID     string           `json:"id"`
	State  string           `json:"state"`
	Reason string           `json:"reason"`
	Counts map[string]int64 `json:"counts"`
}

func pythonJob(function string, start, stop int) map[string]any {
	return map[string]any{
		"program": pythonProgram(function),
		"inputs":  map[string]any{"range": map[string]any{"start": start, "stop": stop}},
	}
}

func pythonProgram(function string) map[string]any {
	return map[string]any{"python": map[string]any{"source": string(source("workloads.py")), "function": function}}
}

func commandJob(n int, argv ...string) map[string]any {
	return map[string]any{
		"program": map[string]any{"command": map[string]any{"argv": argv}},
		"inputs":  map[string]any{"range": map[string]any{"stop": n}},
	}
}

// request sends one request of the API and leaves the answer's body to be read
// and closed.
func (s *server) request(ctx context.Context, method, path string, body io.Reader, header ...string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= 300 {
		defer answer.Body.Close()
		said, _ := io.ReadAll(io.LimitReader(answer.Body, tailSize))
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, said)
	}
	return answer.Body, nil
}

// call sends body as JSON and decodes the answer into to.
func (s *server) call(ctx context.Context, method, path string, body, to any, header ...string) error {
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	answer, err := s.request(ctx, method, path, &text, header...)
	if err != nil {
		return err
	}
	defer answer.Close()
	raw, err := io.ReadAll(answer)
	if err == nil {
		err = json.Unmarshal(raw, to)
	}
	if err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	return nil
}

// finish submits a job and returns when it has ended with n tasks, all of them
// succeeded.
func (s *server) finish(ctx context.Context, spec map[string]any, n int) (job, error) {
	var j job
	if err := s.call(ctx, "POST", "/api/v1/jobs", spec, &j, "Prefer", "wait=60"); err != nil {
		return j, err
	}
	return s.await(ctx, j, n)
}

// await waits until a job has ended with n tasks, all of them succeeded.
func (s *server) await(ctx context.Context, j job, n int) (job, error) {
	for !j.ended() {
		if err := s.call(ctx, "GET", "/api/v1/jobs/"+j.ID+"?wait=60", nil, &j); err != nil {
			return j, err
		}
	}
	if j.State != "succeeded" || j.Counts["succeeded"] != int64(n) || j.Counts["total"] != int64(n) {
		return j, fmt.Errorf("job %s of %d tasks is %s with %v: %s", j.ID, n, j.State, j.Counts, j.Reason)
	}
	return j, nil
}

func (j job) ended() bool {
	return j.State == "succeeded" || j.State == "failed" || j.State == "cancelled"
}
