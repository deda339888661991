package jobs

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A searchParser holds the unread rest of a search.
type searchParser struct{ rest string }

// skipSpace skips space and reports whether anything is left.
func (p *searchParser) skipSpace() bool {
	p.rest = strings.TrimLeftFunc(p.rest, unicode.IsSpace)
	return p.rest != ""
}

// term reads the next term. The message is empty for a valid term.
func (p *searchParser) term() (t SearchTerm, message string) {
	begin := p.rest
	t.Not = negated(p.rest)
	if t.Not {
		p.rest = p.rest[1:]
	}
	key, isQualifier := qualifier(p.rest)
	if !isQualifier {
		t.Values = []string{Fold(p.value(false))}
		t.Raw = begin[:len(begin)-len(p.rest)]
		return t, ""
	}
	p.rest = p.rest[len(key)+1:]
	t.Key = Fold(key)
	var values []string
	for {
		if v := p.value(true); v != "" {
			values = append(values, v)
		}
		if !strings.HasPrefix(p.rest, ",") {
			break
		}
		p.rest = p.rest[1:]
	}
	t.Raw = begin[:len(begin)-len(p.rest)]
	return t, t.take(key, values)
}

// negated reports whether the term at the beginning of rest must not hold. A dash
// before a space, and two dashes as of an option, are text.
func negated(rest string) bool {
	after, ok := strings.CutPrefix(rest, "-")
	if !ok || after == "" || after[0] == '-' {
		return false
	}
	r, _ := utf8.DecodeRuneInString(after)
	return !unicode.IsSpace(r)
}

// qualifier returns the word before a colon at the beginning of rest. An unknown
// one is text in a URL (http://…) and in a name (std::sort).
func qualifier(rest string) (word string, ok bool) {
	n := 0
	for n < len(rest) && (rest[n]|0x20 >= 'a' && rest[n]|0x20 <= 'z' || n > 0 && rest[n] == '_') {
		n++
	}
	if n == 0 || n == len(rest) || rest[n] != ':' {
		return "", false
	}
	after := rest[n+1:]
	return rest[:n], knownQualifier(Fold(rest[:n])) || !strings.HasPrefix(after, "//") && !strings.HasPrefix(after, ":")
}

func knownQualifier(name string) bool {
	return slices.ContainsFunc(Qualifiers, func(q Qualifier) bool { return q.Name == name })
}

// value reads up to the next space, in a list up to the next comma. A quoted part
// at the beginning may contain both. An unclosed quote is text.
func (p *searchParser) value(ofList bool) string {
	var quoted string
	if text, size := unquote(p.rest); size > 0 {
		quoted, p.rest = text, p.rest[size:]
	}
	end := strings.IndexFunc(p.rest, func(r rune) bool { return unicode.IsSpace(r) || ofList && r == ',' })
	if end < 0 {
		end = len(p.rest)
	}
	plain := p.rest[:end]
	p.rest = p.rest[end:]
	return quoted + plain
}

// unquote reads a quoted text at the beginning of rest, in which \" is a quote
// and \\ a backslash. size is 0 for none.
func unquote(rest string) (text string, size int) {
	if !strings.HasPrefix(rest, `"`) {
		return "", 0
	}
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch {
		case rest[i] == '"':
			return b.String(), i + 1
		case rest[i] == '\\' && i+1 < len(rest) && (rest[i+1] == '"' || rest[i+1] == '\\'):
			i++
		}
		b.WriteByte(rest[i])
	}
	return "", 0
}
