package command

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestTemplate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		argv  []string
		stdin bool
		input string // JSON
		want  []string
	}{
		{[]string{"echo"}, false, `"a b"`, []string{"echo", "a b"}},
		{[]string{"echo"}, false, `{"a":1}`, []string{"echo", `{"a":1}`}},
		{[]string{"echo"}, false, `null`, []string{"echo", "null"}},
		{[]string{"cat"}, true, `"a"`, []string{"cat"}},
		{[]string{"cat", "{}"}, true, `"a"`, []string{"cat", "a"}},
		{[]string{"echo", "x{}y{}{#}"}, false, `"\u00e9"`, []string{"echo", "xéyé7"}},
		{[]string{"{}", ""}, false, `"ls"`, []string{"ls", ""}},
		{[]string{"e", "{#}"}, false, `"a"`, []string{"e", "7"}},
		{[]string{"e", "{.}", "{/}", "{//}", "{/.}"}, false, `"/d.x/f.tar.gz"`, []string{"e", "/d.x/f.tar", "f.tar.gz", "/d.x", "f.tar"}},
		{[]string{"e", "{.}", "{/}", "{//}", "{/.}"}, false, `"d.x/f"`, []string{"e", "d.x/f", "f", "d.x", "f"}},
		{[]string{"e", "{.}", "{/}", "{//}", "{/.}"}, false, `".bashrc"`, []string{"e", ".bashrc", ".bashrc", ".", ".bashrc"}},
		{[]string{"e", "{.}", "{/}", "{//}", "{/.}"}, false, `""`, []string{"e", "", "", ".", ""}},
		{[]string{"e", "{...}", "{{}}", "{ }", "{/./}"}, false, `"a"`, []string{"e", "{...}", "{a}", "{ }", "{/./}"}},
	} {
		got := parse(test.argv, test.stdin).argv(task{7, inputText([]byte(test.input))})
		if !slices.Equal(got, test.want) {
			t.Errorf("%q of %s: %q, want %q", test.argv, test.input, got, test.want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("a{}b{#}{/.}", "x/y.z")
	f.Add("{{}", "{}")
	f.Fuzz(func(t *testing.T, arg, input string) {
		p := parse([]string{"cmd", arg}, false)
		argv := p.argv(task{3, input})
		placeholder := false
		for _, known := range placeholders {
			placeholder = placeholder || strings.Contains(arg, known.name)
		}
		if want := map[bool]int{true: 2, false: 3}[placeholder]; len(argv) != want {
			t.Fatalf("%q makes %q", arg, argv)
		}
		if !placeholder && argv[1] != arg {
			t.Fatalf("%q became %q", arg, argv[1])
		}
		// What an input contains is never a placeholder itself.
		if arg == "{}" && argv[1] != input {
			t.Fatalf("%q became %q", input, argv[1])
		}
	})
}

func FuzzValue(f *testing.F) {
	f.Add("text", []byte("a\xff\n"), false)
	f.Add("lines", []byte("a\r\n\nb"), false)
	f.Add("json", []byte(` {"a":"\xff"}`), true)
	f.Fuzz(func(t *testing.T, kind string, printed []byte, cut bool) {
		line, failure := value(kind, printed, cut)
		if failure == nil && (len(line) == 0 || slices.Contains(line, '\n') || !json.Valid(line)) {
			t.Fatalf("%q of %q is not a line of JSON: %q", kind, printed, line)
		}
	})
}
