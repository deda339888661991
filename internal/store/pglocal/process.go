package pglocal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// A process is a server that this process started. A nil process does not run.
type process struct {
	cmd  *exec.Cmd
	log  string // its log's path, and
	from int64  // where in it our server's lines begin
	done chan struct{}
	err  error // valid when done is closed
}

// reap waits for the process, which may end after Close: the next server would take a
// dead child that nobody waited for as alive.
func (p *process) reap() {
	p.err = p.cmd.Wait()
	close(p.done)
}

func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// ended returns a channel that is closed when the process has ended; nil without one.
func (p *process) ended() <-chan struct{} {
	if p == nil {
		return nil
	}
	return p.done
}

// said returns the first 64 KiB that the server logged.
func (p *process) said() []byte {
	f, err := os.Open(p.log)
	if err != nil {
		return nil
	}
	defer f.Close()
	out, _ := io.ReadAll(io.NewSectionReader(f, p.from, 64<<10))
	return out
}

// An obstacle is a remainder of an earlier server that will go.
type obstacle int

const (
	none     obstacle = iota
	server            // it is still there itself
	backends          // it was killed, but some of its backends work on
)

// failure returns why the ended process did not start, and the obstacle after which
// another attempt may succeed.
func (p *process) failure() (obstacle, error) {
	err, out := p.err, p.said()
	if err == nil {
		err = errors.New("exited at once")
	}
	err = fmt.Errorf("starting PostgreSQL: %w: %s (see %s)", err, oneLine(out), p.log)
	switch {
	case bytes.Contains(out, []byte("pre-existing shared memory block")):
		return backends, err
	case bytes.Contains(out, []byte(`lock file "`)) && bytes.Contains(out, []byte(`" already exists`)):
		return server, err
	}
	return none, err
}

// oneLine joins the last lines of a program's output for an error.
func oneLine(out []byte) string {
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(out)), "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
	if len(lines) > 4 {
		lines = lines[len(lines)-4:]
	}
	for i, l := range lines {
		lines[i] = strings.TrimSpace(l)
	}
	return strings.Join(lines, "; ")
}
