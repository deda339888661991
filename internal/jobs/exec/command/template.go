package command

import (
	"encoding/json"
	"path"
	"strconv"
	"strings"
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

// A task is what placeholders are replaced by.
type task struct {
	index int64
	input string // as text
}

// placeholders as GNU parallel calls them.
var placeholders = []struct {
	name string
	fill func(t task) string
}{
	{"{}", func(t task) string { return t.input }},
	{"{#}", func(t task) string { return strconv.FormatInt(t.index, 10) }},
	{"{.}", func(t task) string { return withoutExtension(t.input) }},
	{"{/}", func(t task) string { return base(t.input) }},
	{"{//}", func(t task) string { return path.Dir(t.input) }},
	{"{/.}", func(t task) string { return withoutExtension(base(t.input)) }},
}

// withoutExtension removes the last extension of the last path element. A name
// that only begins with a dot has none.
func withoutExtension(s string) string {
	dot := strings.LastIndexByte(s, '.')
	if dot <= strings.LastIndexByte(s, '/')+1 {
		return s
	}
	return s[:dot]
}

// base is the last element of a path.
func base(s string) string {
	if s == "" {
		return ""
	}
	return path.Base(s)
}

// parse finds the placeholders of argv. With stdin, an input that stands
// nowhere is not appended.
func parse(argv []string, stdin bool) template {
	t := template{appends: !stdin}
	for _, arg := range argv {
		var parts []part
		for arg != "" {
			at, length, fill := next(arg)
			if at > 0 {
				parts = append(parts, part{text: arg[:at]})
			}
			if fill != nil {
				parts = append(parts, part{fill: fill})
				t.appends = false
			}
			arg = arg[at+length:]
		}
		t.args = append(t.args, parts)
	}
	return t
}

// next finds the first placeholder of s; without one, at is the length of s.
func next(s string) (at, length int, fill func(task) string) {
	for at := 0; at < len(s); at++ {
		if s[at] != '{' {
			continue
		}
		for _, p := range placeholders {
			if strings.HasPrefix(s[at:], p.name) {
				return at, len(p.name), p.fill
			}
		}
	}
	return len(s), 0, nil
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

// argv is the template for one task.
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

// inputText is an input, which is compact JSON, as text: a string without its
// quotes, anything else as it is.
func inputText(input []byte) string {
	if len(input) > 0 && input[0] == '"' {
		var s string
		if json.Unmarshal(input, &s) == nil {
			return s
		}
	}
	return string(input)
}
