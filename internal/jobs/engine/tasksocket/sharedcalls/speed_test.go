package sharedcalls_test

import (
	"bufio"
	"os/exec"
	"strconv"
	"testing"
)

// BenchmarkAdd measures how many Value.add two Python processes make over the socket.
func BenchmarkAdd(b *testing.B) {
	const processes = 2
	s := newSocket(b)
	type adder struct {
		cmd   *exec.Cmd
		start func()
	}
	var adders []adder
	for i := range processes {
		cmd := exec.CommandContext(b.Context(), "python3", "adder.py", s.server.Path(), s.path(), strconv.Itoa(i), strconv.Itoa((b.N+processes-1)/processes))
		in, err := cmd.StdinPipe()
		if err != nil {
			b.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			b.Fatal(err)
		}
		adders = append(adders, adder{cmd, func() { in.Write([]byte("\n")) }})
	}
	b.ResetTimer()
	for _, a := range adders {
		a.start()
	}
	for _, a := range adders {
		if err := a.cmd.Wait(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "adds/s")
	if got := s.frames(s.path()+"/shared").call(1, "get", "hits", `{"kind":"value"}`); got != strconv.Itoa((b.N+processes-1)/processes*processes) {
		b.Errorf("%d adds made %s", b.N, got)
	}
}
