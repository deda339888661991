package views

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/allcores/allcores/internal/jobs"
)

// An ansiStyle holds a terminal's colours, from 1 to 16 with 0 for none, and
// attributes.
type ansiStyle struct {
	fore, back                                 int
	bold, dim, italic, underline, struck, swap bool
}

// class returns the style sheet's classes for the style. On a coloured
// background the text has the page's colour, which is legible on every one of
// them.
func (s ansiStyle) class() string {
	fore, back := s.fore, s.back
	if s.swap {
		fore, back = back, fore
		if back == 0 {
			back = 8 // the colour of white text
		}
	}
	var names []string
	switch {
	case back > 0:
		names = append(names, "bg-"+strconv.Itoa(back-1))
	case fore > 0:
		names = append(names, "fg-"+strconv.Itoa(fore-1))
	}
	for _, a := range []struct {
		on   bool
		name string
	}{{s.bold, "bold"}, {s.dim, "dim"}, {s.italic, "slant"}, {s.underline, "under"}, {s.struck, "struck"}} {
		if a.on {
			names = append(names, a.name)
		}
	}
	return strings.Join(names, " ")
}

// A logSpan is a part of a line with one style.
type logSpan struct{ class, text string }

// An ansiReader turns lines with terminal escapes into spans. A style continues
// in the next line of the same task and stream.
type ansiReader struct {
	styles map[string]ansiStyle
}

// spans splits a line into its parts. Colours and attributes become classes;
// other escapes and control characters are dropped. Of an overwritten line, as
// in progress bars, the last state remains.
func (r *ansiReader) spans(l jobs.LogLine) []logSpan {
	if !strings.ContainsFunc(l.Line, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f || c == 0x9b }) && len(r.styles) == 0 {
		return []logSpan{{"", l.Line}}
	}
	key := strconv.FormatInt(l.Task, 10) + l.Stream
	style := r.styles[key]
	var spans []logSpan
	var text strings.Builder
	put := func() {
		if text.Len() > 0 {
			spans = append(spans, logSpan{style.class(), text.String()})
			text.Reset()
		}
	}
	overwrite := false
	for rest := l.Line; rest != ""; {
		c, size := utf8.DecodeRuneInString(rest)
		switch {
		case c == 0x1b || c == 0x9b:
			sgr, n := escapeLen(rest)
			if sgr != nil {
				put()
				style = style.with(*sgr)
			}
			rest = rest[n:]
			continue
		case c == '\r':
			put()
			overwrite = true
		case c == '\n': // text before it is not overwritten
			overwrite = false
			text.WriteByte('\n')
		case c >= ' ' && c != 0x7f || c == '\t':
			if overwrite {
				spans, overwrite = nil, false
			}
			text.WriteString(rest[:size])
		}
		rest = rest[size:]
	}
	put()
	if style != (ansiStyle{}) {
		if r.styles == nil {
			r.styles = make(map[string]ansiStyle)
		}
		r.styles[key] = style
	} else {
		delete(r.styles, key)
	}
	return spans
}

// escapeLen returns the length of the escape at the start of text, and its
// parameters if it sets colours and attributes (SGR).
func escapeLen(text string) (sgr *string, n int) {
	_, size := utf8.DecodeRuneInString(text)
	i := size
	if text[0] == 0x1b {
		if len(text) == 1 {
			return nil, 1
		}
		switch i = 2; text[1] {
		case '[':
		case ']', 'P', '_', '^', 'X': // up to BEL or ST
			for ; i < len(text); i++ {
				if text[i] == 7 {
					return nil, i + 1
				}
				if text[i] == 0x1b && i+1 < len(text) && text[i+1] == '\\' {
					return nil, i + 2
				}
			}
			return nil, len(text)
		default:
			for i = 1; i < len(text) && text[i] >= 0x20 && text[i] <= 0x2f; i++ {
			}
			_, last := utf8.DecodeRuneInString(text[min(i, len(text)):])
			return nil, min(i+max(last, 1), len(text))
		}
	}
	begin := i
	for i < len(text) && text[i] >= 0x20 && text[i] <= 0x3f {
		i++
	}
	if i == len(text) || text[i] < 0x40 || text[i] > 0x7e {
		return nil, i
	}
	if parameters := text[begin:i]; text[i] == 'm' && !strings.ContainsAny(parameters, "<=>? ") {
		return &parameters, i + 1
	}
	return nil, i + 1
}

