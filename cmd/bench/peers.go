package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A python is the interpreter of the tasks and of the peers.
type python struct {
	path    string
	version string
	modules map[string]string // versions of the installed peers' modules
}

// inspectPython prints what a python is.
const inspectPython = `
import importlib, json, platform
found = {}
for name in "joblib", "celery", "redis":
    try:
        found[name] = importlib.import_module(name).__version__
    except ImportError:
        pass
print(json.dumps({"version": platform.python_version(), "modules": found}))
`

// findPython returns the first python3 in PATH that has the most of the peers'
// modules.
func findPython(ctx context.Context) (python, error) {
	var best python
	var problems []error
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path, err := filepath.Abs(filepath.Join(dir, "python3"))
		if err != nil {
			return best, fmt.Errorf("find python3: %w", err)
		}
		if _, err := exec.LookPath(path); err != nil {
			continue
		}
		p := python{path: path}
		var found struct {
			Version string            `json:"version"`
			Modules map[string]string `json:"modules"`
		}
		out, err := exec.CommandContext(ctx, path, "-c", inspectPython).Output()
		if err == nil {
			err = json.Unmarshal(out, &found)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("ask %s for its version: %w", path, err))
			continue
		}
		p.version, p.modules = found.Version, found.Modules
		if best.path == "" || len(p.modules) > len(best.modules) {
			best = p
		}
	}
	if ctx.Err() != nil {
		return best, context.Cause(ctx)
	}
	if best.path == "" {
		return best, errors.Join(append(problems, errors.New("no python3 in PATH"))...)
	}
	return best, nil
}

// environment returns env with this interpreter as python3 and without settings of
// the server.
func (p python) environment(env []string) []string {
	env = slices.DeleteFunc(env, func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return strings.HasPrefix(name, "ALLCORES_") || name == "DATABASE_URL" || name == "PATH"
	})
	return append(env, "PATH="+filepath.Dir(p.path)+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

// lacks returns the distribution's packages of the missing modules and programs.
func (p python) lacks(needs ...string) []string {
	var packages []string
	for _, need := range needs {
		switch need {
		case "joblib", "celery", "redis":
			if p.modules[need] == "" {
				packages = append(packages, "python3-"+need)
			}
		default:
			if _, err := exec.LookPath(need); err != nil {
				packages = append(packages, need)
			}
		}
	}
	return packages
}

// pool returns one of Python's own pools, by its name in peers.py. Chunk 0 means
// its default.
func (b *bench) pool(name, peer, function string, start, stop, chunk int) contender {
	c := contender{name: name}
	if peer == "joblib" {
		c.lacks = b.python.lacks("joblib")
	}
	c.open = func(ctx context.Context) (session, error) {
		argv := []string{b.python.path, "peers.py", peer, function}
		for _, n := range []int{start, stop, b.processes, chunk} {
			argv = append(argv, strconv.Itoa(n))
		}
		return drive(b.prepare(ctx, syscall.SIGKILL, time.Second, argv...))
	}
	return c
}

// drive starts a script that runs a round for each line of input and answers with a
// line of seconds.
func drive(p *process) (session, error) {
	in, err := p.StdinPipe()
	if err != nil {
		return session{}, err
	}
	out, err := p.StdoutPipe()
	if err != nil {
		return session{}, err
	}
	if err := p.Start(); err != nil {
		p.cancel()
		return session{}, err
	}
	lines := bufio.NewReader(out)
	round := func(ctx context.Context) ([]time.Duration, error) {
		defer context.AfterFunc(ctx, p.cancel)()
		if _, err := io.WriteString(in, "\n"); err != nil {
			return nil, p.explain(fmt.Errorf("ask for a round: %w", err))
		}
		line, err := lines.ReadBytes('\n')
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, p.explain(fmt.Errorf("wait for a round: %w", err))
		}
		var seconds []float64
		if err := json.Unmarshal(line, &seconds); err != nil {
			return nil, fmt.Errorf("read a round's times: %w", err)
		}
		took := make([]time.Duration, len(seconds))
		for i, s := range seconds {
			took[i] = time.Duration(s * float64(time.Second))
		}
		return took, nil
	}
	return session{round: round, close: func() error { p.stop(); return nil }}, nil
}

