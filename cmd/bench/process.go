package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A process is a program that bench started, in a group of its own.
type process struct {
	*exec.Cmd
	cancel context.CancelFunc
	stderr tail
}

// prepare makes a process that ends with ctx: by the signal if it obeys within
// the patience, else by force. With SIGKILL the signal goes to the whole group.
func (b *bench) prepare(ctx context.Context, end syscall.Signal, patience time.Duration, argv ...string) *process {
	ctx, cancel := context.WithCancel(ctx)
	p := &process{Cmd: exec.CommandContext(ctx, argv[0], argv[1:]...), cancel: cancel}
	p.Dir, p.Env, p.Stderr, p.WaitDelay = b.dir, b.env, &p.stderr, patience
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.Cancel = func() error {
		if end == syscall.SIGKILL {
			return syscall.Kill(-p.Process.Pid, end)
		}
		return p.Process.Signal(end)
	}
	return p
}

// run runs the process to its end.
func (p *process) run() error {
	if err := p.Start(); err != nil {
		p.cancel()
		return err
	}
	return p.end(p.Wait())
}

// stop ends the process as its context's end would. It ignores its exit status.
func (p *process) stop() {
	p.cancel()
	_ = p.end(p.Wait())
}

// end cleans up after a process that has ended.
func (p *process) end(err error) error {
	p.cancel()
	// End the processes that a program left in its group. Most leave none.
	if leftover := syscall.Kill(-p.Process.Pid, syscall.SIGKILL); leftover != nil && !errors.Is(leftover, syscall.ESRCH) {
		err = errors.Join(err, fmt.Errorf("end what it left behind: %w", leftover))
	}
	return p.explain(err)
}

// explain adds the process's last output to an error.
func (p *process) explain(err error) error {
	if said := p.stderr.String(); err != nil && said != "" {
		return fmt.Errorf("%w\n%s", err, said)
	}
	return err
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// tailSize is the number of bytes that a tail keeps.
const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - tailSize; over > 0 {
		t.text = bytes.Clone(t.text[over:])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}
