package views

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestManualHasTheGlossary(t *testing.T) {
	t.Parallel()
	glossary, err := os.ReadFile("../docs/glossary.md")
	if err != nil {
		t.Fatal(err)
	}
	users, code, _ := strings.Cut(string(glossary), "## Words of the code")
	table := func(text string) (rows [][2]string) {
		for _, m := range regexp.MustCompile(`(?m)^\| (.+) \| (.+) \|$`).FindAllStringSubmatch(text, -1) {
			if m[1] != "word" && m[1] != "---" {
				rows = append(rows, [2]string{m[1], m[2]})
			}
		}
		return rows
	}
	if diff := cmp.Diff(table(users), wordRows); diff != "" {
		t.Errorf("docs/glossary.md and the manual (-glossary +manual):\n%s", diff)
	}
	for _, rows := range [][][2]string{table(users), table(code)} {
		if len(rows) == 0 || !slices.IsSortedFunc(rows, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) }) {
			t.Errorf("%d words, not in the order of the alphabet", len(rows))
		}
	}
}
