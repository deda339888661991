package jobs

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestMask(t *testing.T) {
	t.Parallel()
	for _, group := range []struct {
		pattern  string
		messages []string
	}{
		{"bad value <number>", []string{"bad value 7", "bad value 107", "bad value -7", "bad value 3.25", "bad value 1e-09", "bad value .5", "bad value nan", "bad value -inf", "bad value 1,234,567", "bad value 10.0.0.1:5432", "bad value 2024-01-02"}},
		{"item<number> is bad", []string{"item1 is bad", "item107 is bad"}},
		{"at <hex>: bad", []string{"at 0x7f3a99: bad", "at 0xDEADBEEF: bad", "at 9f86d081884c7d65: bad"}},
		{"no user <uuid>", []string{"no user 0192f0c8-0000-7000-8000-000000000001", "no user 7f000000-aaaa-7bbb-8ccc-0123456789ab"}},
		{"invalid literal for int() with base <number>: '<text>'", []string{"invalid literal for int() with base 10: 'twelve'", "invalid literal for int() with base 10: 'it\\'s'", "invalid literal for int() with base 10: ''"}},
		{`name "<text>" is taken`, []string{`name "a" is taken`, `name "it's" is taken`}},
		{"name “<text>” is taken", []string{"name “ä” is taken", "name “数据” is taken"}},
		{"can't open <path>: isn't there", []string{"can't open /tmp/x7: isn't there", "can't open ./a/b: isn't there", "can't open data/a.txt: isn't there", "can't open alpha.csv: isn't there", `can't open C:\tmp\x: isn't there`, "can't open ~/x: isn't there"}},
		{"GET <url> failed", []string{"GET https://a.example/x?y=1 failed", "GET http://[::1]:80/ failed"}},
		{"mail to <email> failed", []string{"mail to a@b.example failed", "mail to first.last@x.org failed"}},
		{"bad row <values>", []string{"bad row [1, 2, 3]", "bad row [1]", "bad row []", "bad row {'id': 7, 'name': 'x'}", "bad row (1, 'a')", "bad row [None, True, 'x', [1.5]]", "bad row {}"}},
		{"shape <values> is not <values>", []string{"shape (3, 4) is not (5,)", "shape (3, 4, 5) is not (1, 2)"}},
		{"[Errno <number>] No such file or directory: '<text>'", []string{"[Errno 2] No such file or directory: '/data/a b.txt'"}},
		{"division by zero", []string{"division by zero"}},
		{"and/or, f(x), a-b, e.g. i.e. numpy.float, don't", []string{"and/or, f(x), a-b, e.g. i.e. numpy.float, don't"}},
		{"<number> of <number> done, <number>/<number>", []string{"1 of 20 done, 3/10"}},
		{"unbalanced ) ] [", []string{"unbalanced ) ] ["}},
		{"数据 <number> ü", []string{"数据 7 ü", "数据 12 ü"}},
		{"", []string{"", "  "}},
	} {
		for _, message := range group.messages {
			if got := Mask(message); got != group.pattern {
				t.Errorf("Mask(%q) = %q, want %q", message, got, group.pattern)
			}
		}
	}
	long := Mask("bad row ['" + strings.Repeat("ä", 5000) + "']")
	if again := Mask("bad row ['" + strings.Repeat("b", 4999) + "']"); long != again {
		t.Errorf("of texts that are too long: %q and %q", long, again)
	}
	if got := Mask(strings.Repeat("word ", 500)); len(got) > maxPattern {
		t.Errorf("a pattern of %d bytes", len(got))
	}
}

func FuzzMask(f *testing.F) {
	for _, seed := range []string{"bad 'x' [1, 2] /a/b.txt", "\xff'\\", "({[", "‘’", "a\x1b[31m 0x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, message string) {
		if got := Mask(message); len(got) > maxPattern || got != Mask(message) {
			t.Errorf("Mask(%q) = %q", message, got)
		}
	})
}

