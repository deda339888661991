package views

import (
	"embed"
	"fmt"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

// An example is a submission to start from, and a section of the gallery.
type example struct {
	name  string // in addresses
	title string
	short string // its title in the navigation
	about string // the Python or shell feature that it shows
	spec  jobs.Spec
	when  string // when to use the feature, in three sentences

	// verdict is the kind of the verdict in the example's speed-up report; empty if
	// the example is too short for one. why explains it.
	verdict insight.VerdictKind
	why     string

	listed bool // on the page New job
}

func ptr[T any](v T) *T { return &v }

//go:embed examples/*.py
var exampleFiles embed.FS

// pythonExample returns the program of an example: a function of a file in the
// folder examples.
func pythonExample(file, function string) jobs.Program {
	source, err := exampleFiles.ReadFile("examples/" + file + ".py")
	if err != nil {
		panic(err)
	}
	return jobs.Program{Python: &jobs.Python{Source: string(source), Function: function}}
}

// rangeOf returns the numbers from 0 to stop as inputs.
func rangeOf(stop int64) jobs.Inputs { return jobs.Inputs{Range: &jobs.Range{Stop: stop, Step: 1}} }

// Example returns the form with the values of the named example.
func Example(name string) (NewJobForm, bool) {
	for _, e := range examples {
		if e.name == name {
			return FormOf(e.spec), true
		}
	}
	return NewJobForm{}, false
}

// listed returns the examples that the page New job offers.
func listed() []example {
	var list []example
	for _, e := range examples {
		if e.listed {
			list = append(list, e)
		}
	}
	return list
}

// exampleChapters returns the chapters of the gallery.
func exampleChapters() []chapterLink {
	links := make([]chapterLink, len(examples))
	for i, e := range examples {
		links[i] = chapterLink{e.name, e.short}
	}
	return links
}

// An ExamplesPage holds the gallery of examples at /docs/examples. [Examples]
// renders it.
type ExamplesPage struct{ Page }

// A GalleryExample is what tests check of an example: its form, and the kind of
// the verdict that the gallery promises.
type GalleryExample struct {
	Name    string
	Spec    jobs.Spec
	Verdict insight.VerdictKind
}

// Gallery lists the examples of the page at /docs/examples.
func Gallery() []GalleryExample {
	list := make([]GalleryExample, len(examples))
	for i, e := range examples {
		list[i] = GalleryExample{Name: e.name, Spec: e.spec, Verdict: e.verdict}
	}
	return list
}

// program returns the text of the example's program.
func (e *example) program() string {
	if e.spec.Program.Python != nil {
		return e.spec.Program.Python.Source
	}
	return joinWords(e.spec.Program.Command.Argv)
}

// conditions returns the number of tasks, the inputs, the queue and the policy.
func (e *example) conditions() string {
	parts := []string{plural(e.spec.Inputs.Count(), "task", "tasks")}
	if r := e.spec.Inputs.Range; r != nil && r.Step == 1 {
		parts = append(parts, fmt.Sprintf("inputs from %s to %s", thousands(r.Start), thousands(r.Stop-1)))
	} else if r != nil {
		parts = append(parts, fmt.Sprintf("inputs %s, %s, %s, …", thousands(r.Start), thousands(r.Start+r.Step), thousands(r.Start+2*r.Step)))
	}
	if e.spec.Queue != "" {
		parts = append(parts, "queue "+e.spec.Queue)
	}
	for _, set := range []struct {
		name  string
		value *int
	}{{"processes", e.spec.Policy.Processes}, {"threads", e.spec.Policy.Threads}, {"chunk_size", e.spec.Policy.ChunkSize}} {
		if set.value != nil {
			parts = append(parts, fmt.Sprintf("%s %d", set.name, *set.value))
		}
	}
	return strings.Join(parts, " · ")
}
