package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Tree makes groups below a directory. Its methods may be called from any
// goroutine. A nil Tree makes none.
type Tree struct {
	place
	own    string    // the group of this program
	owner  string    // of the groups, in their names
	failed sync.Once // logs the first group that cannot be made
}

// made counts the groups of this program, whatever their tree.
var made atomic.Int64

// Open finds where groups may be made, removes those whose owner has died, and makes
// one to try. The error is why none can be made.
func Open() (*Tree, error) {
	own, err := locate(os.DirFS("/"))
	if err != nil {
		return nil, err
	}
	t := &Tree{place: place{dir: parent(own.dir), v1: own.v1}, own: own.dir}
	if t.owner, err = ownerOf(os.Getpid()); err != nil {
		return nil, err
	}
	if err := tidy(t.dir); err != nil {
		slog.Warn("control groups of a server that died were not removed", "error", err)
	}
	if !t.v1 {
		if err := t.enable(); err != nil {
			return nil, err
		}
	}
	if err := t.try(); err != nil {
		return nil, err
	}
	return t, nil
}

// Dir returns the directory in which the groups are made.
func (t *Tree) Dir() string { return t.dir }

// parent returns the group that has room for others: the one above a home, else own.
func parent(own string) string {
	if m := namePattern.FindStringSubmatch(filepath.Base(own)); m != nil && m[3] == homeName {
		return filepath.Dir(own)
	}
	return own
}

// enable makes the memory controller available to groups below (version 2).
func (t *Tree) enable() error {
	controllers, err := os.ReadFile(filepath.Join(t.dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("read control group: %w", err)
	}
	if !slices.Contains(strings.Fields(string(controllers)), "memory") {
		return fmt.Errorf("the memory controller is not available in the control group %s", t.dir)
	}
	control := filepath.Join(t.dir, "cgroup.subtree_control")
	enabled, err := os.ReadFile(control)
	if err != nil {
		return fmt.Errorf("read control group: %w", err)
	}
	if slices.Contains(strings.Fields(string(enabled)), "memory") {
		return nil
	}
	err = write(control, "+memory")
	if errors.Is(err, syscall.EBUSY) {
		err = t.moveHome(control)
	}
	if err != nil {
		return fmt.Errorf("pass on the memory controller: %w", err)
	}
	return nil
}

// moveHome makes room in a group that has no other processes than this one and
// its descendants, and then enables the controller.
func (t *Tree) moveHome(control string) (err error) {
	if err := t.alone(); err != nil {
		return err
	}
	home := filepath.Join(t.dir, prefix+t.owner+"-"+homeName)
	if err := os.Mkdir(home, 0o755); err != nil {
		return fmt.Errorf("make control group: %w", err)
	}
	defer func() {
		if err != nil { // undo it
			err = errors.Join(err, move(home, t.dir), os.Remove(home))
		}
	}()
	if err := move(t.dir, home); err != nil {
		return err
	}
	if err := write(control, "+memory"); err != nil {
		return err
	}
	t.own = home
	return nil
}

// alone returns an error when the tree's group has a process that neither is this one
// nor descends from it.
func (t *Tree) alone() error {
	pids, err := members(t.dir)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if !descends(pid, os.Getpid()) {
			return fmt.Errorf("the control group %s has other processes than this server's, such as %d", t.dir, pid)
		}
	}
	return nil
}

func descends(pid, from int) bool {
	for depth := 0; pid != from; depth++ {
		s, err := stat(pid)
		if err != nil {
			return errors.Is(err, fs.ErrNotExist) // it has ended
		}
		if pid = s.parent; pid <= 1 && pid != from || depth == 1000 {
			return false
		}
	}
	return true
}

// move moves all processes of a group to another.
func move(from, to string) error {
	for range killRounds {
		pids, err := members(from)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if err := write(filepath.Join(to, "cgroup.procs"), strconv.Itoa(pid)); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
	}
	return fmt.Errorf("the control group %s never gets empty", from)
}

// try makes a group, forks a child into it, and removes it.
func (t *Tree) try() error {
	g, err := t.make(1 << 30)
	if err != nil {
		return err
	}
	defer g.Close()
	var attr syscall.SysProcAttr
	_, err = g.Start(&attr, func() (int, error) {
		// ENOENT comes from the child, so that proves that it was forked.
		return syscall.ForkExec(filepath.Join(g.dir, "none"), []string{"none"}, &syscall.ProcAttr{Sys: &attr})
	})
	if !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("start a process in control group %s: %w", g.dir, err)
	}
	if t.v1 {
		if err := g.limitV1(); err != nil {
			return fmt.Errorf("limit control group %s: %w", g.dir, err)
		}
	}
	return nil
}

