package internal_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the picture of the rooms to docs/architecture.md")

const (
	pictureFile  = "../docs/architecture.md"
	pictureBegin = "<!-- rooms: generated from internal/imports_test.go by go test ./internal -update -->\n"
	pictureEnd   = "<!-- /rooms -->\n"
)

// The picture in docs/architecture.md shows the table of arrows.
func TestPictureOfRooms(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(pictureFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(text), pictureBegin)
	_, after, ends := strings.Cut(rest, pictureEnd)
	if !begins || !ends {
		t.Fatalf("%s lacks the lines\n%s%s", pictureFile, pictureBegin, pictureEnd)
	}
	want := before + pictureBegin + picture(arrows) + pictureEnd + after
	if *update {
		if err := os.WriteFile(pictureFile, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("the picture of the rooms is not that of the table: run go test ./internal -update and commit docs/architecture.md")
	}
}

// picture returns the table as a Mermaid flowchart, without the arrows that
// follow from others.
func picture(arrows map[string][]string) string {
	var b strings.Builder
	b.WriteString("```mermaid\nflowchart TD\n")
	id := strings.NewReplacer("/", "_").Replace
	for _, from := range slices.Sorted(maps.Keys(arrows)) {
		fmt.Fprintf(&b, "    %s[\"%s\"]\n", id(from), from)
	}
	for _, from := range slices.Sorted(maps.Keys(arrows)) {
		for _, to := range slices.Sorted(slices.Values(arrows[from])) {
			follows := slices.ContainsFunc(arrows[from], func(via string) bool { return via != to && reaches(arrows, via, to) })
			if !follows {
				fmt.Fprintf(&b, "    %s --> %s\n", id(from), id(to))
			}
		}
	}
	b.WriteString("```\n")
	return b.String()
}

// reaches reports whether arrows lead from one room to another.
func reaches(arrows map[string][]string, from, to string) bool {
	return from == to || slices.ContainsFunc(arrows[from], func(next string) bool { return reaches(arrows, next, to) })
}

func TestPictureLeavesOutWhatFollows(t *testing.T) {
	t.Parallel()
	got := picture(map[string][]string{"a": {"b/x", "c"}, "b/x": {"c"}, "c": nil})
	want := "```mermaid\nflowchart TD\n" +
		"    a[\"a\"]\n    b_x[\"b/x\"]\n    c[\"c\"]\n" +
		"    a --> b_x\n    b_x --> c\n```\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
