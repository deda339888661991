package python_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

// A streamTest is a program that uses sys.stdout and sys.stderr.
type streamTest struct {
	top, body string
	want      []string // printed by each task, in this order within a stream
}

var streamTests = map[string]streamTest{
	"wrapped": {"", `
    w = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
    w.write("wrapped é\n")
    w.flush()
    w.detach()`, []string{"stdout wrapped é"}},
	"wrapped, not detached": {"", `
    io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8").write("gone\n")
    gc.collect()
    print("end")`, []string{"stdout gone", "stdout end"}},
	"wrapped at import": {`sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")`, `
    print("task", x, flush=True)`, []string{"stdout task %d"}},
	"detached at import": {`sys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding="latin-1")
sys.stderr = codecs.getwriter("utf-8")(sys.stderr.detach())`, `
    print("task", x, flush=True)
    print("é", file=sys.stderr)`, []string{"stdout task %d", "stderr é"}},
	"detached": {"", `
    sys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding="utf-8", line_buffering=True)
    print("task", x)`, []string{"stdout task %d"}},
	"codecs": {"", `
    codecs.getwriter("utf-8")(sys.stdout.buffer).write("é\n")`, []string{"stdout é"}},
	"binary": {"", `
    sys.stdout.buffer.writelines([b"one\n", bytearray(b"two\n"), memoryview(b"three\n")])
    for part in (b"\xe2", b"\x82", b"\xac\nhalf \xe2\x82"):
        sys.stdout.buffer.write(part)
        sys.stdout.flush()
    sys.stderr.buffer.write(b"\xff\n")`, []string{"stdout one", "stdout two", "stdout three", "stdout €", "stdout half \uFFFD", "stderr \uFFFD"}},
	"text and binary": {"", `
    sys.stdout.write("a")
    sys.stdout.buffer.write(b"b")
    print("c")`, []string{"stdout abc"}},
	"configured": {"", `
    sys.stdout.reconfigure(encoding="ascii", errors="xmlcharrefreplace")
    print("é")
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    print("é", "\ud800")`, []string{"stdout &#233;", `stdout é \ud800`}},
	"closed": {"", `
    with sys.stdout:
        print("one")
    sys.stdout.close()
    sys.stderr.buffer.close()
    print("two")
    print("three", file=sys.stderr)`, []string{"stdout one", "stdout two", "stderr three"}},
	"descriptor": {"", `
    print("one", flush=True)
    subprocess.run(["sh", "-c", "sleep 0.02; echo two; echo three >&2"], stdout=sys.stdout, stderr=sys.stderr)
    time.sleep(0.1)
    print("four", flush=True)`, []string{"stdout one", "stdout two", "stdout four", "stderr three"}},
	"redirected": {"", `
    with tempfile.TemporaryFile() as file:
        print("before")
        saved = os.dup(1)
        os.dup2(file.fileno(), 1)
        print("caught", x, flush=True)
        sys.stdout.buffer.write(b"bytes\n")
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)
        file.seek(0)
        print(file.read())`, []string{"stdout before", `stdout b'caught %d\nbytes\n'`}},
	"forked": {"def show(x):\n    print('child', x)\n    sys.stdout = io.TextIOWrapper(sys.stdout.buffer)\n    print('wrapped', flush=True)", `
    print("before")
    with multiprocessing.get_context("fork").Pool(1) as p:
        p.map(show, [x])
    if os.fork() == 0:
        print("forked", x)
        os._exit(0)
    os.wait()`, []string{"stdout before", "stdout child %d", "stdout wrapped", "stdout forked %d"}},
	"caught": {"", `
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.redirect_stderr(sys.stdout):
        print("caught")
        print("caught, too", file=sys.stderr)
    print([text.getvalue()])`, []string{`stdout ['caught\ncaught, too\n']`}},
	"logging": {"log = logging.getLogger('mine')\nlog.addHandler(logging.StreamHandler(sys.stdout))\nlogging.basicConfig()", `
    log.warning("task %d", x)`, []string{"stdout task %d", "stderr WARNING:mine:task %d"}},
	"faulthandler": {"import faulthandler", `
    faulthandler.enable()
    faulthandler.dump_traceback(all_threads=False)
    time.sleep(0.01)`, nil},
	"threads": {"", `
    def work(n):
        for i in range(50):
            sys.stdout.write("%d of %d\n" % (i, n))
            sys.stdout.flush()
    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()`, nil},
}

