package store

import (
	"bytes"
	"strconv"
)

// cut shortens s to at most n bytes at a character's border and replaces NULs, which
// text columns cannot hold.
func cut(s string, n int) string {
	s = string(bytes.ToValidUTF8(bytes.ReplaceAll([]byte(s), []byte{0}, []byte("�")), []byte("�")))
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}

// nullable returns nil for empty text.
func nullable(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// arrayText returns numbers as the text of a Postgres array. A parameter cannot be an
// array of arrays of different lengths.
func arrayText[T int32 | int64](numbers []T) string {
	text := []byte{'{'}
	for i, n := range numbers {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, int64(n), 10)
	}
	return string(append(text, '}'))
}

// escapeNUL replaces U+0000 in JSON, which jsonb cannot hold.
func escapeNUL(text []byte) []byte {
	return bytes.ReplaceAll(text, []byte(`\u0000`), []byte(`\ufffd`))
}
