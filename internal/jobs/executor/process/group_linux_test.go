package process

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/allcores/allcores/internal/jobs/executor/cgroup"
)

// TestGroup checks that the processes that a process started in its control group
// have ended when it is reaped, and that the group is removed.
func TestGroup(t *testing.T) {
	t.Parallel()
	groups, err := cgroup.Open()
	if err != nil {
		t.Logf("no control group can be made here: %v", err)
	}
	path, err := Look("sh", os.Getenv("PATH"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pid")
	p, err := Start(Spec{
		Path: path, Argv: []string{"sh", "-c", "env -i setsid sh -c 'echo $$ > " + file + "; exec sleep 1000' & while ! [ -s " + file + " ]; do sleep 0.01; done"},
		Env: Environ(1), Dir: "/", Files: []int{0, 1, 2}, Memory: 1 << 30, Groups: groups,
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.Grouped() != (groups != nil) {
		t.Errorf("grouped is %v", p.Grouped())
	}
	e, err := p.Wait()
	if err != nil || e.Status.ExitStatus() != 0 || e.Exceeded {
		t.Errorf("%+v %v", e, err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if groups == nil {
		syscall.Kill(pid, syscall.SIGKILL)
	} else if r, ok := readStat(pid, make([]byte, 512)); ok {
		t.Errorf("%+v still runs", r)
	}
}
