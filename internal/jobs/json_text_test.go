package jobs_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
)

func TestDecodeText(t *testing.T) {
	t.Parallel()
	for quoted, want := range map[string]string{
		`""`:                         "",
		`"a\n\u0000\\udce9\""`:       "a\n\x00\\udce9\"",
		`"x\udce9y"`:                 "x\xe9y",
		`"\uDC80\udcff"`:             "\x80\xff",
		`"\ud83d\ude00\ud83d\udc80"`: "😀💀",
		`"\udce9\ud83d\ude00é"`:      "\xe9😀é",
	} {
		if got, err := jobs.DecodeText([]byte(quoted)); err != nil || got != want {
			t.Errorf("%s: %q %v, want %q", quoted, got, err, want)
		}
	}
	for _, quoted := range []string{`"\ud83d"`, `"\ud83dx"`, `"\ud83d\u0041"`, `"\udc7f"`, `"\udd00"`, `"\udce9\ud800\ud800"`} {
		if got, err := jobs.DecodeText([]byte(quoted)); err == nil {
			t.Errorf("%s: %q", quoted, got)
		}
	}
}

func TestDuplicateName(t *testing.T) {
	t.Parallel()
	many := func(last string) string {
		var b strings.Builder
		for i := range 100 {
			b.WriteString(`"` + strings.Repeat("x", i) + `":{"x":[]},`)
		}
		return "{" + b.String() + last + ":1}"
	}
	for text, want := range map[string]string{
		`{"a":1,"a":2}`:                        "a",
		`[{"a":{"b":1,"c":["a"],"\u0062":2}}]`: "b",
		`{"":1,"":2}`:                          "",
		`{"\udce9":1,"\udce9":1}`:              `"\udce9"`,
		many(`"xxx"`):                          "xxx",
	} {
		if name, found := jobs.DuplicateName([]byte(text)); !found || name != want {
			t.Errorf("%.60s: %q %v", text, name, found)
		}
	}
	for _, text := range []string{`1`, `"{\"a\":1,\"a\":2}"`, `[{"a":1},{"a":2}]`, `{"a":{"a":{"a":[]}},"b":"a,\"b\":"}`, `{"a":["a","a"],"A":"a"}`, many(`"y"`)} {
		if name, found := jobs.DuplicateName([]byte(text)); found {
			t.Errorf("%.60s: %q", text, name)
		}
	}
}

// FuzzText compares texts found in JSON with those of Go's decoder.
func FuzzText(f *testing.F) {
	f.Add([]byte(`{"a":[1e5,{"b":"\ud83d\ude00"}],"a\\":{}}`))
	f.Add([]byte(`"\\\u005cud83d"`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var value any
		if json.Unmarshal(text, &value) != nil || jobs.InvalidUTF8(text) >= 0 {
			return
		}
		jobs.DuplicateName(text)
		quoted, ok := value.(string)
		if trimmed := []byte(strings.TrimSpace(string(text))); ok && jobs.LoneSurrogate(trimmed) < 0 {
			if got, err := jobs.DecodeText(trimmed); err != nil || got != quoted {
				t.Fatalf("%s: %q %v, want %q", text, got, err, quoted)
			}
		}
	})
}