func TestGroup(t *testing.T) {
	t.Parallel()
	trace := func(message string, frames ...string) string {
		return "Traceback (most recent call last):\n" + strings.Join(frames, "") + "ValueError: " + message + "\n"
	}
	frame := func(file string, line int, function string) string {
		return fmt.Sprintf("  File %q, line %d, in %s\n    source\n", file, line, function)
	}
	base := TaskError{Kind: KindException, Type: "ValueError", Message: "bad value 7",
		Traceback: trace("bad value 7", frame(programFile, 12, "f"), frame(programFile, 3, "parse"), frame("/usr/lib/python3/json.py", 90, "loads"))}
	got := Group(&base)
	if got.Frame.String() != "program.py:3 in parse" || got.Pattern != "bad value <number>" || got.ID.Other() == 0 || got.ID == got.ID.Other() {
		t.Fatalf("%+v", got)
	}
	for _, c := range []struct {
		name        string
		change      func(*TaskError)
		frame       string
		same, place bool // the same group; else the same place
	}{
		{"another number", func(e *TaskError) {
			e.Message, e.Traceback = "bad value 107", strings.ReplaceAll(e.Traceback, "value 7", "value 107")
		}, "program.py:3 in parse", true, true},
		{"another line of a library", func(e *TaskError) { e.Traceback = strings.ReplaceAll(e.Traceback, "line 90", "line 91") }, "program.py:3 in parse", true, true},
		{"another caller", func(e *TaskError) { e.Traceback = strings.ReplaceAll(e.Traceback, "line 12", "line 14") }, "program.py:3 in parse", true, true},
		{"another message", func(e *TaskError) { e.Message = "no such row" }, "program.py:3 in parse", false, true},
		{"another line", func(e *TaskError) { e.Traceback = strings.ReplaceAll(e.Traceback, "line 3,", "line 4,") }, "program.py:4 in parse", false, false},
		{"another type", func(e *TaskError) { e.Type = "TypeError" }, "program.py:3 in parse", false, false},
		{"another kind", func(e *TaskError) { e.Kind = KindMemory }, "program.py:3 in parse", false, false},
		{"a message like a traceback", func(e *TaskError) {
			e.Message = "bad value 7\n  File \"program.py\", line 99, in g\n"
			e.Traceback = trace(e.Message, frame(programFile, 3, "parse"))
		}, "program.py:3 in parse", false, true},
		{"a cause", func(e *TaskError) {
			e.Traceback = trace("inner", frame(programFile, 40, "g")) + "\nDuring handling of the above exception, another exception occurred:\n\n" + e.Traceback
		}, "program.py:3 in parse", true, true},
		{"no frame of the program", func(e *TaskError) { e.Traceback = trace("x", frame("/usr/x.py", 1, "f")) }, "", false, false},
		{"a crash", func(e *TaskError) {
			e.Kind, e.Type, e.Message = KindCrash, "SIGSEGV", "the process died under the task: killed by SIGSEGV"
			e.Traceback = "Stack (most recent call first):\n  File \"/usr/lib/ctypes.py\", line 9 in string_at\n  File \"program.py\", line 5 in poke\n  File \"program.py\", line 8 in f\n"
		}, "program.py:5 in poke", false, false},
	} {
		e := base
		c.change(&e)
		other := Group(&e)
		if other.Frame.String() != c.frame || (other.ID == got.ID) != c.same || (other.ID.Other() == got.ID.Other()) != c.place {
			t.Errorf("%s: %v at %q, want %q; before %v", c.name, other.ID, other.Frame, c.frame, got.ID)
		}
	}
	// Errors of commands have no frame.
	exit := func(message string) GroupID {
		return Group(&TaskError{Kind: KindExit, Type: "exit 1", Message: message}).ID
	}
	if exit("cat: a.txt: No such file or directory") != exit("cat: b7.txt: No such file or directory") || exit("cat: a.txt: Permission denied") == exit("cat: a.txt: No such file or directory") {
		t.Error("failures of a command are not grouped by what went wrong")
	}
	text, err := json.Marshal(got.ID)
	var back GroupID
	if err != nil || json.Unmarshal(text, &back) != nil || back != got.ID {
		t.Errorf("%s reads back as %v, %v", text, back, err)
	}
	for _, wrong := range []string{"", "12", "00000000000000000", "gggggggggggggggg"} {
		if _, err := ParseGroupID(wrong); err == nil {
			t.Errorf("%q is taken for an id", wrong)
		}
	}
}

func BenchmarkGroup(b *testing.B) {
	e := &TaskError{Kind: KindException, Type: "ValueError", Message: "bad value 1234567 of 'some text' in /data/a.txt",
		Traceback: "Traceback (most recent call last):\n  File \"program.py\", line 12, in f\n    raise ValueError(x)\nValueError: bad value 1234567 of 'some text' in /data/a.txt\n"}
	for b.Loop() {
		Group(e)
	}
}

// TestGroupOfACommandsMessage checks that only the last line of a command's message
// decides its group.
func TestGroupOfACommandsMessage(t *testing.T) {
	t.Parallel()
	group := func(before string) Grouping {
		return Group(&TaskError{Kind: KindExit, Type: "exit 3", Message: "disk full" + LinesBefore + before})
	}
	if a, b := group("reading alpha"), group("writing beta"); a.ID != b.ID || a.Pattern != "disk full" {
		t.Errorf("%+v %+v", a, b)
	}
}
