package process

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor/cgroup"
)

// MarkVariable is the environment variable that marks a child and all that it
// starts. Its value is unique to the child.
const MarkVariable = "ALLCORES_PROCESS"

// run names this run of the program in the marks of its children.
var run = func() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand aborts the program instead
	return hex.EncodeToString(b[:])
}()

var started atomic.Int64

// A Spec describes a child to start.
type Spec struct {
	Path  string   // of the executable; see Look
	Argv  []string // with the program's name as first element
	Env   []string // the whole environment, see Environ; the mark is added
	Dir   string   // working directory
	Files []int    // descriptors that become the child's 0, 1, 2, …

	Cores  []int        // cores to run on; empty for all (Linux only)
	Memory int64        // bytes of memory; 0 for no limit (Linux only)
	Groups *cgroup.Tree // to hold it to Memory; nil to limit each process by itself
}

// A Process is a child that was started. Its methods may be called from any
// goroutine, Wait only once.
type Process struct {
	PID   int
	mark  string
	fd    int           // pidfd, or -1
	group *cgroup.Group // nil without

	// inherited is the most that this program itself had resident, in bytes. A
	// child begins in its parent's memory, and execve(2) keeps the peak
	// (setmax_mm_hiwater_rss in the kernel's exec_mmap): getrusage(2) never reports
	// less for a child.
	inherited int64

	mu       sync.Mutex
	reaped   bool          // the PID may belong to another process by now
	stopping chan struct{} // closed when Stop has ended the process; nil before Stop
}

// An Exit is how a process ended and what it used.
type Exit struct {
	Status syscall.WaitStatus
	User   time.Duration // CPU time with its waited-for children, in user mode
	System time.Duration // the same, in the kernel
	Peak   int64         // most bytes resident; 0 when no more than this program had, see inherited

	// Exceeded means that its control group needed more than its limit, so that
	// everything in it was killed. It is false where the process is not Grouped.
	Exceeded bool
}

// Start starts a child as leader of a new process group.
func Start(s Spec) (*Process, error) {
	if err := watch(); err != nil {
		return nil, err
	}
	p := &Process{mark: run + "." + strconv.FormatInt(started.Add(1), 10), fd: -1}
	attr := syscall.ProcAttr{
		Dir:   s.Dir,
		Env:   append(s.Env[:len(s.Env):len(s.Env)], MarkVariable+"="+p.mark),
		Files: make([]uintptr, len(s.Files)),
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	}
	for i, fd := range s.Files {
		attr.Files[i] = uintptr(fd)
	}
	if err := p.start(s, &attr); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Path, err)
	}
	p.inherited = ownPeak()
	register(p.PID)
	return p, nil
}

// Grouped reports whether a control group holds the process to its memory limit,
// together with all that it starts. Otherwise each of them is limited by itself: see
// RLIMIT_DATA in getrlimit(2), which counts private writable memory, used or not.
func (p *Process) Grouped() bool { return p.group != nil }

// KillCounter returns the name of a file for the process to read, or empty: see
// cgroup.Group.Counter.
func (p *Process) KillCounter() string {
	if p.group == nil {
		return ""
	}
	return p.group.Counter()
}

// Wait waits until the process has ended, kills what is left of its group, and
// reaps it. During Stop, what is left has its grace period first.
func (p *Process) Wait() (Exit, error) {
	if err := p.awaitZombie(); err != nil {
		return Exit{}, err
	}
	p.mu.Lock()
	stopping := p.stopping
	p.mu.Unlock()
	if stopping != nil {
		<-stopping
	}
	return p.Reap()
}

// Reap takes the status of a process that has ended already, and kills what is
// left of its group, and of its control group. It blocks while the process still
// runs.
func (p *Process) Reap() (Exit, error) {
	e, err := p.reap()
	if err != nil || p.group == nil {
		return e, err
	}
	if e.Exceeded, err = p.group.Close(); err != nil {
		// Nothing depends on it, and the guard tries again when the program ends.
		slog.Warn("a control group was not removed", "error", err)
	}
	return e, nil
}

