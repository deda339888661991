package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Group is a control group for one process and what that starts. Close must
// be called.
type Group struct {
	tree  *Tree
	dir   string
	limit int64

	file *os.File // version 2: the directory

	// Version 1: receives when memory runs out, and the goroutine that reads it.
	events   *os.File
	watching sync.WaitGroup

	exceeded atomic.Bool
}

func (t *Tree) make(limit int64) (*Group, error) {
	g := &Group{
		tree: t, limit: limit,
		dir: filepath.Join(t.dir, fmt.Sprintf("%s%s-%d", prefix, t.owner, made.Add(1))),
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make control group: %w", err)
	}
	prepare := g.prepareV2
	if t.v1 {
		prepare = g.prepareV1
	}
	if err := prepare(); err != nil {
		g.Close()
		return nil, fmt.Errorf("set up control group: %w", err)
	}
	return g, nil
}

func (g *Group) prepareV2() error {
	if err := g.set("memory.max", strconv.FormatInt(g.limit, 10)); err != nil {
		return err
	}
	// The file does not exist where nothing is ever swapped.
	if err := g.set("memory.swap.max", "0"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := g.set("memory.oom.group", "1"); err != nil {
		return err
	}
	dir, err := os.Open(g.dir)
	g.file = dir
	return err
}

// prepareV1 asks the kernel for an event when memory runs out. Start sets the limit.
func (g *Group) prepareV1() error {
	control, err := os.Open(filepath.Join(g.dir, "memory.oom_control"))
	if err != nil {
		return err
	}
	defer control.Close()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("make event descriptor: %w", err)
	}
	g.events = os.NewFile(uintptr(fd), "memory events")
	if err := g.set("cgroup.event_control", fmt.Sprintf("%d %d", fd, control.Fd())); err != nil {
		return err
	}
	g.watching.Go(g.watch)
	return nil
}

func (g *Group) set(file, text string) error { return write(filepath.Join(g.dir, file), text) }

// Start calls fork, which must fork a child with attr, such that the child is in the
// group from its first instruction. It returns what fork returns.
func (g *Group) Start(attr *syscall.SysProcAttr, fork func() (pid int, err error)) (int, error) {
	if g.tree.v1 {
		return g.startV1(fork)
	}
	attr.UseCgroupFD, attr.CgroupFD = true, int(g.file.Fd())
	return fork()
}

// startV1 forks from a thread that is in the group. The group gets its limit only
// after the thread has left, as the kernel might kill this program for memory that
// the child takes.
func (g *Group) startV1(fork func() (int, error)) (int, error) {
	runtime.LockOSThread()
	thread := strconv.Itoa(syscall.Gettid())
	if err := g.set("tasks", thread); err != nil {
		runtime.UnlockOSThread()
		return 0, fmt.Errorf("enter control group: %w", err)
	}
	pid, err := fork()
	if back := write(filepath.Join(g.tree.own, "tasks"), thread); back != nil {
		// The thread stays locked and ends with the goroutine.
		if err == nil {
			g.drop(pid)
		}
		return 0, fmt.Errorf("leave control group: %w", back)
	}
	runtime.UnlockOSThread()
	if err != nil {
		return 0, err
	}
	if err := g.limitV1(); errors.Is(err, syscall.EBUSY) { // it has taken more already
		g.exceeded.Store(true)
		kill(g.dir)
	} else if err != nil {
		g.drop(pid)
		return 0, fmt.Errorf("limit control group: %w", err)
	}
	return pid, nil
}

func (g *Group) limitV1() error {
	limit := strconv.FormatInt(g.limit, 10)
	if err := g.set("memory.limit_in_bytes", limit); err != nil {
		return err
	}
	// Together with swap; the file does not exist where swap is not counted.
	if err := g.set("memory.memsw.limit_in_bytes", limit); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// drop ends and reaps a child that Start does not return.
func (g *Group) drop(pid int) {
	kill(g.dir)
	var status syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(pid, &status, 0, nil); !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

// watch waits, in version 1, until the kernel is about to kill one process because
// the group has reached its limit, and kills all.
func (g *Group) watch() {
	var count [8]byte
	for {
		if _, err := g.events.Read(count[:]); err != nil {
			return // the group is being closed
		}
		// The event also comes when a group above has reached its limit. The kernel may
		// have killed already, so that less is in use by now.
		if g.number("memory.usage_in_bytes") >= g.limit-leeway || g.killed() {
			g.exceeded.Store(true)
			kill(g.dir)
		}
	}
}

// leeway is more bytes than the kernel charges at once: a group is at its limit with
// that much less.
const leeway = 1 << 20

// killed reports whether the kernel killed a process because the group reached its
// own limit.
func (g *Group) killed() bool {
	if !g.tree.v1 {
		text, err := os.ReadFile(filepath.Join(g.dir, "memory.events"))
		return err == nil && field(text, "oom") > 0 && field(text, "oom_kill") > 0
	}
	text, err := os.ReadFile(filepath.Join(g.dir, "memory.oom_control"))
	return err == nil && field(text, "oom_kill") > 0 && g.number("memory.max_usage_in_bytes") >= g.limit-leeway
}

// number reads a file of one number. Without one it returns 0.
func (g *Group) number(file string) int64 {
	text, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Counter returns the file in which "oom_kill" grows when the kernel kills only one
// process of the group, so that the others can recognise that before they take its
// end for something else. It is empty where all are killed at once.
func (g *Group) Counter() string {
	if !g.tree.v1 {
		return ""
	}
	return filepath.Join(g.dir, "memory.oom_control")
}

// Kill kills every process of the group.
func (g *Group) Kill() { kill(g.dir) }

// Empty reports whether no process is left in the group.
func (g *Group) Empty() bool {
	pids, err := members(g.dir)
	return err != nil || len(pids) == 0
}

// Close kills what is left in the group, removes it, and reports whether it
// needed more than its limit. It returns an error when it cannot remove the group.
func (g *Group) Close() (exceeded bool, err error) {
	if g.killed() {
		g.exceeded.Store(true)
	}
	err = remove(g.dir)
	if g.file != nil {
		g.file.Close()
	}
	if g.events != nil {
		g.events.Close()
		g.watching.Wait()
	}
	return g.exceeded.Load(), err
}
