package jobs

import (
	"strings"
)

// A Suggestion completes a term of a search.
type Suggestion struct {
	Text string `json:"text" doc:"The whole term."`
	Hint string `json:"hint"`
}

// SuggestFor splits a term that is being typed into the qualifier and the typed
// part of its last value, folded. complete turns values into suggestions, or
// qualifiers where the term has none.
func SuggestFor(term string) (key, typed string, complete func(values []Suggestion) []Suggestion) {
	word, ok := qualifier(term)
	if !ok {
		typed = Fold(term)
		return "", typed, func([]Suggestion) (out []Suggestion) {
			for _, q := range Qualifiers {
				if strings.HasPrefix(q.Name, typed) {
					out = append(out, Suggestion{q.Name + ":", q.Hint})
				}
			}
			return out
		}
	}
	key = Fold(word)
	p := searchParser{rest: term[len(word)+1:]}
	last := p.rest
	for p.rest != "" {
		last = p.rest
		if p.value(true); strings.HasPrefix(p.rest, ",") {
			p.rest = p.rest[1:]
			last = p.rest
		} else {
			break
		}
	}
	head := term[:len(term)-len(last)]
	typed = Fold(strings.TrimSuffix(strings.TrimPrefix(last, `"`), `"`))
	return key, typed, func(values []Suggestion) (out []Suggestion) {
		for _, v := range append(values, fixedValues(key)...) {
			if strings.HasPrefix(Fold(v.Text), typed) && len(out) < maxSuggestions {
				out = append(out, Suggestion{head + quoteValue(v.Text), v.Hint})
			}
		}
		return out
	}
}

const maxSuggestions = 12

// fixedValues returns the values of a qualifier that do not depend on the jobs.
func fixedValues(key string) (out []Suggestion) {
	switch key {
	case SearchState:
		for _, s := range States {
			out = append(out, Suggestion{Text: string(s)})
		}
	case SearchPriority:
		out = []Suggestion{{"1", "first"}, {"2", "default"}, {"3", ""}, {"4", "last"}}
	case SearchAge:
		out = []Suggestion{{"<1h", "younger than an hour"}, {"<1d", "younger than a day"}, {"<1w", "younger than a week"}, {">1d", "older than a day"}, {">30d", "older than 30 days"}}
	}
	return out
}
