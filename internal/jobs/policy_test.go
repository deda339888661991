package jobs

import (
	"encoding/json"
	"testing"
)

func TestFailureLimit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		`0`: 0, `12`: 12, `"12"`: 12, `"5%"`: 50, `"0.1%"`: 1, `"100%"`: 1000, `"32.3%"`: 323,
		`"0.0000000000000000001%"`: -1, `"%"`: -1,
		`-1`: -1, `"101%"`: -1, `"x%"`: -1, `1.5`: -1, `true`: -1, `[1]`: -1,
	} {
		var l FailureLimit
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := l.Of(1000)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%s allows %d of 1000, want %d (%v)", text, got, want, err)
		}
	}
	for text, want := range map[string]string{`12`: `12`, `"5%"`: `"5%"`, `"+5"`: `5`, `"007"`: `7`} {
		var l FailureLimit
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		if back, err := json.Marshal(l); err != nil || string(back) != want {
			t.Errorf("%s is written as %s, %v", text, back, err)
		}
	}
}
