package jobs

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// quoteForShell replaces the placeholders of a script by shell parameters, quoted
// as their context requires and numbered from first on. values are the arguments
// for the parameters.
func quoteForShell(script string, first int) (safe string, values []string) {
	var out strings.Builder
	contexts := []byte{0} // 0 for unquoted text, ' and " for quotes, ( for $(…), # for $((…))
	for i := 0; i < len(script); {
		in := &contexts[len(contexts)-1]
		plain := *in == 0 || *in == '('
		if name := inputAt(script[i:]); name != "" {
			n := slices.Index(values, name)
			if n < 0 {
				n, values = len(values), append(values, name)
			}
			out.WriteString(parameter(first+n, *in))
			i += len(name)
			continue
		}
		c, length := script[i], 1
		switch {
		case *in == '\'':
			if c == '\'' {
				contexts = contexts[:len(contexts)-1]
			}
		case c == '\\' && inputAt(script[i+1:]) != "": // the parameter's quotes replace it
			i++
			continue
		case c == '\\' && i+1 < len(script):
			length = 2
		case strings.HasPrefix(script[i:], "$(("):
			contexts, length = append(contexts, '#'), 3
		case *in == '#' && strings.HasPrefix(script[i:], "))"):
			contexts, length = contexts[:len(contexts)-1], 2
		case strings.HasPrefix(script[i:], "$("):
			contexts, length = append(contexts, '('), 2
		case *in == '(' && c == ')':
			contexts = contexts[:len(contexts)-1]
		case *in == '"' && c == '"':
			contexts = contexts[:len(contexts)-1]
		case plain && (c == '\'' || c == '"'):
			contexts = append(contexts, c)
		}
		out.WriteString(script[i : i+length])
		i += length
	}
	return out.String(), values
}

// inputAt returns the input placeholder with which text begins, or empty.
func inputAt(text string) string {
	for _, name := range placeholders {
		if name != PlaceholderIndex && strings.HasPrefix(text, name) {
			return name
		}
	}
	return ""
}

// parameter returns shell parameter n for a context.
func parameter(n int, context byte) string {
	name := "$" + strconv.Itoa(n)
	if n > 9 {
		name = "${" + strconv.Itoa(n) + "}"
	}
	switch context {
	case '"', '#':
		return name
	case '\'':
		return `'"` + name + `"'`
	}
	return `"` + name + `"`
}

// ShellCommand returns the arguments of a shell that runs a script with its inputs
// as arguments. An input that the script does not mention becomes its last word,
// unless it goes to standard input.
func ShellCommand(script string, stdin bool) []string {
	safe, values := quoteForShell(script, 1)
	if len(values) == 0 && !stdin && !strings.Contains(script, PlaceholderIndex) {
		safe, values = strings.TrimSpace(safe)+` "$1"`, []string{PlaceholderInput}
	}
	return append([]string{"sh", "-c", safe, "sh"}, values...)
}

// ShellSyntax returns the first unquoted part of a typed command that only a shell
// understands, such as a pipe; empty for none.
func ShellSyntax(command string) string {
	var quote byte
	name, _, _ := strings.Cut(strings.TrimSpace(command), " ")
	_, interprets := interpreterOf(name)
	interprets = interprets || slices.Contains(wrappers, path.Base(name)) // they interpret quoted text
	for i := 0; i < len(command); i++ {
		rest := command[i:]
		switch c := command[i]; {
		case quote == '\'':
			if c == '\'' {
				quote = 0
			}
		case c == '\\':
			i++
		case c == quote:
			quote = 0
		case quote != 0 && interprets:
		case strings.HasPrefix(rest, "$(") || c == '`':
			return rest[:min(len(rest), 2-strings.Count(rest[:1], "`"))]
		case len(rest) > 1 && c == '$' && (rest[1] == '_' || rest[1] >= 'A' && rest[1] <= 'Z' || rest[1] >= 'a' && rest[1] <= 'z'):
			return variable.FindString(rest)
		case quote != 0:
		case c == '\'' || c == '"':
			quote = c
		case c == '|' || c == '<' || c == '>' || strings.HasPrefix(rest, "&&"):
			return strings.TrimRight(rest[:min(len(rest), 2)], " \t\n{./_"+letters)
		case c == ';' && path.Base(name) != "find", c == '&' && standsAlone(command, i):
			return rest[:1]
		case c == '*' && !strings.Contains(wordAt(command, i), "://"):
			return wordAt(command, i)
		}
	}
	return ""
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

var variable = regexp.MustCompile(`^\$\w+`)

// standsAlone reports whether the character at i is a word or ends the command.
func standsAlone(command string, i int) bool {
	after := command[i+1:]
	return strings.TrimSpace(after) == "" || (i == 0 || command[i-1] == ' ') && after[0] == ' '
}

// wordAt returns the word around offset i.
func wordAt(command string, i int) string {
	from := strings.LastIndexAny(command[:i], " \t\n") + 1
	to := strings.IndexAny(command[i:], " \t\n")
	if to < 0 {
		return command[from:]
	}
	return command[from : i+to]
}

var plainWord = regexp.MustCompile(`^[\w@%+=:./{}-][\w@%+=:./{}#-]*$|^[\w@%+=:,./-]+$`)

// ShellQuote quotes a word for a shell where necessary.
func ShellQuote(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Offer returns shell arguments that do the same as the command without making its
// input part of the script. It returns nil for a command without such a script.
func (c Command) Offer() []string {
	if len(c.Argv) == 0 {
		return nil
	}
	argv := c.whole()
	at, start := inputAsSource(argv)
	if at == 0 {
		return nil
	}
	if it, _ := interpreterOf(argv[start]); it.shell {
		return safeScript(argv, at, start)
	}
	return nil
}