// Make makes a group whose processes may have limit bytes together. It returns nil
// where that fails: the caller limits the process by other means. The first failure
// is logged.
func (t *Tree) Make(limit int64) *Group {
	if t == nil {
		return nil
	}
	g, err := t.make(limit)
	if err != nil {
		t.failed.Do(func() {
			slog.Warn("no more control groups can be made; each process has its memory limit by itself", "error", err)
		})
		return nil
	}
	return g
}

const (
	prefix   = "allcores-"
	homeName = "home"
)

// namePattern matches the names of groups: the owner's process id and start time, and
// a number, or home.
var namePattern = regexp.MustCompile(`^` + prefix + `(\d+)-(\d+)-(\d+|` + homeName + `)$`)

// ownerOf returns a process as it is in the names of groups.
func ownerOf(pid int) (string, error) {
	s, err := stat(pid)
	if err != nil {
		return "", fmt.Errorf("read start time of process %d: %w", pid, err)
	}
	return fmt.Sprintf("%d-%d", pid, s.started), nil
}

// Tidy removes the groups that dead programs left where this one would make its own,
// and kills the processes in them.
func Tidy() error {
	own, err := locate(os.DirFS("/"))
	if err != nil {
		return err
	}
	return tidy(parent(own.dir))
}

func tidy(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list control groups: %w", err)
	}
	var errs []error
	for _, e := range entries {
		m := namePattern.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		pid, _ := strconv.Atoi(m[1])
		if s, err := stat(pid); err == nil && !s.dead && fmt.Sprint(s.started) == m[2] {
			continue
		}
		group := filepath.Join(dir, e.Name())
		if m[3] == homeName {
			// It has no tasks; the owner's guard or database may still be in it.
			os.Remove(group)
			continue
		}
		if err := remove(group); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// status holds fields of /proc/PID/stat, see proc_pid_stat(5).
type status struct {
	dead    bool // a zombie
	parent  int
	started int64 // clock ticks since boot
}

func stat(pid int) (status, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return status{}, err
	}
	// The command's name is in brackets and may contain anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 {
		return status{}, fmt.Errorf("/proc/%d/stat is %q", pid, text)
	}
	var s status
	s.dead = fields[0] == "Z" || fields[0] == "X"
	var errs [2]error
	s.parent, errs[0] = strconv.Atoi(fields[1])
	s.started, errs[1] = strconv.ParseInt(fields[19], 10, 64)
	return s, errors.Join(errs[:]...)
}

// members returns the processes of a group, without dead ones.
func members(group string) ([]int, error) {
	text, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	if err != nil {
		return nil, fmt.Errorf("list processes of control group: %w", err)
	}
	var pids []int
	for line := range strings.Lines(string(text)) {
		// 0 stands for one of another namespace.
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// Killing and removing repeat because processes take a moment to end, and may
// fork meanwhile.
const (
	killRounds = 60
	killPause  = 10 * time.Millisecond
)

// kill kills all processes of a group and of those below it.
func kill(group string) {
	// cgroup.kill is of version 2, Linux 5.14 and newer.
	if write(filepath.Join(group, "cgroup.kill"), "1") == nil {
		return
	}
	pids, err := members(group)
	if err != nil {
		return // it is gone
	}
	for _, pid := range pids {
		// Version 1 lists this program while one of its threads is there.
		if pid != os.Getpid() {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	for _, sub := range below(group) {
		kill(sub)
	}
}

// remove removes a group and those below it, which tasks may have made, and kills
// the processes in them.
func remove(group string) error {
	for round := 0; ; round++ {
		err := os.Remove(group)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if round == killRounds || !errors.Is(err, syscall.EBUSY) && !errors.Is(err, syscall.ENOTEMPTY) {
			return fmt.Errorf("remove control group: %w", err)
		}
		kill(group)
		if round > 0 {
			time.Sleep(killPause)
		}
		for _, sub := range below(group) {
			os.Remove(sub)
		}
	}
}

// below returns the groups in a group.
func below(group string) []string {
	entries, err := os.ReadDir(group)
	if err != nil {
		return nil
	}
	var groups []string
	for _, e := range entries {
		if e.IsDir() {
			groups = append(groups, filepath.Join(group, e.Name()))
		}
	}
	return groups
}

// write writes to a file of a control group, which must exist.
func write(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
