//go:build !linux

package process

import (
	"bufio"
	"io"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Without /proc a tree is its process group, and the guard gets the number of each.

var maxrssUnit = func() int64 {
	if runtime.GOOS == "darwin" {
		return 1 // getrusage(2) there: in bytes
	}
	return 1024
}()

func (p *Process) start(s Spec, attr *syscall.ProcAttr) (err error) {
	p.PID, err = syscall.ForkExec(s.Path, s.Argv, attr)
	return err
}

// FD returns -1: no descriptor becomes readable at the process's end.
func (p *Process) FD() int { return -1 }

func (p *Process) closeFD() {}

func (p *Process) awaitZombie() error { return nil }

func signalName(sig syscall.Signal) string { return unix.SignalName(sig) }

func descendants(int) []int { return nil }

func killMarked(string) int { return 0 }

func (p *Process) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.reaped && syscall.Kill(-p.PID, 0) == nil
}

// Pin does nothing: threads cannot be bound to cores here.
func (p *Process) Pin([]int) error { return nil }

func register(group int)   { sendGuard("+", group) }
func unregister(group int) { sendGuard("-", group) }

// sendGuard sends the guard that a group began (+) or ended (-).
func sendGuard(sign string, group int) {
	sentry.Lock()
	defer sentry.Unlock()
	if sentry.pipe != nil {
		sentry.pipe.WriteString(sign + strconv.Itoa(group) + "\n")
	}
}

func follow(pipe io.Reader) map[int]bool {
	groups := make(map[int]bool)
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		line := lines.Text()
		group, err := strconv.Atoi(line[1:])
		if err != nil {
			continue
		}
		if line[0] == '+' {
			groups[group] = true
		} else {
			delete(groups, group)
		}
	}
	return groups
}

func hungUp(*os.File) bool { return false }

func keepHere() {}
