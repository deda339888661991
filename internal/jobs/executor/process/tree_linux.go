package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// A row holds fields of /proc/PID/stat of a process, see proc_pid_stat(5).
type row struct{ pid, parent, group int }

// table lists the living processes, without zombies, which cannot be killed any
// more.
func table() []row {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	rows := make([]row, 0, len(names))
	buf := make([]byte, 512)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if r, ok := readStat(pid, buf); ok {
			rows = append(rows, r)
		}
	}
	return rows
}

func readStat(pid int, buf []byte) (row, bool) {
	n := readProc(pid, "stat", buf)
	// The command's name is in brackets and may contain anything.
	end := bytes.LastIndexByte(buf[:n], ')')
	if end < 0 {
		return row{}, false
	}
	fields := bytes.Fields(buf[end+1 : n])
	if len(fields) < 3 || fields[0][0] == 'Z' || fields[0][0] == 'X' {
		return row{}, false
	}
	parent, _ := strconv.Atoi(string(fields[1]))
	group, _ := strconv.Atoi(string(fields[2]))
	return row{pid, parent, group}, true
}

// readProc reads the beginning of /proc/PID/name, without the cost of an os.File, as
// it runs for every process of the machine.
func readProc(pid int, name string, buf []byte) int {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	total := 0
	for total < len(buf) {
		n, err := unix.Read(fd, buf[total:])
		if n <= 0 || err != nil {
			break
		}
		total += n
	}
	return total
}

// descendants lists the living processes below pid that are not in its group.
func descendants(pid int) []int {
	var found []int
	for _, r := range below(table(), map[int]bool{pid: true}) {
		if r.group != pid {
			found = append(found, r.pid)
		}
	}
	return found
}

// below lists the rows whose ancestors are among the roots, without the roots.
func below(rows []row, roots map[int]bool) []row {
	children := make(map[int][]row, len(rows))
	for _, r := range rows {
		children[r.parent] = append(children[r.parent], r)
	}
	var found []row
	queue := make([]int, 0, len(roots))
	for pid := range roots {
		queue = append(queue, pid)
	}
	seen := make(map[int]bool, len(roots))
	for len(queue) > 0 {
		pid := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, r := range children[pid] {
			if roots[r.pid] || seen[r.pid] {
				continue
			}
			seen[r.pid] = true
			found = append(found, r)
			queue = append(queue, r.pid)
		}
	}
	return found
}

// maxEnviron is more than execve(2) allows of environment in practice.
const maxEnviron = 8 << 20

// marked lists the living processes whose environment contains mark.
func marked(rows []row, mark string) map[int]bool {
	found := make(map[int]bool)
	needle := []byte(mark)
	buf := make([]byte, 64<<10)
	for _, r := range rows {
		n := readProc(r.pid, "environ", buf)
		for n == len(buf) && len(buf) < maxEnviron {
			buf = make([]byte, 2*len(buf))
			n = readProc(r.pid, "environ", buf)
		}
		if bytes.Contains(buf[:n], needle) {
			found[r.pid] = true
		}
	}
	return found
}

// killMarked kills every process that carries mark, with its descendants and the
// group that it leads, and returns how many it found.
func killMarked(mark string) int {
	rows := table()
	found := marked(rows, mark)
	self := os.Getpid()
	delete(found, self)
	if len(found) == 0 {
		return 0
	}
	n := len(found)
	for _, r := range below(rows, found) {
		if r.pid != self && !found[r.pid] {
			n++
			syscall.Kill(r.pid, syscall.SIGKILL)
		}
	}
	for _, r := range rows {
		if found[r.group] && r.pid != self {
			syscall.Kill(r.pid, syscall.SIGKILL)
		}
	}
	for pid := range found {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	return n
}

// alive reports whether anything of the process still runs.
func (p *Process) alive() bool {
	if p.group != nil && !p.group.Empty() {
		return true
	}
	rows := table()
	for _, r := range rows {
		if r.pid == p.PID || r.group == p.PID {
			return true
		}
	}
	return len(marked(rows, MarkVariable+"="+p.mark+"\x00")) > 0
}

// Pin binds all threads of the process to the cores. It is for a process that
// runs already; Spec.Cores is exact from the start.
func (p *Process) Pin(cores []int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped || len(cores) == 0 {
		return nil
	}
	set := cpuSet(cores)
	tasks := "/proc/" + strconv.Itoa(p.PID) + "/task"
	for pinned := make(map[string]bool); ; {
		names, err := readNames(tasks)
		if err != nil {
			return nil // it has ended
		}
		fresh := false
		for _, name := range names {
			tid, err := strconv.Atoi(name)
			if err != nil || pinned[name] {
				continue
			}
			if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("pin process %d to cores %v: %w", p.PID, cores, err)
			}
			pinned[name], fresh = true, true
		}
		// Listing again finds a thread that was made by one not yet pinned.
		if !fresh {
			return nil
		}
	}
}

func readNames(path string) ([]string, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Readdirnames(-1)
}
