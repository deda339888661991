package views

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
)

func TestValuesShowTheirRepr(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]shownValue{
		`[1, true]`: {Text: `[1, true]`},
		`{"$allcores":"pickle","repr":"(1, 2)","size":17,"data":"gAWV"}`:                  {Text: "(1, 2)", Python: true, Encoded: true, Size: 17},
		`{"$allcores": "pickle", "data": "gAWV", "repr": "a\nb", "size": 9}`:              {Text: "a\nb", Python: true, Encoded: true, Size: 9},
		`{"$allcores":"blob","repr":"array([0.])","size":16000000,"sha256":"ab"}`:         {Text: "array([0.])", Python: true, Encoded: true, Size: 16000000, SHA256: "ab"},
		`{"$allcores":"pickle","repr":"<P 1>","size":17,"data":"gAW`:                      {Text: "<P 1>", Python: true, Encoded: true, Size: 17},
		`{"$allcores":"pickle","repr":"half \u00e`:                                        {Text: "half …", Python: true, Encoded: true},
		`{"$allcores":"pickle","data":"gAW`:                                               {Text: "<pickled>", Python: true, Encoded: true},
		`{"$allcores"`:                                                                    {Text: "<pickled>", Python: true, Encoded: true},
		`{"a":[1,{"$allcores":"pickle","repr":"{1}","size":3,"data":""},null],"b":"<x>"}`: {Text: `{"a": [1, {1}, None], "b": "<x>"}`, Python: true},
	} {
		if got := showValue(json.RawMessage(value)); got != want {
			t.Errorf("%s: %+v, want %+v", value, got, want)
		}
	}
}

func TestInputsOfTheClientAreCalls(t *testing.T) {
	t.Parallel()
	j := &jobs.Job{Program: jobs.Program{Python: &jobs.Python{Source: "import allcores\ncall = allcores._program('{}')\n"}}}
	for input, want := range map[string]string{
		`{"fn":"__main__:square","args":[7]}`:                                                                                  `square(7)`,
		`{"fn":"pkg.mod:C.f","args":["x",[true,null],{"k":1}]}`:                                                                `pkg.mod.C.f("x", [True, None], {"k": 1})`,
		`{"fn":"m:f","args":[1],"kwargs":{"a":2,"b":"c"},"modules":"ff"}`:                                                      `m.f(1, a=2, b="c")`,
		`{"fn":"m:f","kwargs":{"a":2}}`:                                                                                        `m.f(a=2)`,
		`{"fn":"m:f","args":[]}`:                                                                                               `m.f()`,
		`{"fn":"m:f","call":{"$allcores":"pickle","repr":"((1, 2),)","size":3}}`:                                               `m.f((1, 2))`,
		`{"fn":"<lambda>","call":{"$allcores":"pickle","repr":"(1, 2)","size":3},"by":"cloudpickle"}`:                          `<lambda>(1, 2)`,
		`{"fn":"m:f","args":[{"$allcores":"blob","repr":"array([…])","size":9,"sha256":"ab"},{"$allcores":"same","index":0}]}`: `m.f(array([…]), <argument 1 again>)`,
		`{"fn":"m:f","args":["long`:                                                                                            `m.f("long…")`,
		`{"fn":"m:f","args":[1,`:                                                                                               `m.f(1, …)`,
		`[1]`:                                                                                                                  `[1]`,
	} {
		if got := showInput(j, json.RawMessage(input)); got.Text != want {
			t.Errorf("%s: %s, want %s", input, got.Text, want)
		}
		// However an input is cut, it is shown, and in time.
		for n := range len(input) {
			if got := showInput(j, json.RawMessage(input[:n])); len(got.Text) > len(input)+20 {
				t.Errorf("%s: %s", input[:n], got.Text)
			}
		}
	}
	arrays := `{"fn":"m:f","args":[{"$allcores":"pickle","repr":"a(1,\n  2)","size":3,"data":""},{"$allcores":"blob","repr":"b","size":6,"sha256":"ab"}]}`
	if got := showInput(j, json.RawMessage(arrays)); got.rowSize(0) != 9 || got.line(100) != "m.f(a(1, 2), b)" {
		t.Errorf("%s of %d bytes", got.line(100), got.rowSize(0))
	}
	ordinary := &jobs.Job{Program: jobs.Program{Python: &jobs.Python{Source: "def f(x): return x\n"}}}
	if got := showInput(ordinary, json.RawMessage(`{"fn":"m:f"}`)).Text; got != `{"fn":"m:f"}` {
		t.Errorf("an ordinary input is shown as %s", got)
	}
}

func FuzzShowValue(f *testing.F) {
	j := &jobs.Job{Program: jobs.Program{Python: &jobs.Python{Source: "allcores._program("}}}
	f.Add(`{"fn":"m:f","args":[1,{"$allcores":"pickle","repr":"x"}],"kwargs":{"a":[]}}`)
	f.Add(`{"$allcores":"pickle","repr":{"a":[}`)
	f.Fuzz(func(t *testing.T, value string) {
		if got := showInput(j, json.RawMessage(value)); len(got.Text) > 8*len(value)+100 {
			t.Errorf("%q is shown as %q", value, strings.ToValidUTF8(got.Text, "?"))
		}
	})
}
