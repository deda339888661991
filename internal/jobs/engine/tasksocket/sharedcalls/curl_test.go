package sharedcalls_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs/engine/tasksocket/sharedcalls"
)

// curl runs curl as a command of task 1 does, with its output and the status.
func (s *socket) curl(args string) string {
	s.t.Helper()
	script := `curl -sS --max-time 20 -w '%{http_code}' --unix-socket "$ALLCORES_SOCKET" ` + args
	cmd := exec.CommandContext(s.t.Context(), "sh", "-c", script)
	cmd.Env = append(cmd.Environ(), "ALLCORES_SOCKET="+s.server.Path(), "ALLCORES_TASK_URL="+s.session.URL()+"/tasks/1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v %s", args, err, out)
	}
	return string(out)
}

func TestCurl(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl")
	}
	s := newSocket(t)
	for _, c := range []struct{ args, want string }{
		{`"$ALLCORES_TASK_URL/shared/hits/add" -d 1`, "1\n200"},
		{`"$ALLCORES_TASK_URL/shared/hits/add" -d 1.5`, "2.5\n200"},
		{`"$ALLCORES_TASK_URL/shared/hits/get" -X POST`, "2.5\n200"},
		{`"$ALLCORES_TASK_URL/shared/hits/compare_exchange?arg=2.5" -d 7`, "true\n200"},
		{`"$ALLCORES_TASK_URL/shared/hits"`, `"name":"hits","kind":"value","items":1,`},
		{`"$ALLCORES_TASK_URL/shared"`, `{"items":[{"name":"hits",`},
		{`"$ALLCORES_TASK_URL/shared/none"`, `404`},

		{`"$ALLCORES_TASK_URL/shared/todo/put" -H 'Content-Type: text/plain' -d 'a file.txt'`, "null\n200"},
		{`"$ALLCORES_TASK_URL/shared/todo/put" -d '{"size": 3}'`, "null\n200"},
		{`"$ALLCORES_TASK_URL/shared/todo/get" -X POST`, "\"a file.txt\"\n200"},
		{`"$ALLCORES_TASK_URL/shared/todo/get?timeout=1" -d ''`, "{\"size\": 3}\n200"},
		{`"$ALLCORES_TASK_URL/shared/todo/get?timeout=0" -X POST`, `"kind":"empty"`},
		{`"$ALLCORES_TASK_URL/shared/todo/get?timeout=0.01" -X POST`, `409`},
		{`"$ALLCORES_TASK_URL/shared/todo/put" -d 'a file.txt'`, `"detail":"The body is not JSON; a text needs quotes, or -H 'Content-Type: text/plain'."`},

		{`"$ALLCORES_TASK_URL/shared/ages/set?kind=dict&arg=ada" -d 36`, "null\n200"},
		{`"$ALLCORES_TASK_URL/shared/ages/get" -d '"ada"'`, "[36]\n200"},
		{`"$ALLCORES_TASK_URL/shared/ages/get?arg=ada" -X POST`, "[36]\n200"},
		{`"$ALLCORES_TASK_URL/shared/cells/set?kind=array&type=i&size=3&arg=2" -d 9`, "null\n200"},
		{`"$ALLCORES_TASK_URL/shared/cells/slice" -X POST`, "[0,0,9]\n200"},
		{`"$ALLCORES_TASK_URL/shared/cells/set?arg=3" -d 9`, `"kind":"index"`},
		{`"$ALLCORES_TASK_URL/shared/names/append" -d '"a"'`, "null\n200"},
		{`"$ALLCORES_TASK_URL/shared/a%2Fb%20c/append" -d 1`, "null\n200"},
		{`"$ALLCORES_TASK_URL/shared/a%2Fb%20c"`, `"name":"a/b c"`},
		{`"$ALLCORES_TASK_URL/shared/guard/acquire" -X POST`, "true\n200"},
		{`"$ALLCORES_TASK_URL/shared/guard/release" -X POST`, "null\n200"},
		{`"$ALLCORES_TASK_URL/shared/guard/release" -X POST`, `"kind":"value"`},
		{`"$ALLCORES_TASK_URL/shared/go/set?kind=event" -X POST`, "null\n200"},
		{`"$ALLCORES_TASK_URL/shared/go/wait" -X POST`, "true\n200"},
		{`"$ALLCORES_TASK_URL/shared/gate/acquire?kind=semaphore&size=2" -X POST`, "true\n200"},
		{`"$ALLCORES_TASK_URL/shared/pipe/send?arg=0" -d '"hi"'`, "null\n200"},
		{`"$ALLCORES_TASK_URL/shared/pipe/recv" -d 1`, "\"hi\"\n200"},

		{`"$ALLCORES_TASK_URL/shared/new/set" -d 1`, `name its kind: array, dict, event, list, value`},
		{`"$ALLCORES_TASK_URL/shared/new/jump" -d 1`, `no kind of shared object has an operation`},
		{`"$ALLCORES_TASK_URL/shared/hits/put" -d 1`, `a value has no operation`},
		{`"$ALLCORES_TASK_URL/shared/hits/add" -X POST`, `takes 1 arguments, not 0`},
		{`"$ALLCORES_TASK_URL/shared/hits/add?tmeout=3" -d 1`, `There is no parameter \"tmeout\"`},
		{`"$ALLCORES_TASK_URL/shared/hits/add?timeout=soon" -d 1`, `not a number of seconds`},
		{`"$ALLCORES_TASK_URL/shared/hits" -d 1`, `/shared/NAME/OPERATION`},
		{`"$ALLCORES_TASK_URL/shared/hits/add" -X DELETE`, `405`},

		{`"$ALLCORES_TASK_URL/progress" -d '{"fraction": 0.25, "message": "a quarter"}'`, "204"},
		{`"$ALLCORES_TASK_URL/progress" -d '{"message": "begun"}'`, "204"},
		{`"$ALLCORES_TASK_URL/progress" -d '{"fraction": 25}'`, `fraction is 25, not from 0 to 1`},
		{`"$ALLCORES_TASK_URL/progress" -d 25%`, `progress is not JSON such as`},
		{`"$ALLCORES_TASK_URL/progress" -d '{}'`, `neither a fraction nor a message`},
	} {
		if got := s.curl(c.args); !strings.Contains(got, c.want) {
			t.Errorf("curl %s: %s, want %s", c.args, got, c.want)
		}
	}
	if p, _ := s.reports.last.Load(int64(1)); p != (sharedcalls.Progress{Message: "begun"}) {
		t.Errorf("the last progress is %+v", p)
	}
}

// TestCurlThatIsKilled checks that a killed client's wait is taken back.
func TestCurlThatIsKilled(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl")
	}
	s := newSocket(t)
	cmd := exec.CommandContext(t.Context(), "curl", "-s", "--unix-socket", s.server.Path(), "-X", "POST", s.session.URL()+"/tasks/1/shared/todo/get?kind=queue")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the call waits", func() bool { return s.home.waits.Load() == 1 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	await(t, "the call is taken back", func() bool { return s.home.waits.Load() == 0 })
}
