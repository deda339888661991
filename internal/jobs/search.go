package jobs

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The qualifiers of a search.
const (
	SearchState    = "state"
	SearchQueue    = "queue"
	SearchTag      = "tag"
	SearchOwner    = "owner"
	SearchID       = "id"
	SearchName     = "name"
	SearchPriority = "priority"
	SearchCreated  = "created"
	SearchAge      = "age"
)

// A Qualifier is a word that may precede a colon in a search.
type Qualifier struct {
	Name string
	Hint string // what it selects
}

// Qualifiers lists every qualifier in the order of the suggestions.
var Qualifiers = []Qualifier{
	{SearchState, "running, failed, …"},
	{SearchTag, "has this tag"},
	{SearchQueue, "in this queue"},
	{SearchOwner, "submitted by"},
	{SearchName, "the name contains"},
	{SearchID, "the id begins with"},
	{SearchAge, "age:<2d, age:>1h"},
	{SearchCreated, "created:>2025-01-31"},
	{SearchPriority, "1 (first) to 4"},
}

// Bounds of a search.
const (
	MaxSearchRunes  = 1000
	maxSearchTerms  = 20
	maxSearchValues = 50 // per term
)

// A Search selects the jobs for which every term holds.
type Search []SearchTerm

// A SearchTerm is one condition of a search.
type SearchTerm struct {
	Raw string // as typed
	Not bool
	Key string // one of the qualifiers; empty for text in the name or the program

	// Values are alternatives, folded for comparison. They are empty for ages and
	// times of creation.
	Values []string

	Younger, Older time.Duration // bounds of the age; 0 for none
	From, To       time.Time     // bounds of the time of creation: From <= t < To; zero for none
}

// ParseSearch parses a search: words, "words in quotes", qualifier:value,
// qualifier:one,or,another, and - before a term that must not hold. Each term of q
// becomes a term of the search, or a violation whose value is the term as typed.
func ParseSearch(q string) (Search, Invalid) {
	if n := utf8.RuneCountInString(q); n > MaxSearchRunes {
		return nil, Invalid{{Message: fmt.Sprintf("at most %d characters; it has %d", MaxSearchRunes, n)}}
	}
	if !utf8.ValidString(q) || strings.ContainsRune(q, 0) {
		return nil, Invalid{{Message: "must be UTF-8 without NUL characters"}}
	}
	var search Search
	var found Invalid
	p := searchParser{rest: q}
	for p.skipSpace() {
		if len(search)+len(found) == maxSearchTerms {
			return search, append(found, Violation{Message: fmt.Sprintf("at most %d terms", maxSearchTerms)})
		}
		term, message := p.term()
		if message != "" {
			found = append(found, Violation{Message: message, Value: term.Raw})
			continue
		}
		search = append(search, term)
	}
	return search, found
}

// Fold returns text in the form that searches compare: without case.
func Fold(text string) string { return strings.ToLower(text) }

// FoldAll folds each of the texts.
func FoldAll(texts []string) []string {
	folded := make([]string, len(texts))
	for i, text := range texts {
		folded[i] = Fold(text)
	}
	return folded
}

// States returns the states that a search accepts.
func (s Search) States() []State {
	var out []State
	for _, state := range States {
		passes := true
		for _, term := range s {
			if term.Key == SearchState && slices.Contains(term.Values, string(state)) == term.Not {
				passes = false
			}
		}
		if passes {
			out = append(out, state)
		}
	}
	return out
}

// SearchFor returns a term of a search: a qualifier with values, quoted where
// necessary.
func SearchFor(qualifier string, values ...string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quoteValue(v)
	}
	return qualifier + ":" + strings.Join(quoted, ",")
}

func quoteValue(v string) string {
	if v == "" || strings.HasPrefix(v, `"`) || strings.ContainsFunc(v, func(r rune) bool { return unicode.IsSpace(r) || r == ',' }) {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`
	}
	return v
}

// Without returns the search as typed, without the terms of a qualifier.
func (s Search) Without(qualifier string) Search {
	var rest Search
	for _, term := range s {
		if term.Key != qualifier {
			rest = append(rest, term)
		}
	}
	return rest
}

// String returns the search as typed, with single spaces.
func (s Search) String() string {
	raw := make([]string, len(s))
	for i, term := range s {
		raw[i] = term.Raw
	}
	return strings.Join(raw, " ")
}

// Only returns the value of a qualifier that the search has once, with one value
// and not negated; else empty.
func (s Search) Only(qualifier string) string {
	value := ""
	for _, term := range s {
		if term.Key != qualifier {
			continue
		}
		if value != "" || term.Not || len(term.Values) != 1 {
			return ""
		}
		value = term.Values[0]
	}
	return value
}
