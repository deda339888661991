package engine_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// startSkewed starts a command whose wall clock is off by the given time. Go reads the
// clock from the kernel's vDSO: startSkewed overwrites its clock_gettime in the memory
// of the process before the first instruction runs. Children of the process have the
// right time.
func startSkewed(t *testing.T, cmd *osexec.Cmd, off time.Duration) {
	t.Helper()
	symbol, err := vdsoSymbol("__vdso_clock_gettime")
	if err != nil {
		t.Fatal("find clock_gettime:", err)
	}
	// Only the thread that has started a traced process may trace it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || !status.Stopped() {
		t.Fatalf("the process did not stop at its start: %v, %v", status, err)
	}
	base, err := vdsoBase(pid)
	if err != nil {
		t.Fatal("find the vDSO:", err)
	}
	code := []byte{
		0xb8, 0xe4, 0, 0, 0, // mov eax, clock_gettime
		0x0f, 0x05, //          syscall
		0x85, 0xff, //          test edi, edi
		0x75, 0x07, //          jnz ret: not CLOCK_REALTIME
		0x48, 0x81, 0x06, //    add qword [rsi], off
	}
	code = binary.LittleEndian.AppendUint32(code, uint32(int32(off/time.Second)))
	code = append(code, 0xc3) // ret
	if _, err := syscall.PtracePokeText(pid, uintptr(base+symbol), code); err != nil {
		t.Fatal("overwrite clock_gettime:", err)
	}
	if err := syscall.PtraceDetach(pid); err != nil {
		t.Fatal(err)
	}
}

// vdsoBase returns the address of the vDSO of a process.
func vdsoBase(pid int) (uint64, error) {
	const sysinfoHeader = 33 // AT_SYSINFO_EHDR
	vector, err := os.ReadFile(fmt.Sprintf("/proc/%d/auxv", pid))
	if err != nil {
		return 0, err
	}
	for ; len(vector) >= 16; vector = vector[16:] {
		if binary.LittleEndian.Uint64(vector) == sysinfoHeader {
			return binary.LittleEndian.Uint64(vector[8:]), nil
		}
	}
	return 0, errors.New("there is none")
}

// vdsoSymbol returns the offset of a function in the vDSO, the same in every process.
func vdsoSymbol(name string) (uint64, error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		if !strings.Contains(line, "[vdso]") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			return 0, err
		}
		memory, err := os.Open("/proc/self/mem")
		if err != nil {
			return 0, err
		}
		defer memory.Close()
		image := make([]byte, to-from)
		if _, err := memory.ReadAt(image, from); err != nil {
			return 0, err
		}
		file, err := elf.NewFile(bytes.NewReader(image))
		if err != nil {
			return 0, err
		}
		symbols, err := file.DynamicSymbols()
		if err != nil {
			return 0, err
		}
		for _, s := range symbols {
			if s.Name == name {
				return s.Value, nil
			}
		}
	}
	return 0, fmt.Errorf("the vDSO has no %s", name)
}

// startSkewedNode is startProcess with a clock that is off.
func startSkewedNode(t *testing.T, url string, off time.Duration) *os.Process {
	t.Helper()
	cmd := osexec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), nodeURL+"="+url)
	cmd.Stderr = t.Output()
	startSkewed(t, cmd, off)
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended before
		_ = cmd.Wait()
	})
	return cmd.Process
}

// TestEngineWithAWrongClock runs tests of this package once more, in a process
// whose clock is ten minutes ahead or behind the database's.
func TestEngineWithAWrongClock(t *testing.T) {
	t.Parallel()
	tests := []string{"TestRightNow", "TestRetriesWaitWithoutALane", "TestTurnsBeginWithTheirInsertionWhereSlotsAreFree"}
	if *chaosLong {
		tests = append(tests, "TestPauseAndResume", "TestOpenJob", "TestRetryRunsOnlyWhatDidNotSucceed", "TestKilledNode",
			"TestStoppedNodeRecordsNothingLate", "TestCancelEndsGrandchildren", "TestManySmallJobsShareTheCores")
	}
	for name, off := range map[string]time.Duration{"ahead": 10 * time.Minute, "behind": -10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := osexec.Command(os.Args[0], "-test.v", "-test.timeout=2m", "-test.run=^("+strings.Join(tests, "|")+")$")
			cmd.Env = append(os.Environ(), wrongClock+"="+off.String())
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			startSkewed(t, cmd, off)
			if err := cmd.Wait(); err != nil || strings.Count(out.String(), "\n--- PASS") != len(tests) {
				t.Errorf("%v:\n%s", err, out.String())
			}
		})
	}
}

