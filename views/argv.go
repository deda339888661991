package views

import (
	"fmt"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
)

// words splits text at spaces and commas.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
}

// splitWords splits a command into arguments as a POSIX shell does: white space
// separates words, '…' is literal, "…" and backslashes quote. It expands
// nothing.
func splitWords(text string) ([]string, error) {
	var (
		argv  []string
		word  strings.Builder
		open  bool // a word has begun
		quote byte
	)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote == '\'' && c != '\'':
			word.WriteByte(c)
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && i+1 < len(text) && (quote == 0 || strings.IndexByte("\"\\", text[i+1]) >= 0):
			i++
			word.WriteByte(text[i])
			open = true
		case quote != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, open = c, true
		case c == ' ' || c == '\t' || c == '\n':
			if open {
				argv = append(argv, word.String())
				word.Reset()
				open = false
			}
		default:
			word.WriteByte(c)
			open = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote %c is not closed", quote)
	}
	if open {
		argv = append(argv, word.String())
	}
	return argv, nil
}

// joinWords quotes argv so that splitWords returns it.
func joinWords(argv []string) string {
	quoted := make([]string, len(argv))
	for i, arg := range argv {
		quoted[i] = jobs.ShellQuote(arg)
	}
	return strings.Join(quoted, " ")
}
