package http

import "bufio"

// wrongEncoding is the message for a text of another encoding.
const wrongEncoding = "is UTF-16 or UTF-32; save it as UTF-8"

// skipMark skips a byte order mark of UTF-8, with which some editors begin a file.
// It reports whether the rest may be UTF-8. It waits for no more bytes than the mark
// has.
func skipMark(text *bufio.Reader) bool {
	first, err := text.Peek(1)
	if err != nil {
		return true
	}
	switch first[0] {
	case 0xEF:
		if mark, _ := text.Peek(3); string(mark) == "\xEF\xBB\xBF" {
			_, _ = text.Discard(3)
		}
		return true
	case 0xFE, 0xFF: // never a character of UTF-8; alone, the error names its line
		mark, _ := text.Peek(2)
		return string(mark) != "\xFE\xFF" && string(mark) != "\xFF\xFE"
	}
	// Without a mark, each Latin character is beside a NUL.
	begin, _ := text.Peek(min(4, text.Buffered()))
	if len(begin) < 4 {
		return true
	}
	return !(begin[0] == 0 && begin[1] != 0 && begin[2] == 0 && begin[3] != 0 ||
		begin[0] != 0 && begin[1] == 0 && begin[2] != 0 && begin[3] == 0 ||
		begin[0] != 0 && begin[1] == 0 && begin[2] == 0 && begin[3] == 0)
}
