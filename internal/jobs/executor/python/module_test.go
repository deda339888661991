package python_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor/executortest"
	"github.com/allcores/allcores/internal/jobs/executor/python"
)

// TestModule checks that processes that tasks start in any way can import the
// program's module by its name, and that the module looks like one from a file.
func TestModule(t *testing.T) {
	t.Parallel()
	const head = `# -*- coding: latin-1 -*-
import asyncio, concurrent.futures as cf, dataclasses, inspect, multiprocessing as mp, os, pickle, sys
HOWS = ["spawn", "forkserver", "fork"]
NAME = "\u00e9", "é"
@dataclasses.dataclass
class Point:
    x: int
    names: tuple = NAME
    class Inner(Exception):
        pass
def move(p):
    return Point(p.x + 1)
def fail(x):
    raise Point.Inner("at", x)
def put(q, x):
    q.put(Point(x))
if __name__ == "__main__":
    raise SystemExit("the guarded block ran")
`
	for name, test := range map[string]struct{ body, want string }{
		"pool": {`
    with mp.get_context(HOWS[x]).Pool(1) as p:
        return [q.x for q in p.map(move, [Point(1), Point(2)])]`, "[2,3]"},
		"executor": {`
    with cf.ProcessPoolExecutor(1, mp_context=mp.get_context(HOWS[x])) as p:
        return p.submit(move, Point(4)).result() == Point(5)`, "true"},
		"process and manager": {`
    context = mp.get_context(HOWS[x])
    with context.Manager() as m:
        q = m.Queue()
        p = context.Process(target=put, args=(q, x))
        p.start()
        p.join()
        return q.get(timeout=20) == Point(x, NAME)`, "true"},
		"failure": {`
    with mp.get_context(HOWS[x]).Pool(1) as p:
        try:
            p.apply(fail, (x,))
        except Point.Inner as e:
            return [str(e), "program.py" in str(e.__cause__) or __file__ in str(e.__cause__)]`, `["('at', %d)",true]`},
		"pickle": {`
    return [pickle.loads(pickle.dumps(o)) is o for o in (Point, Point.Inner, move)] + [pickle.loads(pickle.dumps(Point(x))) == Point(x)]`,
			"[true,true,true,true]"},
		"source": {`
    return [inspect.getsource(move), "class Point:\n    x: int\n" in inspect.getsource(Point), open(__file__).read() == inspect.getsource(sys.modules[__name__]), os.listdir(".")]`,
			`["def move(p):\n    return Point(p.x + 1)\n",true,true,[]]`},
	} {
		for _, kind := range []string{"plain", "threads", "async"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				if kind != "plain" && name != "pool" && name != "pickle" {
					return
				}
				l := lane(head + map[string]string{"async": "async "}[kind] + "def f(x):" + test.body + "\n")
				l.Timeout = 60 * time.Second
				if kind != "plain" {
					l.Threads = 2
				}
				r := must(t, l, executortest.Numbers(1, 0, 3))
				for i := range int64(3) {
					want := test.want
					if strings.Contains(want, "%d") {
						want = fmt.Sprintf(want, i)
					}
					if r.Outputs[i] != want {
						t.Errorf("task %d: %s, want %s; %+v %q", i, r.Outputs[i], want, r.Failed[i], r.Text())
					}
				}
			})
		}
	}
}

// TestModuleVanishes checks that the module's file is removed with its process.
func TestModuleVanishes(t *testing.T) {
	t.Parallel()
	e := python.New(python.Options{})
	var file string
	first(t, e, lane("def f(x):\n    return __file__ if open(__file__).read() else None"), &file)
	e.Close()
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("%s: %v", file, err)
	}
}

// TestTracebackLines checks the source lines of a traceback, even after characters
// that end a line in other languages.
func TestTracebackLines(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"\f\n", "# \v \x1c \x1d \x1e \u0085 \u2028 \u2029\n", "s = '\u2028'\n", "x = 1\r\n\r\n", "x = 1\ry = 2\r"} {
		r := must(t, lane(before+"def f(x):\n    y = 0\n    raise ValueError('boom')\n    z = 0\n"), executortest.Numbers(1, 0, 1))
		if e := r.Failed[0]; !strings.Contains(e.Traceback, ", in f\n    raise ValueError('boom')\n") {
			t.Errorf("%q:\n%s", before, e.Traceback)
		}
	}
}

// TestHashSeed checks that all processes of a job hash text alike, unless its
// environment says otherwise.
func TestHashSeed(t *testing.T) {
	t.Parallel()
	hash := func(env map[string]string) (h []int64) {
		e := python.New(python.Options{})
		defer e.Close()
		l := lane("import subprocess, sys\ndef f(x):\n    return [hash('key'), int(subprocess.check_output([sys.executable, '-c', \"print(hash('key'))\"]))]")
		l.Program.Python.Env = env
		first(t, e, l, &h)
		return h
	}
	one, two := hash(nil), hash(nil)
	if one[0] != two[0] || one[0] != one[1] {
		t.Errorf("%d and %d in two processes, %d below the first", one[0], two[0], one[1])
	}
	random := map[string]string{"PYTHONHASHSEED": "random"}
	if one, two := hash(random), hash(random); one[0] == two[0] {
		t.Error("the program's own seed is ignored")
	}
}
