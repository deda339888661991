package views

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// thousands formats n with a comma every three digits.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = digits[:1], digits[1:]
	}
	var b strings.Builder
	b.WriteString(sign)
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// significant formats v with at least three significant digits and the fewest
// decimals for them.
func significant(v float64) string {
	switch a := math.Abs(v); {
	case a >= 99.95:
		return thousands(int64(math.Round(v)))
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

// rate formats tasks per second: "402,118/s", "61.2/s". Below one per second it
// uses minutes or hours.
func rate(perSecond float64) string {
	number, unit := rateParts(perSecond)
	return number + unit
}

func rateParts(perSecond float64) (number, unit string) {
	switch {
	case !(perSecond > 0) || math.IsInf(perSecond, 0):
		return "0", "/s"
	case perSecond >= 0.995:
		return significant(perSecond), "/s"
	case perSecond*60 >= 0.995:
		return significant(perSecond * 60), "/min"
	}
	return significant(perSecond * 3600), "/h"
}

// span formats a duration briefly, with its unit: "4.3 ms", "8.1 s", "1:40",
// "2:03:07", "3 d 4 h".
func span(d time.Duration) string {
	number, unit := spanParts(d)
	if unit == "" {
		return number
	}
	return number + " " + unit
}

// spanParts splits the number from its unit, which is empty for clock forms.
func spanParts(d time.Duration) (number, unit string) {
	switch d = max(d, 0); {
	case d == 0:
		return "0", "s"
	case d < 999500*time.Nanosecond:
		return short(float64(d) / 1e3), "µs"
	case d < 999500*time.Microsecond:
		return short(float64(d) / 1e6), "ms"
	case d < 59950*time.Millisecond:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64), "s"
	}
	return clock(d.Round(time.Second)), ""
}

// short formats v with two significant digits below ten, else as a whole
// number.
func short(v float64) string {
	if v < 9.95 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// clock formats whole seconds as m:ss, h:mm:ss, or days and hours.
func clock(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 3600:
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d d %d h", s/86400, s/3600%24)
}

// ago formats the time since a moment in one unit: "2 s", "12 min", "3 h", "5
// d". relativetimes.js uses the same format.
func ago(d time.Duration) string {
	switch s := int64(max(d, 0) / time.Second); {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min", s/60)
	case s < 48*3600:
		return fmt.Sprintf("%d h", s/3600)
	default:
		return fmt.Sprintf("%d d", s/86400)
	}
}

// size formats bytes in powers of 1024: "512 B", "1.4 MiB".
func size(bytes int64) string {
	if bytes < 1024 {
		return fmt.Sprintf("%d B", bytes)
	}
	v := float64(bytes)
	for _, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if v /= 1024; v < 1023.95 || unit == "TiB" {
			return strconv.FormatFloat(v, 'f', 1, 64) + " " + unit
		}
	}
	return ""
}

// percent formats part of whole. It stays below 100 % until all is done, and
// above 0 % from the first one on.
func percent(part, whole int64) string {
	switch {
	case whole <= 0 || part <= 0:
		return "0 %"
	case part >= whole:
		return "100 %"
	}
	p := 100 * float64(part) / float64(whole)
	return strconv.Itoa(int(min(max(math.Round(p), 1), 99))) + " %"
}

// exact formats a moment for the title of a relative time.
func exact(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04:05.000 UTC") }

// machine formats a moment for the datetime attribute.
func machine(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// clip cuts text to at most n characters, with … in place of the rest.
func clip(text string, n int) string {
	if len(text) <= n || utf8.RuneCountInString(text) <= n {
		return text
	}
	runes := []rune(text[:min(len(text), 4*n)])
	return string(runes[:n-1]) + "…"
}

// plural returns "1 task" or "2,000 tasks".
func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + many
}
