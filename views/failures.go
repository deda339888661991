package views

import (
	"regexp"

	"github.com/a-h/templ"

	"github.com/allcores/allcores/internal/jobs"
)

func apiURL(job, path string) templ.SafeURL { return templ.SafeURL("/api/v1/jobs/" + job + path) }

// groupURL returns the address of the results in a group of failures.
func groupURL(job string, group jobs.GroupID) templ.SafeURL {
	return templ.SafeURL(ResultsFilter{Group: group.String()}.URL(job))
}

// A patternPart is text of a pattern, or a placeholder for the differing text.
type patternPart struct {
	text string
	mask bool
}

var maskWord = regexp.MustCompile(`<(number|hex|uuid|text|path|url|email|values)>`)

func patternParts(g jobs.FailureGroup) (parts []patternPart) {
	text := g.Pattern
	if len(g.Messages) <= 1 && g.Count > 0 && g.ID != g.ID.Other() || text == "" {
		return []patternPart{{text: clip(firstLine(g.Message), 300)}}
	}
	text = clip(firstLine(text), 300)
	at := 0
	for _, m := range maskWord.FindAllStringSubmatchIndex(text, -1) {
		if at < m[0] {
			parts = append(parts, patternPart{text: text[at:m[0]]})
		}
		parts = append(parts, patternPart{text: text[m[2]:m[3]], mask: true})
		at = m[1]
	}
	return append(parts, patternPart{text: text[at:]})
}
