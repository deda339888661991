package jobs

import (
	"fmt"
	"strings"
	"time"
)

// take sets the values of the term's qualifier, which was typed as key.
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

// searchValue returns a qualifier's value in the form that is compared.
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

// IDPrefix returns text without dashes if it may be the beginning of a copied id:
// at least 8 hexadecimal digits; else empty.
func IDPrefix(text string) string {
	digits := strings.ReplaceAll(text, "-", "")
	if len(digits) < 8 || len(digits) > 32 || !allHex(digits) {
		return ""
	}
	return digits
}

func allHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// StateNames returns the names of the states for messages.
func StateNames() string {
	states := []string{string(Open), string(Queued), string(Running), string(Paused), string(Succeeded), string(Failed), string(Cancelled)}
	return strings.Join(states, ", ")
}

// age parses <2d or >1h.
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

// searchDuration parses a whole number of units, from 1 s to about 100 years.
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

// created parses a day, month or year in UTC, alone or after < <= > >=.
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