// TestStreams checks that sys.stdout and sys.stderr behave as programs expect,
// whatever an earlier task did to them.
func TestStreams(t *testing.T) {
	t.Parallel()
	for name, test := range streamTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lane("import codecs, contextlib, gc, io, logging, multiprocessing, os, subprocess, sys, tempfile, threading, time\n" + test.top + "\ndef f(x):" + test.body + "\n    return 'ok'\n")
			r := must(t, l, executortest.Numbers(1, 0, 2), executortest.Numbers(2, 2, 1))
			got := make(map[string][]string)
			for _, line := range r.Logs {
				stream := fmt.Sprint(line.Task, " ", line.Stream)
				got[stream] = append(got[stream], line.Line)
			}
			for i := range int64(3) {
				if r.Outputs[i] != `"ok"` {
					t.Errorf("task %d: %s %+v", i, r.Outputs[i], r.Failed[i])
				}
				for _, stream := range []string{"stdout", "stderr"} {
					checkStream(t, name, i, stream, got[fmt.Sprint(i, " ", stream)])
				}
			}
		})
	}
}

// checkStream checks the lines that task i of a stream test printed to a stream.
func checkStream(t *testing.T, name string, i int64, stream string, lines []string) {
	var want []string
	for _, line := range streamTests[name].want {
		if text, found := strings.CutPrefix(line, stream+" "); found {
			want = append(want, strings.ReplaceAll(text, "%d", fmt.Sprint(i)))
		}
	}
	switch {
	case name == "threads" && stream == "stdout":
		if len(lines) != 150 || !slices.Contains(lines, "49 of 2") {
			t.Errorf("task %d: %d lines", i, len(lines))
		}
	case name == "faulthandler" && stream == "stderr":
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, `File "program.py", line 5 in f`) }) {
			t.Errorf("task %d: %q", i, lines)
		}
	case name == "forked": // the descriptor's lines may overtake
		slices.Sort(lines)
		slices.Sort(want)
		fallthrough
	default:
		if !slices.Equal(lines, want) {
			t.Errorf("task %d, %s: %q, want %q", i, stream, lines, want)
		}
	}
}

// TestStreamAttributes checks that the streams are text files over descriptors 1 and
// 2.
func TestStreamAttributes(t *testing.T) {
	t.Parallel()
	var out []any
	first(t, shared, lane(`
import io, sys
def raised(call, *args):
    try:
        call(*args)
    except Exception as e:
        return type(e).__name__
def f(x):
    s = sys.stdout
    return [s.fileno(), sys.stderr.fileno(), s.seekable(), s.readable(), s.writable(), s.isatty(), s.closed, s.encoding,
        s.name, s.mode, s is sys.__stdout__, isinstance(s, io.TextIOWrapper), isinstance(s.buffer, io.BufferedWriter),
        isinstance(s.buffer.raw, io.FileIO), s.buffer.fileno(), s.buffer.seekable(), s.buffer.closed, s.newlines,
        raised(s.write, b"x"), raised(s.buffer.write, "x"), raised(s.buffer.write, 5), raised(s.read), raised(s.tell),
        raised(s.buffer.tell), s.write("é"), s.buffer.write("é".encode()), raised(setattr, s, "mine", 1)]
`), &out)
	want := `[1 2 false false true false false utf-8 <stdout> w true true true true 1 false false <nil> ` +
		`TypeError TypeError TypeError UnsupportedOperation UnsupportedOperation OSError 1 2 <nil>]`
	if fmt.Sprint(out) != want {
		t.Errorf("%v, want %v", out, want)
	}
}
