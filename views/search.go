package views

import (
	"net/url"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
)

// A Search is a filter of the list of jobs.
type Search struct {
	State jobs.State // empty for all
	Queue string
	Tag   string
	Text  string // words of the name or the program
}

// ParseSearch reads what stands in the search box: state:failed queue:io tag:x
// and words. A term that is no such filter, and a state that there is not,
// counts as text. Of two terms of one kind the last one counts.
func ParseSearch(q string) Search {
	var s Search
	var words []string
	for _, term := range strings.Fields(q) {
		key, value, found := strings.Cut(term, ":")
		switch {
		case found && key == "state" && jobs.State(value).Valid():
			s.State = jobs.State(value)
		case found && key == "queue" && value != "":
			s.Queue = value
		case found && key == "tag" && value != "":
			s.Tag = value
		default:
			words = append(words, term)
		}
	}
	s.Text = strings.Join(words, " ")
	return s
}

// String is s as it is typed into the search box.
func (s Search) String() string {
	var terms []string
	if s.State != "" {
		terms = append(terms, "state:"+string(s.State))
	}
	if s.Queue != "" {
		terms = append(terms, "queue:"+s.Queue)
	}
	if s.Tag != "" {
		terms = append(terms, "tag:"+s.Tag)
	}
	if s.Text != "" {
		terms = append(terms, s.Text)
	}
	return strings.Join(terms, " ")
}

// Empty reports whether s filters nothing.
func (s Search) Empty() bool { return s == Search{} }

// URL is the address of the list of jobs under s, from cursor on.
func (s Search) URL(cursor string) string { return listURL("/", s, cursor) }

// LiveURL is the address of the stream of the list under s, from cursor on.
func (s Search) LiveURL(cursor string) string { return listURL("/live", s, cursor) }

func listURL(path string, s Search, cursor string) string {
	v := url.Values{}
	if q := s.String(); q != "" {
		v.Set("q", q)
	}
	if cursor != "" {
		v.Set("cursor", cursor)
	}
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
}

// in is s for the jobs of another state.
func (s Search) in(state jobs.State) Search {
	s.State = state
	return s
}
