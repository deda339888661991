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

// A Qualifier is what may stand before a colon in a search.
type Qualifier struct {
	Name string
	Hint string // what it selects, in a few words
}

// Qualifiers lists every qualifier in the order in which they are suggested.
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
	maxSearchValues = 50 // of one term
)

// A Search selects jobs: those for which every term holds.
type Search []SearchTerm

// A SearchTerm is one condition of a search.
type SearchTerm struct {
	Raw string // as it was typed
	Not bool
	Key string // one of the qualifiers; empty for text in the name or the program

	// Values are alternatives, folded for comparison. They are empty for ages and
	// times of creation.
	Values []string

	Younger, Older time.Duration // bounds of the age; 0 for none
	From, To       time.Time     // bounds of the time of creation: From <= t < To; zero for none
}

// ParseSearch reads a search: words, "words in quotes", qualifier:value,
// qualifier:one,or,another, and - before what must not hold. Each term of q is a
// term of the search or a violation, whose value is the term as typed. A search
// with violations has the other terms only.
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

// Fold brings text into the form in which searches compare it: without case.
func Fold(text string) string { return strings.ToLower(text) }

// FoldAll folds each of the texts.
func FoldAll(texts []string) []string {
	folded := make([]string, len(texts))
	for i, text := range texts {
		folded[i] = Fold(text)
	}
	return folded
}

// States are the states that a search lets pass.
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

// SearchFor writes a term of a search: the values of a qualifier, quoted where
// they must be.
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

// A Suggestion is how a term of a search may go on.
type Suggestion struct {
	Text string `json:"text" doc:"The whole term."`
	Hint string `json:"hint"`
}

// SuggestFor takes a term that is being typed apart: the qualifier and what is
// typed of its last value, folded. Complete makes suggestions of values, or of
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

// fixedValues are the values of a qualifier that are the same everywhere.
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

// Without is the search as typed, without the terms of a qualifier.
func (s Search) Without(qualifier string) Search {
	var rest Search
	for _, term := range s {
		if term.Key != qualifier {
			rest = append(rest, term)
		}
	}
	return rest
}

// String is the search as it was typed, with single spaces.
func (s Search) String() string {
	raw := make([]string, len(s))
	for i, term := range s {
		raw[i] = term.Raw
	}
	return strings.Join(raw, " ")
}

// Only is the value of a qualifier that the search has once, with one value that
// must hold; else empty.
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

// A searchParser reads what is left of a search.
type searchParser struct{ rest string }

// skipSpace reports whether something but space is left.
func (p *searchParser) skipSpace() bool {
	p.rest = strings.TrimLeftFunc(p.rest, unicode.IsSpace)
	return p.rest != ""
}

// term reads the next term. The message says what is wrong with it; it is empty
// when nothing is.
func (p *searchParser) term() (t SearchTerm, message string) {
	begin := p.rest
	t.Not = negated(p.rest)
	if t.Not {
		p.rest = p.rest[1:]
	}
	key, isQualifier := qualifier(p.rest)
	if !isQualifier {
		t.Values = []string{Fold(p.value(false))}
		t.Raw = begin[:len(begin)-len(p.rest)]
		return t, ""
	}
	p.rest = p.rest[len(key)+1:]
	t.Key = Fold(key)
	var values []string
	for {
		if v := p.value(true); v != "" {
			values = append(values, v)
		}
		if !strings.HasPrefix(p.rest, ",") {
			break
		}
		p.rest = p.rest[1:]
	}
	t.Raw = begin[:len(begin)-len(p.rest)]
	return t, t.take(key, values)
}

// negated reports whether a term that begins rest must not hold. A dash before
// a space and two dashes, as of an option, are text.
func negated(rest string) bool {
	after, ok := strings.CutPrefix(rest, "-")
	if !ok || after == "" || after[0] == '-' {
		return false
	}
	r, _ := utf8.DecodeRuneInString(after)
	return !unicode.IsSpace(r)
}

// qualifier is the word before a colon at the beginning of rest. One that is not
// known is text in an address (http://…) and a name (std::sort).
func qualifier(rest string) (word string, ok bool) {
	n := 0
	for n < len(rest) && (rest[n]|0x20 >= 'a' && rest[n]|0x20 <= 'z' || n > 0 && rest[n] == '_') {
		n++
	}
	if n == 0 || n == len(rest) || rest[n] != ':' {
		return "", false
	}
	after := rest[n+1:]
	return rest[:n], knownQualifier(Fold(rest[:n])) || !strings.HasPrefix(after, "//") && !strings.HasPrefix(after, ":")
}

func knownQualifier(name string) bool {
	return slices.ContainsFunc(Qualifiers, func(q Qualifier) bool { return q.Name == name })
}

// value reads up to the next space, and of a list up to the next comma. A part
// in quotes at its beginning may contain both. A quote that is not closed is
// text.
func (p *searchParser) value(ofList bool) string {
	var quoted string
	if text, size := unquote(p.rest); size > 0 {
		quoted, p.rest = text, p.rest[size:]
	}
	end := strings.IndexFunc(p.rest, func(r rune) bool { return unicode.IsSpace(r) || ofList && r == ',' })
	if end < 0 {
		end = len(p.rest)
	}
	plain := p.rest[:end]
	p.rest = p.rest[end:]
	return quoted + plain
}

