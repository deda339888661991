package http_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/allcores/allcores/internal/jobs"
)

// errors reads the groups of a job's failures.
func (s *server) errors(id string) []jobs.FailureGroup {
	s.t.Helper()
	var list struct{ Items []jobs.FailureGroup }
	s.get("/api/v1/jobs/"+id+"/errors?limit=1000").into(s.t, &list)
	return list.Items
}

// failing fails in three ways at two places.
const failing = `import json

def parse(x):
    if x % 3 == 0:
        raise ValueError(f"bad value {x} in '{x}.csv'")
    if x % 3 == 1:
        return json.loads("[" * (x % 2 + 1))

def check(x):
    try:
        return parse(x)
    except ValueError as e:
        if "bad" in str(e):
            raise
        raise RuntimeError(f"row {x} cannot be read: {[x] * (x % 4)}") from e
`

func TestErrorGroups(t *testing.T) {
	t.Parallel()
	s := serve(t)
	j := s.submit(program(failing, `{"range":{"stop":300}}`), "Prefer", "wait=30")
	if j.Counts.Failed != 200 {
		t.Fatalf("%+v", j.Counts)
	}
	groups := s.errors(j.ID)
	if len(groups) != 2 {
		t.Fatalf("%d groups: %+v", len(groups), groups)
	}
	for i, want := range []struct {
		of, message, pattern, frame string
		first                       int64
	}{
		{"ValueError", "bad value 0 in '0.csv'", "bad value <number> in '<text>'", "program.py:5 in parse", 0},
		{"RuntimeError", "row 1 cannot be read: [1]", "row <number> cannot be read: <values>", "program.py:15 in check", 1},
	} {
		g := groups[i]
		if g.Count != 100 || g.Kind != jobs.KindException || g.Type != want.of || g.Message != want.message || g.Pattern != want.pattern ||
			g.Frame.String() != want.frame || g.FirstIndex != want.first || len(g.Messages) != 5 || g.Example.Message != want.message || g.Example.Traceback == "" {
			t.Errorf("group %d: %+v", i, g)
		}
	}

	// All tasks of a group, from any place on.
	var want []string
	for i := int64(1); i < 300; i += 3 {
		want = append(want, fmt.Sprintf("%d failed", i))
	}
	group := "?group=" + groups[1].ID.String()
	for query, want := range map[string][]string{
		group: want, group + "&after=250": want[84:], group + "&state=failed&follow=true": want,
	} {
		if diff := cmp.Diff(want, s.results(j.ID, query)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	byEnd := s.results(j.ID, group+"&order=completion")
	slices.Sort(byEnd)
	slices.Sort(want)
	if !slices.Equal(byEnd, want) {
		t.Errorf("in order of completion: %v", byEnd)
	}
	for query, status := range map[string]int{"?group=x": 422, group + "&state=succeeded": 422, "?group=0123456789abcdef": 404} {
		if a := s.get("/api/v1/jobs/" + j.ID + "/results" + query); a.StatusCode != status {
			t.Errorf("%s: %d %s", query, a.StatusCode, a.text)
		}
	}
}

// TestErrorGroupsOfKinds checks that failures of commands and deaths of tasks are
// grouped too.
func TestErrorGroupsOfKinds(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, c := range []struct {
		name, body string
		want       []string
	}{
		{"commands", `{"program":{"command":{"argv":["sh","-c","echo \"cat: $1: No such file\" >&2; exit $(($2 % 2 + 3))","sh","/tmp/x{}.txt","{}"]}},"inputs":{"range":{"stop":10}}}`,
			[]string{"5 exit exit 3: cat: <path>: No such file", "5 exit exit 4: cat: <path>: No such file"}},
		{"crashes", program("import os, signal\ndef f(x):\n    os.kill(os.getpid(), signal.SIGSEGV)\n", `{"range":{"stop":3}}`),
			[]string{"3 crash SIGSEGV: the process died under the task: it was killed by SIGSEGV program.py:3 in f"}},
		{"timeouts", program("import time\ndef f(x):\n    time.sleep(60)\n", `{"range":{"stop":3}}`, `,"policy":{"timeout":"0.2s"}`),
			[]string{"3 timeout timeout: still running after <number>ms"}},
	} {
		j := s.ended(s.submit(c.body).ID)
		var got []string
		for _, g := range s.errors(j.ID) {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%d %s %s: %s %v", g.Count, g.Kind, g.Type, g.Pattern, g.Frame)))
		}
		slices.Sort(got)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestUnicodeOfResults checks that results have characters beyond ASCII unescaped,
// however the program wrote them.
func TestUnicodeOfResults(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const source = "def f(x):\n    if x == 3: raise ValueError('数据 ' + chr(0x1f600))\n" +
		"    return [{'数据': 'ü' + chr(0x1f600)}, chr(0xd83d) + 'a', 'tab\\t\\\\u6570', None][x]\n"
	j := s.submit(program(source, `{"items":[0,1,2,3]}`), "Prefer", "wait=30")
	if j.Counts.Failed != 1 {
		t.Fatalf("%+v", j)
	}
	path := "/api/v1/jobs/" + j.ID
	for _, c := range []struct{ path, want string }{
		{path + "/results?format=outputs", `[{"数据":"ü😀"},"\ud83da","tab\t\\u6570",null]` + "\n"},
		{path + "/results?state=succeeded", `{"index":0,"state":"succeeded","output":{"数据":"ü😀"}}` + "\n"},
		{path + "/results?state=failed", `"message":"数据 😀"`},
		{path + "/results?format=csv", "1,succeeded,\"\"\"\\ud83da\"\"\",\r\n2,succeeded,tab\t\\u6570,\r\n3,failed,,exception: ValueError: 数据 😀\r\n"},
		{path + "/tasks/0", `"output":{"数据":"ü😀"}`},
		{path + "/tasks/1", `"output":"\ud83da"`},
		{path + "/errors", `"message":"数据 😀"`},
	} {
		if a := s.get(c.path); a.StatusCode != 200 || !strings.Contains(a.text, c.want) {
			t.Errorf("%s: %d %s, want %s in it", c.path, a.StatusCode, a.text, c.want)
		}
	}
	if !strings.Contains(string(j.Outputs), "数据") {
		t.Errorf("outputs of the job: %s", j.Outputs)
	}
}

// TestRetryOfGroup checks that a retry of a group runs its tasks and leaves other
// failures as they are.
func TestRetryOfGroup(t *testing.T) {
	t.Parallel()
	s := serve(t)
	flag := filepath.Join(t.TempDir(), "fixed")
	source := fmt.Sprintf("import os\ndef f(x):\n    if x %% 3 == 1 and not os.path.exists(%q): raise OSError(f'no file {x}')\n    if x %% 3 == 0: raise ValueError(x)\n", flag)
	j := s.submit(program(source, `{"range":{"stop":30}}`), "Prefer", "wait=30")
	groups := s.errors(j.ID)
	if len(groups) != 2 || groups[1].Type != "OSError" || groups[1].Count != 10 {
		t.Fatalf("%+v", groups)
	}
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path := "/api/v1/jobs/" + j.ID + "/retry?group="
	for id, status := range map[string]int{"nothing": 422, "0123456789abcdef": 409} {
		if a := s.call("POST", path+id, ""); a.StatusCode != status {
			t.Errorf("group %s: %d %s", id, a.StatusCode, a.text)
		}
	}
	id := groups[1].ID.String()
	if a := s.call("POST", path+id, "", "Idempotency-Key", "k"); a.StatusCode != 200 {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	if c := s.ended(j.ID).Counts; c.Succeeded != 20 || c.Failed != 10 {
		t.Errorf("%+v", c)
	}
	left := s.errors(j.ID)
	if len(left) != 1 || left[0].ID != groups[0].ID || left[0].Count != 10 || left[0].FirstIndex != 0 {
		t.Errorf("%+v", left)
	}
	// With a key the retry acts once, also when the group no longer exists.
	if a := s.call("POST", path+id, "", "Idempotency-Key", "k"); a.StatusCode != 200 || a.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("again: %d %s", a.StatusCode, a.text)
	}
	if a := s.call("POST", path+left[0].ID.String(), "", "Idempotency-Key", "k"); a.StatusCode != 422 {
		t.Errorf("another group with the key: %d %s", a.StatusCode, a.text)
	}
}