func (p *Process) reap() (Exit, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// While the leader is a zombie, its number cannot be another group's.
	syscall.Kill(-p.PID, syscall.SIGKILL)
	var status syscall.WaitStatus
	var usage syscall.Rusage
	for {
		_, err := syscall.Wait4(p.PID, &status, 0, &usage)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return Exit{}, fmt.Errorf("wait for process %d: %w", p.PID, err)
		}
		break
	}
	p.reaped = true
	unregister(p.PID)
	p.closeFD()
	e := Exit{
		Status: status,
		User:   time.Duration(usage.Utime.Nano()),
		System: time.Duration(usage.Stime.Nano()),
	}
	if peak := int64(usage.Maxrss) * maxrssUnit; peak > p.inherited {
		e.Peak = peak
	}
	return e, nil
}

// ownPeak returns the most bytes that this program had resident.
func ownPeak() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0 // cannot fail for RUSAGE_SELF
	}
	return int64(usage.Maxrss) * maxrssUnit
}

// Terminate sends SIGTERM to the process and its descendants.
func (p *Process) Terminate() { p.signal(syscall.SIGTERM) }

// Kill sends SIGKILL to the process, its descendants and all processes with its
// mark, until none of them is left. It does not reap the process.
func (p *Process) Kill() {
	for range killRounds {
		p.signal(syscall.SIGKILL)
		if p.group != nil {
			p.group.Kill()
		}
		if killMarked(MarkVariable+"="+p.mark+"\x00") == 0 {
			return
		}
		time.Sleep(killPause)
	}
}

// Stop ends the process and all its descendants: SIGTERM, then SIGKILL after
// grace to what is left. It returns as soon as none is left. Call it at most
// once, while another goroutine is in Wait.
func (p *Process) Stop(grace time.Duration) {
	p.mu.Lock()
	p.stopping = make(chan struct{})
	p.mu.Unlock()
	defer close(p.stopping)
	p.Terminate()
	pause := time.Millisecond
	for deadline := time.Now().Add(grace); p.alive(); {
		if time.Now().After(deadline) {
			p.Kill()
			return
		}
		time.Sleep(pause)
		pause = min(2*pause, 25*time.Millisecond)
	}
}

// Killing repeats because a process may fork between being listed and killed.
const (
	killRounds = 100
	killPause  = 2 * time.Millisecond
)

// signal signals the group and the descendants outside it.
func (p *Process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return
	}
	others := descendants(p.PID)
	syscall.Kill(-p.PID, sig)
	for _, pid := range others {
		syscall.Kill(pid, sig)
	}
}

// SignalName returns the signal's name as in signal.h, such as SIGSEGV.
func SignalName(sig syscall.Signal) string {
	if name := signalName(sig); name != "" {
		return name
	}
	return "signal " + strconv.Itoa(int(sig))
}

// scratch is the directory of this run's scratch directories.
var scratch struct {
	sync.Mutex
	root string
}

// Root makes this run's own directory for scratch files, if needed, and returns it.
// The guard removes it after the end of the program.
func Root() (string, error) {
	if err := watch(); err != nil {
		return "", err
	}
	scratch.Lock()
	defer scratch.Unlock()
	root := scratchRoot()
	if err := os.MkdirAll(root, 0o700); err != nil {
		return "", fmt.Errorf("make scratch directory: %w", err)
	}
	scratch.root = root
	return root, nil
}

// Scratch makes a new empty directory below Root. The caller removes it.
func Scratch() (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(root, "")
	if err != nil {
		return "", fmt.Errorf("make scratch directory: %w", err)
	}
	return dir, nil
}

// KillMarked kills all that still carries the mark of a process that has ended.
func (p *Process) KillMarked() {
	for range killRounds {
		if killMarked(MarkVariable+"="+p.mark+"\x00") == 0 {
			return
		}
		time.Sleep(killPause)
	}
}
