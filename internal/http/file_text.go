package http

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/allcores/allcores/internal/jobs"
)

// fileText returns the text of a file as UTF-8, and the name of its encoding if that
// is another. The error is jobs.Invalid for a file that is no text. [sniffed] bytes
// can be peeked.
func fileText(file io.Reader) (text *bufio.Reader, encoding string, err error) {
	text = bufio.NewReaderSize(file, sniffed)
	head, err := text.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", err
	}
	if what := binaryWord(head); what != "" {
		return nil, "", inFile("is %s, not text; export its inputs as CSV, NDJSON or lines", what)
	}
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe\x00\x00")), bytes.HasPrefix(head, []byte("\x00\x00\xfe\xff")):
		return nil, "", inFile(wrongEncoding)
	case bytes.HasPrefix(head, []byte("\xff\xfe")), looksUTF16(head, 1):
		return bufio.NewReaderSize(&utf16Reader{file: text}, sniffed), "UTF-16", nil
	case bytes.HasPrefix(head, []byte("\xfe\xff")), looksUTF16(head, 0):
		return bufio.NewReaderSize(&utf16Reader{file: text, big: true}, sniffed), "UTF-16", nil
	}
	return text, "", nil
}

// binaryWord names the kind of a binary file by its start. It returns "" if it may
// be text.
func binaryWord(head []byte) string {
	for _, m := range []struct{ magic, word string }{
		{"PK\x03\x04", "a ZIP archive or an Excel workbook"},
		{"\x1f\x8b", "compressed by gzip"},
		{"\x28\xb5\x2f\xfd", "compressed by zstd"},
		{"BZh", "compressed by bzip2"},
		{"\xfd7zXZ\x00", "compressed by xz"},
		{"PAR1", "a Parquet file"},
		{"SQLite format 3\x00", "an SQLite database"},
		{"\xd0\xcf\x11\xe0", "an old Excel workbook"},
		{"%PDF-", "a PDF document"},
	} {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.word
		}
	}
	return ""
}

// looksUTF16 reports whether text without a byte order mark is UTF-16: every
// byte at an odd (1) or even (0) place is zero at its beginning, and no other.
func looksUTF16(head []byte, zeros int) bool {
	head = head[:min(len(head), 64)&^1]
	for i, b := range head {
		if (b == 0) != (i%2 == zeros) {
			return false
		}
	}
	return len(head) >= 4
}

// A utf16Reader reads UTF-16 as UTF-8, without a byte order mark. Text that is not
// UTF-16 ends it with jobs.Invalid: nothing is replaced.
type utf16Reader struct {
	file  *bufio.Reader
	big   bool
	at    int64 // bytes read of the file
	ready []byte
	err   error // what ended it
}

func (r *utf16Reader) Read(p []byte) (int, error) {
	for len(r.ready) == 0 {
		if r.err == nil {
			r.err = r.fill()
		}
		if r.err != nil {
			return 0, r.err
		}
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// fill decodes what is buffered, at least one character.
func (r *utf16Reader) fill() error {
	r.ready = nil
	for len(r.ready) == 0 || r.file.Buffered() >= 4 && len(r.ready) < 32<<10 {
		at := r.at
		unit, err := r.unit()
		if err != nil {
			if errors.Is(err, io.EOF) && len(r.ready) > 0 {
				return nil
			}
			return err
		}
		if unit == 0xfeff && at == 0 {
			continue
		}
		if utf16.IsSurrogate(unit) {
			low, err := r.unit()
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if unit = utf16.DecodeRune(unit, low); unit == utf8.RuneError {
				return notUTF16(at)
			}
		}
		r.ready = utf8.AppendRune(r.ready, unit)
	}
	return nil
}

func (r *utf16Reader) unit() (rune, error) {
	var b [2]byte
	n, err := io.ReadFull(r.file, b[:])
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, notUTF16(r.at)
	}
	r.at += int64(n)
	if r.big {
		b[0], b[1] = b[1], b[0]
	}
	return rune(b[0]) | rune(b[1])<<8, err
}

func notUTF16(at int64) error {
	return jobs.Invalid{{Location: atFile, Message: fmt.Sprintf("is not UTF-16 at byte %d", at)}}
}
