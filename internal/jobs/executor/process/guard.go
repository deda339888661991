package process

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor/cgroup"
)

// guardVariable turns this program into the guard of the run that it names.
const guardVariable = "ALLCORES_GUARD"

// init runs the guard: the program executes itself for that, so that no second
// binary must be installed and test binaries have a guard too.
func init() {
	if of := os.Getenv(guardVariable); of != "" {
		guard(of, os.Stdin)
		os.Exit(0)
	}
}

var sentry struct {
	sync.Mutex
	pipe    *os.File    // the guard reads its other end
	process *os.Process // the guard
}

// watch starts the guard unless it runs.
func watch() error {
	sentry.Lock()
	defer sentry.Unlock()
	if sentry.pipe != nil {
		if !hungUp(sentry.pipe) {
			return nil
		}
		sentry.pipe.Close()
		sentry.process.Wait()
		sentry.pipe = nil
	}
	keepHere()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("start guard: %w", err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start guard: %w", err)
	}
	defer read.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		write.Close()
		return fmt.Errorf("start guard: %w", err)
	}
	defer null.Close()
	process, err := os.StartProcess(self, []string{"allcores-guard"}, &os.ProcAttr{
		Dir:   "/",
		Env:   []string{guardVariable + "=" + run, "TMPDIR=" + os.TempDir()},
		Files: []*os.File{read, null, null},
		// A session of its own: a terminal's Ctrl-C must not end it first.
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		write.Close()
		return fmt.Errorf("start guard: %w", err)
	}
	sentry.pipe, sentry.process = write, process
	return nil
}

// guard waits until the other end of the pipe is closed, which the kernel does
// however its owner ends, and then kills what the owner started.
func guard(of string, pipe io.Reader) {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
	groups := follow(pipe)
	for group := range groups {
		syscall.Kill(-group, syscall.SIGKILL)
	}
	// A child that was being forked appears a moment later.
	for clean := 0; clean < 3; {
		if killMarked(MarkVariable+"="+of+".") == 0 {
			clean++
		} else {
			clean = 0
		}
		time.Sleep(20 * time.Millisecond)
	}
	// No one gets an error, and the next server tries again.
	cgroup.Tidy()
	os.RemoveAll(scratchRootOf(of))
}

func scratchRoot() string { return scratchRootOf(run) }

func scratchRootOf(run string) string {
	return filepath.Join(os.TempDir(), "allcores-"+strings.ToLower(run[:12]))
}
