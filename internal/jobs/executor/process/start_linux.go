package process

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const maxrssUnit = 1024 // getrusage(2): ru_maxrss is in kilobytes

func (p *Process) start(s Spec, attr *syscall.ProcAttr) error {
	attr.Sys.PidFD = &p.fd
	fork := func() (int, error) {
		if len(s.Cores) > 0 {
			return forkPinned(s, attr)
		}
		return syscall.ForkExec(s.Path, s.Argv, attr)
	}
	if s.Memory > 0 {
		p.group = s.Groups.Make(s.Memory)
	}
	var err error
	if p.group == nil {
		p.PID, err = fork()
	} else if p.PID, err = p.group.Start(attr.Sys, fork); err != nil {
		_, closing := p.group.Close()
		p.closeFD()
		err = errors.Join(err, closing)
	}
	if err != nil {
		return err
	}
	if s.Memory > 0 && p.group == nil {
		// getrlimit(2): RLIMIT_DATA counts the heap and, since Linux 4.7,
		// private writable mappings. Unlike RLIMIT_AS it does not count
		// address space that is only reserved or maps files.
		limit := unix.Rlimit{Cur: uint64(s.Memory), Max: uint64(s.Memory)}
		if err := unix.Prlimit(p.PID, unix.RLIMIT_DATA, &limit, nil); err != nil && !errors.Is(err, unix.ESRCH) {
			syscall.Kill(-p.PID, syscall.SIGKILL)
			p.Reap()
			return fmt.Errorf("limit memory: %w", err)
		}
	}
	return nil
}

// forkPinned forks from a thread that is bound to the cores, so that the child and
// all its threads are bound to them from their first instruction.
func forkPinned(s Spec, attr *syscall.ProcAttr) (int, error) {
	runtime.LockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		runtime.UnlockOSThread()
		return 0, fmt.Errorf("read affinity: %w", err)
	}
	set := cpuSet(s.Cores)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		runtime.UnlockOSThread()
		return 0, fmt.Errorf("pin to cores %v: %w", s.Cores, err)
	}
	pid, err := syscall.ForkExec(s.Path, s.Argv, attr)
	if unix.SchedSetaffinity(0, &before) == nil {
		// Otherwise the thread stays locked and ends with the goroutine,
		// rather than run other goroutines on these cores only.
		runtime.UnlockOSThread()
	}
	return pid, err
}

func cpuSet(cores []int) unix.CPUSet {
	var set unix.CPUSet
	for _, core := range cores {
		set.Set(core)
	}
	return set
}

// FD returns a descriptor that becomes readable when the process has ended, as
// pidfd_open(2) describes, or -1 where there is none. Reap closes it.
func (p *Process) FD() int { return p.fd }

func (p *Process) closeFD() {
	if p.fd >= 0 {
		unix.Close(p.fd)
		p.fd = -1
	}
}

// awaitZombie waits until the process has ended and leaves it unreaped, so
// that its number stays its own until everything of it is signalled.
func (p *Process) awaitZombie() error {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, p.PID, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for process %d: %w", p.PID, err)
		}
	}
}

func signalName(sig syscall.Signal) string { return unix.SignalName(sig) }
