package jobs

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestUnicode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ have, want string }{
		{`"\u6570\u636e"`, `"数据"`},
		{`{"\u00fc":["\ud83d\ude00",1]}`, `{"ü":["😀",1]}`},
		{`"\\u6570 \" \\\\u6570 \\\u6570"`, `"\\u6570 \" \\\\u6570 \\数"`},
		{`"\ud83d"`, `"\ud83d"`},
		{`"\ude00\ud83d\u00e4\ud83dx\ud83d\\"`, `"\ude00\ud83dä\ud83dx\ud83d\\"`},
		{`"\ud83d\ud83d\ude00"`, `"\ud83d😀"`},
		{`"\u0000\u001b\u0022\u005c\u007f\u0085\u2028\u2029\u00a0"`, "\"\\u0000\\u001b\\u0022\\u005c\\u007f\\u0085\\u2028\\u2029\u00a0\""},
		{`"\ufffd\uFEFF\uABCD"`, "\"\ufffd\ufeffꯍ\""},
		{`"数"`, `"数"`},
		{`123`, `123`},
		{``, ``},
		{`"\u12`, `"\u12`},
		{`\`, `\`},
		{`"\u12g4"`, `"\u12g4"`},
	} {
		if got := string(AppendUnicode([]byte("x"), []byte(c.have))); got != "x"+c.want {
			t.Errorf("%s becomes %s, want %s", c.have, got[1:], c.want)
		}
		if got := string(Unicode([]byte(c.have))); got != c.want {
			t.Errorf("%s becomes %s, want %s", c.have, got, c.want)
		}
	}
}

func FuzzUnicode(f *testing.F) {
	f.Add(`["\u6570\\u6570\ud83d\ude00\ud83d"]`)
	f.Fuzz(func(t *testing.T, text string) {
		var before, after any
		if json.Unmarshal([]byte(text), &before) != nil {
			return
		}
		got := AppendUnicode(nil, []byte(text))
		if err := json.Unmarshal(got, &after); err != nil {
			t.Fatalf("%q becomes %q: %v", text, got, err)
		}
		a, _ := json.Marshal(before)
		b, _ := json.Marshal(after)
		if !bytes.Equal(a, b) || strings.ContainsAny(string(got), "\n") && !strings.Contains(text, "\n") {
			t.Errorf("%q becomes %q", text, got)
		}
	})
}
