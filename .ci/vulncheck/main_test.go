package main

import (
	"slices"
	"strings"
	"testing"
)

const report = `{"osv":{"id":"GO-1","summary":"called"}}
{"osv":{"id":"GO-2","summary":"imported"}}
{"finding":{"osv":"GO-1","fixed_version":"v1.2.0","trace":[{"module":"m","version":"v1.1.0","package":"m"}]}}
{"finding":{"osv":"GO-1","fixed_version":"v1.2.0","trace":[{"module":"m","version":"v1.1.0","package":"m","function":"F"},{"package":"p","function":"main"}]}}
{"finding":{"osv":"GO-2","trace":[{"module":"n","version":"v1.0.0","package":"n"}]}}`

func TestJudge(t *testing.T) {
	for name, test := range map[string]struct {
		accepted string
		want     []string
	}{
		"nothing accepted": {"# none\n", []string{"GO-1: called (m@v1.1.0, fixed in v1.2.0), reached from p.main"}},
		"accepted":         {"GO-1 the input is ours", nil},
		"accepted in vain": {"GO-1 the input is ours\nGO-2 not called\n", []string{
			"GO-2: accepted, but the code does not reach it: remove the line"}},
	} {
		found, err := parseReport(strings.NewReader(report))
		if err != nil {
			t.Fatal(err)
		}
		reasons, err := parseAccepted(test.accepted)
		if err != nil {
			t.Fatal(err)
		}
		if got := judge(found, reasons); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
	if _, err := parseAccepted("\nGO-1 \n"); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a line without a reason: %v", err)
	}
}
