package command

import (
	"strconv"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
)

// A template is an argv with its placeholders found.
type template struct {
	args    [][]part
	appends bool // the input is the last argument, as there is no placeholder
}

// A part is literal text or a placeholder.
type part struct {
	text string
	fill func(t task) string // nil for literal text
}

// A task holds the values that replace placeholders.
type task struct {
	index int64
	input string // as text
}

// fills are the placeholders' values. They follow the regular expressions that
// parallel(1) documents, and dirname(1), byte by byte: no path is cleaned, for
// a/../b names another file than b where a is a symbolic link.
var fills = map[string]func(task) string{
	jobs.PlaceholderInput:       func(t task) string { return t.input },
	jobs.PlaceholderIndex:       func(t task) string { return strconv.FormatInt(t.index, 10) },
	jobs.PlaceholderNoExtension: func(t task) string { return withoutExtension(t.input) },
	jobs.PlaceholderBase:        func(t task) string { return base(t.input) },
	jobs.PlaceholderDirectory:   func(t task) string { return directory(t.input) },
	jobs.PlaceholderBareBase:    func(t task) string { return withoutExtension(base(t.input)) },
}

// withoutExtension removes the last dot and what follows it, unless a slash
// follows it. A name that is all extension, such as .bashrc, becomes empty.
func withoutExtension(s string) string {
	dot := strings.LastIndexByte(s, '.')
	if dot < 0 || strings.IndexByte(s[dot:], '/') >= 0 {
		return s
	}
	return s[:dot]
}

// base returns what follows the last slash: nothing where s ends in one.
// (parallel(1) keeps the lines before the one with that slash, and so names
// another file where a directory's name has a line break; basename(1) does not.)
func base(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }

// directory returns what dirname(1) prints.
func directory(s string) string {
	name := strings.TrimRight(s, "/")
	slash := strings.LastIndexByte(name, '/')
	switch {
	case s == "" || name != "" && slash < 0:
		return "."
	case name == "":
		return "/"
	}
	if parent := strings.TrimRight(name[:slash], "/"); parent != "" {
		return parent
	}
	return "/"
}

// parse finds the placeholders of argv. Without any the input is appended, except
// with stdin.
func parse(argv []string, stdin bool) template {
	t := template{appends: !stdin}
	for _, arg := range argv {
		var parts []part
		for arg != "" {
			at, name := jobs.NextPlaceholder(arg)
			if at > 0 {
				parts = append(parts, part{text: arg[:at]})
			}
			if name != "" {
				parts = append(parts, part{fill: fills[name]})
				t.appends = false
			}
			arg = arg[at+len(name):]
		}
		t.args = append(t.args, parts)
	}
	return t
}

// literal reports whether the program's name is the same for every task.
func (t template) literal() bool {
	for _, p := range t.args[0] {
		if p.fill != nil {
			return false
		}
	}
	return true
}

// argv returns the arguments for one task.
func (t template) argv(k task) []string {
	argv := make([]string, 0, len(t.args)+1)
	for _, parts := range t.args {
		switch {
		case len(parts) == 0:
			argv = append(argv, "")
		case len(parts) == 1 && parts[0].fill == nil:
			argv = append(argv, parts[0].text)
		case len(parts) == 1:
			argv = append(argv, parts[0].fill(k))
		default:
			var b strings.Builder
			for _, p := range parts {
				if p.fill == nil {
					b.WriteString(p.text)
				} else {
					b.WriteString(p.fill(k))
				}
			}
			argv = append(argv, b.String())
		}
	}
	if t.appends {
		argv = append(argv, k.input)
	}
	return argv
}

// inputText returns an input, which is compact JSON, as text: a string without its
// quotes, anything else unchanged. The error is why a string is not text.
func inputText(input []byte) (string, error) {
	if len(input) > 0 && input[0] == '"' {
		return jobs.DecodeText(input)
	}
	return string(input), nil
}