// shell returns a command-line program that reads n inputs, one per line.
func (b *bench) shell(name string, n int, needs []string, argv ...string) contender {
	var inputs bytes.Buffer
	for i := range n {
		fmt.Fprintln(&inputs, i)
	}
	return contender{name: name, lacks: needs, open: func(context.Context) (session, error) {
		return session{round: func(ctx context.Context) ([]time.Duration, error) {
			p := b.prepare(ctx, syscall.SIGKILL, time.Second, argv...)
			p.Stdin = bytes.NewReader(inputs.Bytes())
			began := time.Now()
			err := p.run()
			return []time.Duration{time.Since(began)}, err
		}}, nil
	}}
}

func (b *bench) xargs(n int, argv ...string) contender {
	return b.shell("xargs", n, nil, append([]string{"xargs", "-P" + strconv.Itoa(b.processes), "-n1"}, argv...)...)
}

// gnuParallel quotes argv, because GNU parallel passes it to a shell.
func (b *bench) gnuParallel(n int, argv ...string) contender {
	lacks := b.python.lacks("parallel")
	if len(lacks) == 0 && !isGNUParallel() {
		lacks = []string{"parallel"}
	}
	return b.shell("GNU parallel", n, lacks,
		append([]string{"parallel", "--will-cite", "-j" + strconv.Itoa(b.processes), "--quote"}, argv...)...)
}

// isGNUParallel distinguishes it from the program of the same name in moreutils.
func isGNUParallel() bool {
	out, err := exec.Command("parallel", "--version").Output()
	return err == nil && bytes.HasPrefix(out, []byte("GNU parallel"))
}

// celery returns a Celery worker with one process per core and its own Redis. The
// mode is that of celerypeer.py.
func (b *bench) celery(mode string, count int) contender {
	open := func(ctx context.Context) (opened session, err error) {
		dir, err := os.MkdirTemp(b.dir, "redis-")
		if err != nil {
			return session{}, fmt.Errorf("make Redis a directory: %w", err)
		}
		socket := filepath.Join(dir, "redis.sock")
		var running []*process
		closeAll := func() {
			for _, p := range slices.Backward(running) {
				p.stop()
			}
		}
		defer func() {
			if err != nil {
				closeAll()
			}
		}()
		start := func(argv ...string) error {
			p := b.prepare(ctx, syscall.SIGTERM, 10*time.Second, argv...)
			p.Env = append(slices.Clone(b.env), "ALLCORES_BENCH_REDIS="+socket)
			if err := p.Start(); err != nil {
				p.cancel()
				return err
			}
			running = append(running, p)
			return nil
		}
		if err := start("redis-server", "--port", "0", "--unixsocket", socket, "--dir", dir); err != nil {
			return session{}, fmt.Errorf("start Redis: %w", err)
		}
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if _, err := os.Stat(socket); err == nil {
				break
			}
			if ctx.Err() != nil || time.Now().After(deadline) {
				return session{}, running[0].explain(errors.New("start Redis: it does not listen"))
			}
		}
		if err := start(b.python.path, "-m", "celery", "-A", "celerypeer", "worker", "-c", strconv.Itoa(b.processes)); err != nil {
			return session{}, fmt.Errorf("start Celery: %w", err)
		}
		client := b.prepare(ctx, syscall.SIGKILL, time.Second, b.python.path, "celerypeer.py", mode, strconv.Itoa(count))
		client.Env = append(slices.Clone(b.env), "ALLCORES_BENCH_REDIS="+socket)
		s, err := drive(client)
		if err != nil {
			return session{}, fmt.Errorf("start Celery's client: %w", err)
		}
		round := func(ctx context.Context) ([]time.Duration, error) {
			took, err := s.round(ctx)
			for _, p := range running {
				err = p.explain(err) // the worker's trouble is the client's
			}
			return took, err
		}
		return session{round: round, close: func() error { err := s.close(); closeAll(); return err }}, nil
	}
	return contender{name: "Celery, Redis", lacks: b.python.lacks("celery", "redis", "redis-server"), open: open}
}
