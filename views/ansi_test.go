package views

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/allcores/allcores/internal/jobs"
)

func TestANSI(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, want string }{
		{"plain\ttext", "plain\ttext"},
		{"\x1b[31mred\x1b[0m plain", "(fg-1|red) plain"},
		{"\x1b[1;92mok\x1b[m", "(fg-10 bold|ok)"},
		{"\x1b[2;4mdim\x1b[22munder\x1b[24m", "(dim under|dim)(under|under)"},
		{"\x1b[44mon blue\x1b[31m red\x1b[49m red", "(bg-4|on blue)(bg-4| red)(fg-1| red)"},
		{"\x1b[7mswapped\x1b[27m", "(bg-7|swapped)"},
		{"\x1b[38;5;196mred\x1b[38;5;2mgreen\x1b[38;5;244mgrey", "(fg-9|red)(fg-2|green)(fg-8|grey)"},
		{"\x1b[38;2;250;10;10mred\x1b[38:2::0:0:230mblue\x1b[39m", "(fg-9|red)(fg-4|blue)"},
		{"\x1b[38;5;1;1mred", "(fg-1 bold|red)"},
		{"a\x1b[2Kb\x1b[1;1Hc\x1b[?25ld\x1b(Be\x1b=f\x1b]8;;http://x\x07link\x1b]8;;\x1b\\g\x07\bh", "abcdeflinkgh"},
		{"10 %\r50 %\r100 %", "100 %"},
		{"50 %\r", "50 %"},
		{"50 %\r100 %\r\nx", "100 %\nx"},
		{"\x1b[31m50 %\r\x1b[32m100 %\x1b[0m\r", "(fg-2|100 %)"},
		{"\x1b", ""}, {"\x1b[", ""}, {"\x1b[31", ""}, {"\x1b]open", ""}, {"x\u009b31my", "x(fg-1|y)"}, {"\x1b数", ""},
		{"<b>&\x1b[1m<i>", "<b>&(bold|<i>)"},
	} {
		var b strings.Builder
		for _, s := range new(ansiReader).spans(jobs.LogLine{Line: c.line}) {
			if s.class != "" {
				b.WriteString("(" + s.class + "|" + s.text + ")")
			} else {
				b.WriteString(s.text)
			}
		}
		if b.String() != c.want {
			t.Errorf("%q becomes %q, want %q", c.line, b.String(), c.want)
		}
	}
	// A style continues in the next line of its task and stream.
	var r ansiReader
	var got [][]logSpan
	for _, l := range []jobs.LogLine{{Task: 1, Line: "\x1b[31ma"}, {Task: 2, Line: "b"}, {Task: 1, Line: "c\x1b[0m"}, {Task: 1, Line: "d"}} {
		got = append(got, r.spans(l))
	}
	if diff := cmp.Diff([][]logSpan{{{"fg-1", "a"}}, {{"", "b"}}, {{"fg-1", "c"}}, {{"", "d"}}}, got, cmp.AllowUnexported(logSpan{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzANSI(f *testing.F) {
	f.Add("\x1b[38;5;1mx\r\x1b]8;;\x07")
	f.Fuzz(func(t *testing.T, line string) {
		for _, s := range new(ansiReader).spans(jobs.LogLine{Line: line}) {
			if strings.ContainsAny(s.text, "\x1b\r\x07") {
				t.Errorf("%q leaves %q", line, s.text)
			}
		}
	})
}