// wrongClock is the environment variable with how much a process's clock is off.
const wrongClock = "ALLCORES_TEST_CLOCK"

// TestRightNow checks this process's clock, which is right except in a process of
// TestEngineWithAWrongClock.
func TestRightNow(t *testing.T) {
	t.Parallel()
	want := time.Duration(0)
	if text := os.Getenv(wrongClock); text != "" {
		var err error
		if want, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	n := webNode(t, template.New(t))
	var now time.Time
	if err := n.store.Pool.QueryRow(t.Context(), `select clock_timestamp()`).Scan(&now); err != nil {
		t.Fatal(err)
	}
	if off := time.Since(now).Round(time.Minute); off != want {
		t.Errorf("the clock is off by %v, want %v", off, want)
	}
}

// TestNodesWithWrongClocks has one node ten minutes ahead and one ten minutes
// behind. They share a job, lose their connections, and one is killed. They must live by
// the database's clock: no living node is declared dead, and no work waits for a clock.
func TestNodesWithWrongClocks(t *testing.T) {
	t.Parallel()
	url, dir := template.New(t), t.TempDir()
	n := webNode(t, url)
	startSkewedNode(t, url+"&application_name=skewed", -10*time.Minute)
	ahead := startSkewedNode(t, url+"&application_name=skewed", 10*time.Minute)
	const total = 800
	id := n.submit(t, marked(dir, 5*time.Millisecond, total))
	if j := n.end(t, id, time.Minute); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
	if again := n.checkMarked(t, id, dir, total); again != 0 {
		t.Errorf("%d tasks were run again", again)
	}
	var workers, lost int
	err := n.store.Pool.QueryRow(t.Context(), `select count(distinct node_id), count(*) filter (where state <> 'done') from chunks`).Scan(&workers, &lost)
	if err != nil || workers != 2 || lost != 0 {
		t.Errorf("%d nodes took part and %d leases were lost (%v)", workers, lost, err)
	}
	for what, sql := range map[string]string{
		"nodes have beaten":      `select count(*) from nodes where abs(extract(epoch from clock_timestamp() - heartbeat_at)) > 5`,
		"nodes have started":     `select count(*) from nodes where abs(extract(epoch from clock_timestamp() - started_at)) > 60`,
		"jobs have been run":     `select count(*) from jobs where started_at < created_at or finished_at > clock_timestamp()`,
		"turns have been put in": `select count(*) from river_job where abs(extract(epoch from clock_timestamp() - created_at)) > 60`,
	} {
		var wrong int
		if err := n.store.Pool.QueryRow(t.Context(), sql).Scan(&wrong); err != nil || wrong != 0 {
			t.Errorf("%d %s in the past or the future (%v)", wrong, what, err)
		}
	}

	// Turns that fail because a connection breaks are tried again soon by the
	// database's clock, whatever the node's says.
	var broken []string
	await(t, "some turns fail", func() bool {
		_, err := n.store.Pool.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'skewed'`)
		if err != nil {
			t.Fatal(err)
		}
		spec := python("def f(x): return x", "f", rangeOf(10))
		spec.Policy.Processes = pointer(1)
		broken = append(broken, n.submit(t, spec))
		pause(t.Context(), 20*time.Millisecond)
		var failed int
		err = n.store.Pool.QueryRow(t.Context(), `select count(*) from river_job where cardinality(errors) > 0`).Scan(&failed)
		return err == nil && failed >= 4 && len(broken) >= 20
	})
	for _, id := range broken {
		if j := n.end(t, id, 2*time.Minute); j.State != jobs.Succeeded {
			t.Errorf("%+v", j)
		}
	}

	// The other node takes over the dead one's work when its lease has run out.
	id = n.submit(t, marked(t.TempDir(), 5*time.Millisecond, total))
	await(t, "tasks succeed", func() bool { return n.succeeded(t, id) > 100 })
	if err := ahead.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var dead int
	await(t, "its death is found out", func() bool {
		err := n.store.Pool.QueryRow(t.Context(), `select count(*) from nodes where state = 'dead'`).Scan(&dead)
		return err == nil && dead == 1
	})
	if took := time.Since(began); took < store.NodeLease-2*time.Second || took > stretched(t, 10*time.Second) {
		t.Errorf("its death was found out after %v", took)
	}
	if j := n.end(t, id, time.Minute); j.State != jobs.Succeeded {
		t.Errorf("%+v", j)
	}
}
