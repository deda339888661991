package jobs

import (
	"bytes"
	"encoding/json"
	"unicode/utf16"
	"unicode/utf8"
)

// AppendUnicode appends a JSON value to dst with its characters beyond ASCII as
// UTF-8 instead of \u escapes. It keeps the escapes of control characters, of line
// ends of Unicode, at which readers of lines would split, and of unpaired
// surrogates, which UTF-8 lacks. The value stays the same. Text without an escape
// is copied at once.
func AppendUnicode(dst []byte, value []byte) []byte {
	for {
		i := bytes.IndexByte(value, '\\')
		if i < 0 || i+1 == len(value) {
			return append(dst, value...)
		}
		dst, value = append(dst, value[:i]...), value[i:]
		if value[1] != 'u' {
			dst, value = append(dst, value[:2]...), value[2:]
			continue
		}
		r, n := escaped(value)
		if r < 0xa0 || r == 0x2028 || r == 0x2029 {
			dst, value = append(dst, value[:min(6, len(value))]...), value[min(6, len(value)):]
			continue
		}
		dst, value = utf8.AppendRune(dst, r), value[n:]
	}
}

// Unicode returns a JSON value as AppendUnicode writes it.
func Unicode(value json.RawMessage) json.RawMessage {
	if !bytes.Contains(value, []byte(`\u`)) {
		return value
	}
	return AppendUnicode(make([]byte, 0, len(value)), value)
}

// escaped returns the character of the escape with which value begins, and the
// length of the escape. It returns -1 for an unpaired surrogate or no escape.
func escaped(value []byte) (r rune, n int) {
	r = rune(escape(value))
	switch {
	case !utf16.IsSurrogate(r):
		return r, 6
	case len(value) >= 12:
		if both := utf16.DecodeRune(r, rune(escape(value[6:]))); both != utf8.RuneError {
			return both, 12
		}
	}
	return -1, 0
}
