package pglocal

import (
	"fmt"
	"strings"
	"testing"
)

func TestLastOneOutStopsTheServer(t *testing.T) {
	dir := newCluster(t)
	first := start(t, Options{Dir: dir})
	pid := postmaster(dir)
	second := start(t, Options{Dir: dir})
	if got := postmaster(dir); got != pid {
		t.Fatalf("the second start found process %d, want %d", got, pid)
	}
	closeServer(t, first)
	if got := postmaster(dir); got != pid {
		t.Fatalf("process %d serves after the first Close, want %d", got, pid)
	}
	mustQuery(t, second.URL(), "select 1::text")
	closeServer(t, second)
	if got := postmaster(dir); got != 0 {
		t.Fatalf("process %d is there after the last Close", got)
	}
}

func TestProcessesShareTheServer(t *testing.T) {
	dir := newCluster(t)
	holder, in := startChild(t, "hold", dir)
	pid := postmaster(dir)
	s := start(t, Options{Dir: dir})
	if got := postmaster(dir); got != pid {
		t.Fatalf("found process %d, want the child's %d", got, pid)
	}
	closeServer(t, s)
	if got := postmaster(dir); got != pid {
		t.Fatal("our Close stopped the server under the child")
	}

	s = start(t, Options{Dir: dir})
	in.Close()
	if err := holder.Wait(); err != nil {
		t.Fatal(err)
	}
	mustQuery(t, s.URL(), "select 1::text")
	closeServer(t, s)
	if got := postmaster(dir); got != 0 {
		t.Fatalf("process %d is there after the last Close, of a server that another process started", got)
	}
}

func TestProcessesStartAtOnce(t *testing.T) {
	dir := newDir(t)
	const n = 4
	outputs := make(chan string, n)
	for range n {
		go func() {
			out, err := childCommand("close", dir).CombinedOutput()
			outputs <- fmt.Sprintf("%s%v", out, err)
		}()
	}
	for range n {
		if out := <-outputs; !strings.HasPrefix(out, "up ") || !strings.HasSuffix(out, "<nil>") {
			t.Errorf("a process said %q", out)
		}
	}
	if pid := postmaster(dir); pid != 0 {
		t.Errorf("process %d is left", pid)
	}
}

// TestAbandonedServerIsReused checks that the server of killed processes is used
// again. CombinedOutput returns only if the server has closed the streams that it
// inherited.
func TestAbandonedServerIsReused(t *testing.T) {
	dir := newCluster(t)
	if out, err := childCommand("abandon", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pid := postmaster(dir)
	if pid == 0 {
		t.Fatal("the server went with the process that started it")
	}
	s := start(t, Options{Dir: dir})
	if got := postmaster(dir); got != pid {
		t.Errorf("found process %d, want %d", got, pid)
	}
	closeServer(t, s)
	if got := postmaster(dir); got != 0 {
		t.Errorf("process %d is left", got)
	}
}

func TestKilledUserLetsGo(t *testing.T) {
	dir := newCluster(t)
	holder, _ := startChild(t, "hold", dir)
	s := start(t, Options{Dir: dir})
	holder.Process.Kill()
	holder.Wait()
	mustQuery(t, s.URL(), "select 1::text")
	closeServer(t, s)
	if got := postmaster(dir); got != 0 {
		t.Errorf("process %d is left: the dead child still counts as a user", got)
	}
}
