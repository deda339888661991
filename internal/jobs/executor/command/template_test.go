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
		{[]string{"e", "{.}", "{/}", "{//}", "{/.}"}, false, `".bashrc"`, []string{"e", "", ".bashrc", ".", ""}},
		{[]string{"e", "{.}", "{/}", "{//}", "{/.}"}, false, `""`, []string{"e", "", "", ".", ""}},
		{[]string{"e", "{...}", "{{}}", "{ }", "{/./}"}, false, `"a"`, []string{"e", "{...}", "{a}", "{ }", "{/./}"}},
	} {
		input, err := inputText([]byte(test.input))
		if err != nil {
			t.Fatal(err)
		}
		got := parse(test.argv, test.stdin).argv(task{7, input})
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
		for known := range fills {
			placeholder = placeholder || strings.Contains(arg, known)
		}
		if want := map[bool]int{true: 2, false: 3}[placeholder]; len(argv) != want {
			t.Fatalf("%q makes %q", arg, argv)
		}
		if !placeholder && argv[1] != arg {
			t.Fatalf("%q became %q", arg, argv[1])
		}
		// The contents of an input are never placeholders.
		if arg == "{}" && argv[1] != input {
			t.Fatalf("%q became %q", input, argv[1])
		}
	})
}

func FuzzValue(f *testing.F) {
	f.Add("text", []byte("a\xff\n"))
	f.Add("lines", []byte("a\r\n\nb"))
	f.Add("json", []byte(` {"a":"\xff"}`))
	f.Fuzz(func(t *testing.T, kind string, stdout []byte) {
		line, failure := value(kind, printed{stdout: stdout, size: int64(len(stdout))})
		if failure == nil && (len(line) == 0 || slices.Contains(line, '\n') || !json.Valid(line)) {
			t.Fatalf("%q of %q is not a line of JSON: %q", kind, stdout, line)
		}
		// The printed text is the output.
		var got string
		if kind == "text" && failure == nil && (json.Unmarshal(line, &got) != nil || got != strings.TrimSuffix(string(stdout), "\n")) {
			t.Fatalf("%q became %s", stdout, line)
		}
	})
}

// TestPaths compares the values with those of GNU parallel 20221122 with -q -0, and
// with those of dirname(1) and basename(1) where they agree with it.
func TestPaths(t *testing.T) {
	t.Parallel()
	for _, row := range [][5]string{ // input, {.}, {/}, {//}, {/.}
		{"a/b", "a/b", "b", "a", "b"},
		{"link/../f", "link/../f", "f", "link/..", "f"},
		{"link/../f.txt", "link/../f", "f.txt", "link/..", "f"},
		{"a//b", "a//b", "b", "a", "b"},
		{"a/b//c", "a/b//c", "c", "a/b", "c"},
		{"a/b/../", "a/b/../", "", "a/b", ""},
		{"/", "/", "", "/", ""},
		{"//", "//", "", "/", ""},
		{"///", "///", "", "/", ""},
		{"/a", "/a", "a", "/", "a"},
		{"/a/", "/a/", "", "/", ""},
		{"//x", "//x", "x", "/", "x"},
		{"./x", "./x", "x", ".", "x"},
		{"x/", "x/", "", ".", ""},
		{"x//", "x//", "", ".", ""},
		{"a/x/", "a/x/", "", "a", ""},
		{".hidden", "", ".hidden", ".", ""},
		{"a/.b", "a/", ".b", "a", ""},
		{"/.x", "/", ".x", "/", ""},
		{"a.tar.gz", "a.tar", "a.tar.gz", ".", "a.tar"},
		{"dir.d/file", "dir.d/file", "file", "dir.d", "file"},
		{"dir.d/", "dir.d/", "", ".", ""},
		{"a.d//", "a.d//", "", ".", ""},
		{"", "", "", ".", ""},
		{"a.", "a", "a.", ".", "a"},
		{".", "", ".", ".", ""},
		{"..", ".", "..", ".", "."},
		{"...", "..", "...", ".", ".."},
		{"a/..", "a/.", "..", "a", "."},
		{"..a", ".", "..a", ".", "."},
		{"a..b", "a.", "a..b", ".", "a."},
		{"a/b\nc", "a/b\nc", "b\nc", "a", "b\nc"},
		{"a.txt\n", "a", "a.txt\n", ".", "a"},
		{"a.b\nc", "a", "a.b\nc", ".", "a"},
		{"\n", "\n", "\n", ".", "\n"},
		{"a/\n", "a/\n", "\n", "a", "\n"},
		{"a b/c d.e f", "a b/c d", "c d.e f", "a b", "c d"},
		{"é.ü/ö.ä", "é.ü/ö", "ö.ä", "é.ü", "ö"},
		{"-n.x", "-n", "-n.x", ".", "-n"},
		{"{}.{#}", "{}", "{}.{#}", ".", "{}"},
		// Here basename(1) is right, and parallel(1) names another file.
		{"a\nb/c", "a\nb/c", "c", "a\nb", "c"},
	} {
		got := parse([]string{"{.}", "{/}", "{//}", "{/.}"}, false).argv(task{0, row[0]})
		if !slices.Equal(got, row[1:]) {
			t.Errorf("%q: %q, want %q", row[0], got, row[1:])
		}
	}
}