// unquote reads a text in quotes at the beginning of rest, in which \" is a
// quote and \\ a backslash; size is 0 where there is none.
func unquote(rest string) (text string, size int) {
	if !strings.HasPrefix(rest, `"`) {
		return "", 0
	}
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch {
		case rest[i] == '"':
			return b.String(), i + 1
		case rest[i] == '\\' && i+1 < len(rest) && (rest[i+1] == '"' || rest[i+1] == '\\'):
			i++
		}
		b.WriteByte(rest[i])
	}
	return "", 0
}

// take gives the term the values of its qualifier, which was typed as key.
func (t *SearchTerm) take(key string, values []string) (message string) {
	switch {
	case !knownQualifier(t.Key):
		names := make([]string, len(Qualifiers))
		for i, q := range Qualifiers {
			names[i] = q.Name + ":"
		}
		return fmt.Sprintf(`there is no qualifier %s: but %s; put the term in quotes to search for it as text`, clipped(key), strings.Join(names, " "))
	case len(values) == 0:
		return t.Key + ": needs a value"
	case len(values) > maxSearchValues:
		return fmt.Sprintf("%s: takes at most %d values", t.Key, maxSearchValues)
	}
	switch t.Key {
	case SearchAge, SearchCreated:
		if len(values) > 1 {
			return t.Key + ": takes one value; write several terms for a range"
		}
		if t.Key == SearchAge {
			return t.age(values[0])
		}
		return t.created(values[0])
	}
	for _, v := range values {
		folded, message := searchValue(t.Key, v)
		if message != "" {
			return message
		}
		t.Values = append(t.Values, folded)
	}
	return ""
}

// searchValue brings a value of a qualifier into the form in which it is compared.
func searchValue(key, value string) (folded, message string) {
	folded = Fold(value)
	switch key {
	case SearchState:
		if !State(folded).Valid() {
			return "", fmt.Sprintf("%s is no state; state: takes %s", clipped(value), StateNames())
		}
	case SearchPriority:
		if len(folded) != 1 || folded < "1" || folded > "4" {
			return "", fmt.Sprintf("%s is no priority; priority: takes 1 to 4", clipped(value))
		}
	case SearchID:
		folded = strings.ReplaceAll(folded, "-", "")
		if folded == "" || len(folded) > 32 || !allHex(folded) {
			return "", fmt.Sprintf("%s does not begin an id; id: takes up to 32 hexadecimal digits", clipped(value))
		}
	}
	return folded, ""
}

// IDPrefix is text without dashes if it may be the beginning of an id that
// somebody copied: at least 8 hexadecimal digits; else empty.
func IDPrefix(text string) string {
	digits := strings.ReplaceAll(text, "-", "")
	if len(digits) < 8 || len(digits) > 32 || !allHex(digits) {
		return ""
	}
	return digits
}

func allHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// StateNames lists the states in the order of a job's life, for messages.
func StateNames() string {
	states := []string{string(Open), string(Queued), string(Running), string(Paused), string(Succeeded), string(Failed), string(Cancelled)}
	return strings.Join(states, ", ")
}

// age reads <2d or >1h.
func (t *SearchTerm) age(value string) (message string) {
	wrong := fmt.Sprintf("%s is no age; write age:<2d or age:>12h (s, m, h, d, w)", clipped(value))
	over, value, ok := relation(value)
	if !ok {
		return wrong
	}
	d, ok := searchDuration(value)
	if !ok {
		return wrong
	}
	if over {
		t.Older = d
	} else {
		t.Younger = d
	}
	return ""
}

// relation cuts < <= > or >= off; over is true for the last two.
func relation(value string) (over bool, rest string, ok bool) {
	if value == "" || value[0] != '<' && value[0] != '>' {
		return false, value, false
	}
	return value[0] == '>', strings.TrimPrefix(value[1:], "="), true
}

var searchUnits = []struct {
	name string
	unit time.Duration
}{
	{"min", time.Minute}, {"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}, {"w", 7 * 24 * time.Hour},
}

// searchDuration reads a whole number of units, from 1 s to about 100 years.
func searchDuration(text string) (time.Duration, bool) {
	for _, u := range searchUnits {
		digits, ok := strings.CutSuffix(Fold(text), u.name)
		if !ok || digits == "" || len(digits) > 9 || strings.Trim(digits, "0123456789") != "" {
			continue
		}
		n := 0
		for _, digit := range digits {
			n = 10*n + int(digit-'0')
		}
		if n == 0 || int64(n) > int64(100*365*24*time.Hour/u.unit) {
			return 0, false
		}
		return time.Duration(n) * u.unit, true
	}
	return 0, false
}

// created reads a day, month or year in UTC, alone or after < <= > >=.
func (t *SearchTerm) created(value string) (message string) {
	_, date, compares := relation(value)
	for _, form := range []struct {
		layout              string
		years, months, days int
	}{{time.DateOnly, 0, 0, 1}, {"2006-01", 0, 1, 0}, {"2006", 1, 0, 0}} {
		begin, err := time.Parse(form.layout, date)
		if err != nil || begin.Year() < 1 {
			continue
		}
		end := begin.AddDate(form.years, form.months, form.days)
		switch {
		case !compares:
			t.From, t.To = begin, end
		case strings.HasPrefix(value, ">="):
			t.From = begin
		case strings.HasPrefix(value, ">"):
			t.From = end
		case strings.HasPrefix(value, "<="):
			t.To = end
		default:
			t.To = begin
		}
		return ""
	}
	return fmt.Sprintf("%s is no date; write created:2025-01-31, created:>2025-01 or created:<2025, in UTC", clipped(value))
}