// with applies an escape's parameters to the style (ECMA-48, SGR).
func (s ansiStyle) with(parameters string) ansiStyle {
	codes := strings.FieldsFunc(parameters+";", func(c rune) bool { return c == ';' })
	if len(codes) == 0 {
		return ansiStyle{}
	}
	for i := 0; i < len(codes); i++ {
		sub := strings.Split(codes[i], ":")
		n, _ := strconv.Atoi(sub[0])
		switch {
		case n == 0:
			s = ansiStyle{}
		case n == 1:
			s.bold = true
		case n == 2:
			s.dim = true
		case n == 3:
			s.italic = true
		case n == 4 || n == 21:
			s.underline = len(sub) < 2 || sub[1] != "0"
		case n == 7:
			s.swap = true
		case n == 9:
			s.struck = true
		case n == 22:
			s.bold, s.dim = false, false
		case n == 23:
			s.italic = false
		case n == 24:
			s.underline = false
		case n == 27:
			s.swap = false
		case n == 29:
			s.struck = false
		case n >= 30 && n <= 37:
			s.fore = n - 29
		case n >= 40 && n <= 47:
			s.back = n - 39
		case n >= 90 && n <= 97:
			s.fore = n - 81
		case n >= 100 && n <= 107:
			s.back = n - 91
		case n == 39:
			s.fore = 0
		case n == 49:
			s.back = 0
		case n == 38 || n == 48 || n == 58:
			colour, used := extended(slices.Concat(sub[1:], codes[i+1:]), len(sub) > 1)
			if len(sub) == 1 {
				i += used
			}
			if n == 38 {
				s.fore = colour
			} else if n == 48 {
				s.back = colour
			}
		}
	}
	return s
}

// extended reads a colour of the 256 or an RGB colour. It returns the nearest
// of the 16 colours, from 1 on, and the count of numbers that it read.
func extended(numbers []string, colons bool) (colour, used int) {
	at := func(i int) int {
		if i >= len(numbers) {
			return 0
		}
		n, _ := strconv.Atoi(numbers[i])
		return min(max(n, 0), 255)
	}
	switch at(0) {
	case 5:
		switch n := at(1); {
		case n < 16:
			return n + 1, 2
		case n < 232:
			step := func(v int) int {
				if v == 0 {
					return 0
				}
				return 55 + 40*v
			}
			n -= 16
			return nearest(step(n/36), step(n/6%6), step(n%6)), 2
		default:
			grey := 8 + 10*(n-232)
			return nearest(grey, grey, grey), 2
		}
	case 2:
		if colons && len(numbers) >= 5 { // a colour space comes first
			return nearest(at(2), at(3), at(4)), 5
		}
		return nearest(at(1), at(2), at(3)), 4
	}
	return 0, 1
}

// nearest returns the nearest of xterm's 16 colours, from 1 on.
func nearest(red, green, blue int) int {
	best, least := 0, 1<<30
	for i, c := range [16][3]int{
		{0, 0, 0}, {205, 0, 0}, {0, 205, 0}, {205, 205, 0}, {0, 0, 238}, {205, 0, 205}, {0, 205, 205}, {229, 229, 229},
		{127, 127, 127}, {255, 0, 0}, {0, 255, 0}, {255, 255, 0}, {92, 92, 255}, {255, 0, 255}, {0, 255, 255}, {255, 255, 255},
	} {
		r, g, b := red-c[0], green-c[1], blue-c[2]
		if d := r*r + g*g + b*b; d < least {
			best, least = i+1, d
		}
	}
	return best
}
