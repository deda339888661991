package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
)

// FuzzInputLines reads anything as NDJSON: what comes out is one line of compact
// JSON each, as many as the text has lines that are not blank, or a violation
// that names a line.
func FuzzInputLines(f *testing.F) {
	for _, seed := range []string{"", "1\n2\n", "\n\n", `{"a": [1, 2]}`, "\"\xff\"\n", "1 2\n", "[[[", strings.Repeat("x", 70_000), "\"a\\nb\"\r\n3", "\xff", "\xfe\n", "\xff\xfe1\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		head := text[:min(4, len(text))]
		encoded := bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) || bytes.IndexByte(head, 0) >= 0
		n := 0
		for line, err := range inputLines(bytes.NewReader(text), "body", jsonLine(jobs.Program{})) {
			if err != nil {
				var invalid jobs.Invalid
				if !errors.As(err, &invalid) || len(invalid) != 1 || !strings.Contains(invalid[0].Message, "line ") && !(invalid[0].Message == wrongEncoding && encoded) {
					t.Fatalf("%q: %v", text, err)
				}
				return
			}
			if !json.Valid(line) || bytes.ContainsRune(line, '\n') {
				t.Fatalf("%q became %q", text, line)
			}
			n++
		}
		want := 0
		for line := range bytes.SplitSeq(text, []byte{'\n'}) {
			if len(bytes.TrimSpace(line)) > 0 {
				want++
			}
		}
		if n != want {
			t.Fatalf("%q has %d inputs, want %d", text, n, want)
		}
	})
}
