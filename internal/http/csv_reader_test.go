package http

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/allcores/allcores/internal/jobs"
)

func readCSVText(text string) (records [][]string, err error) {
	r := newCSVReader(bufio.NewReader(iotest.OneByteReader(strings.NewReader(text))), ',')
	for {
		if err := r.read(); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return records, err
		}
		records = append(records, columns(r))
	}
}

func TestReadCSV(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][][]string{
		"":                          nil,
		"\n\r\n\n":                  nil,
		"a,b\r\nc,d":                {{"a", "b"}, {"c", "d"}},
		"a,\n,b\n":                  {{"a", ""}, {"", "b"}},
		"\"\"\na\n":                 {{""}, {"a"}},
		"\"a\r\nb\",\"c\nd\"\r\n":   {{"a\r\nb", "c\nd"}},
		"\"\r\",\"a\rb\"\n":         {{"\r", "a\rb"}},
		"\"a\"\"b\",\"\"\"\"\n":     {{`a"b`, `"`}},
		" a ,\" b \"\n":             {{" a ", " b "}},
		"a\rb\n":                    {{"a\rb"}},
		"\"a\"\r\n\"b\"":            {{"a"}, {"b"}},
		"\xef\xbb\xbfa\n":           {{"\ufeffa"}}, // the mark is the file's, not the reader's
		"\"a, \"\"b\"\"\n\",c\n\nd": {{"a, \"b\"\n", "c"}, {"d"}},
	} {
		got, err := readCSVText(text)
		if err != nil || !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%q: %q %v, want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"a\nb,\"c\nd":    "line 2: a quote is not closed",
		"a\n\"b\nc\"d\n": "line 3: something follows a cell's closing quote",
		"\"b\"\rc\n":     "line 1: something follows a cell's closing quote",
		"a\nb\"c\"\n":    "line 2: a quote stands within a cell",
		"x,y\n1,a \"b\"": "line 2: a quote stands within a cell",
		"\"a\"\r":        "line 1: something follows a cell's closing quote",
		"\"a\" ,\"b\"\n": "line 1: something follows a cell's closing quote",
	} {
		if got, err := readCSVText(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q %v, want %s", text, got, err, want)
		}
	}
}

// randomText returns a text of characters that CSV must quote.
func randomText(r *rand.Rand) string {
	parts := []string{"\r", "\n", "\r\n", `"`, `""`, ",", " ", "\t", "", "a", "ü", "数", "\ufeff", "\x00", ";", "'", `\`, "\u2028", "\u0085"}
	var b strings.Builder
	for range r.IntN(6) {
		b.WriteString(parts[r.IntN(len(parts))])
	}
	return b.String()
}

// TestCSVComesBack checks that the reader reads what csvField writes.
func TestCSVComesBack(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var want []string
	text := []byte(formats["csv"].begin)
	for i := range int64(20_000) {
		want = append(want, randomText(r))
		text = csvLine(text, i, jobs.TaskSucceeded, jobs.AppendString(nil, want[i]))
	}
	records, err := readCSVText(string(text))
	if err != nil || len(records) != len(want)+1 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for i, record := range records[1:] {
		if len(record) != 4 || record[2] != want[i] {
			t.Fatalf("%q became %q", want[i], record)
		}
	}
	// A text with a lone surrogate is written as JSON, not as another text.
	if got := csvLine(nil, 1, jobs.TaskSucceeded, []byte(`"a\udce9"`)); string(got) != "1,succeeded,\"\"\"a\\udce9\"\"\",\r\n" {
		t.Errorf("%q", got)
	}
}

func TestSkipMark(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "a": "a", "\xef\xbb\xbf": "", "\xef\xbb\xbfa": "a", "\xef\xbb\xbf\ufeffa": "\ufeffa", "\xef\xbb": "\xef\xbb", "1\n": "1\n", "a\x00bc": "a\x00bc",
		"\xff\xfe1\x00": "no", "\xfe\xff\x001": "no", "1\x00\n\x002\x00": "no", "\x001\x00\n": "no", "1\x00\x00\x00": "no",
	} {
		for _, r := range []io.Reader{strings.NewReader(text), iotest.DataErrReader(bytes.NewReader([]byte(text)))} {
			b := bufio.NewReader(r)
			got := "no"
			if skipMark(b) {
				rest, _ := io.ReadAll(b)
				got = string(rest)
			}
			if got != want {
				t.Errorf("%q: %q, want %q", text, got, want)
			}
		}
	}
}
