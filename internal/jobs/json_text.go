package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// AppendString appends s as a JSON string. s must be valid UTF-8.
func AppendString(dst []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			plain = false
			break
		}
	}
	if plain {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		panic(fmt.Sprintf("a string is always JSON: %v", err))
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// DecodeText decodes a JSON string. A lone surrogate
// from U+DC80 to U+DCFF stands for the byte 80 to FF, as in Python's
// surrogateescape (PEP 383). Any other lone surrogate is an error. Go's own
// decoder would replace them all by U+FFFD.
func DecodeText(quoted []byte) (string, error) {
	rest := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(rest, '\\') < 0 {
		return string(rest), nil
	}
	var out strings.Builder
	for {
		at := LoneSurrogate(rest)
		part := rest
		if at >= 0 {
			part = rest[:at]
		}
		var text string
		if err := json.Unmarshal(append(append([]byte{'"'}, part...), '"'), &text); err != nil {
			return "", fmt.Errorf("decode text: %w", err)
		}
		out.WriteString(text)
		if at < 0 {
			return out.String(), nil
		}
		r := hex4(rest[at+2:])
		if r < 0xDC80 || r > 0xDCFF {
			return "", fmt.Errorf("has the lone surrogate U+%04X, which stands for no character and no byte", r)
		}
		out.WriteByte(byte(r - 0xDC00))
		rest = rest[at+6:]
	}
}

// LoneSurrogate returns the offset in JSON of the first escape of an unpaired
// surrogate, or -1.
func LoneSurrogate(text []byte) int {
	for i := 0; i < len(text); {
		next := bytes.IndexByte(text[i:], '\\')
		if next < 0 {
			return -1
		}
		i += next
		switch r := escape(text[i:]); {
		case r < 0:
			i += 2 // another escape, such as \n or \\
		case r < 0xD800 || r > 0xDFFF:
			i += 6
		case r < 0xDC00 && len(text) >= i+12 && escape(text[i+6:]) >= 0xDC00 && escape(text[i+6:]) <= 0xDFFF:
			i += 12
		default:
			return i
		}
	}
	return -1
}

// escape returns the code unit of the \uXXXX with which text begins, or -1.
func escape(text []byte) int {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	return hex4(text[2:])
}

func hex4(digits []byte) int {
	n, err := strconv.ParseUint(string(digits[:4]), 16, 16)
	if err != nil {
		return -1
	}
	return int(n)
}

// InvalidUTF8 returns the offset of the first byte that is not UTF-8, or -1.
func InvalidUTF8(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// DuplicateName returns the first name that an object in text has twice. Readers
// would keep only one of the two values. text must be JSON.
func DuplicateName(text []byte) (name string, found bool) {
	if bytes.IndexByte(text, '{') < 0 {
		return "", false
	}
	var open []memberNames
	naming := false // the next string is a name
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			naming = text[i] == '{'
			open = append(open, memberNames{object: naming})
		case '}', ']':
			open, naming = open[:len(open)-1], false
		case ',':
			naming = open[len(open)-1].object
		case '"':
			end := stringEnd(text, i)
			if naming && !open[len(open)-1].add(text[i:end]) {
				return decodedName(text[i:end]), true
			}
			i, naming = end-1, false
		}
	}
	return "", false
}

// stringEnd returns the offset after the JSON string that begins at i.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return min(i+1, len(text))
}

// memberNames are the names of one object so far: a list while they are few.
type memberNames struct {
	object bool
	few    []string
	many   map[string]struct{}
}

const fewNames = 8

// add adds a name and reports whether it is new.
func (m *memberNames) add(quoted []byte) bool {
	name := decodedName(quoted)
	if m.many != nil {
		if _, twice := m.many[name]; twice {
			return false
		}
		m.many[name] = struct{}{}
		return true
	}
	for _, other := range m.few {
		if other == name {
			return false
		}
	}
	if m.few = append(m.few, name); len(m.few) > fewNames {
		m.many = make(map[string]struct{}, 2*len(m.few))
		for _, name := range m.few {
			m.many[name] = struct{}{}
		}
	}
	return true
}

// decodedName returns a member's name; one with a lone surrogate stays quoted.
func decodedName(quoted []byte) string {
	if LoneSurrogate(quoted) >= 0 {
		return string(quoted)
	}
	name, err := DecodeText(quoted)
	if err != nil {
		return string(quoted)
	}
	return name
}

// twiceNamed returns the message for a duplicate name.
func twiceNamed(name string) string {
	return fmt.Sprintf("has two members of the name %s in one object; one of them would be lost", strconv.Quote(clipped(name)))
}

// infiniteNumber returns the first number in text that overflows a float: Python's
// reader would make it infinite. text must be JSON.
func infiniteNumber(text []byte) (number string, found bool) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			i = stringEnd(text, i) - 1
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(text) && strings.IndexByte("0123456789.eE+-", text[end]) >= 0 {
				end++
			}
			token := text[i:end]
			if bytes.ContainsAny(token, ".eE") && len(token) > 4 {
				if _, err := strconv.ParseFloat(string(token), 64); errors.Is(err, strconv.ErrRange) {
					return string(token), true
				}
			}
			i = end - 1
		}
	}
	return "", false
}

// clipped returns text, shortened for a message.
func clipped(text string) string {
	const most = 60
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
