package views

import (
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// ThemeCookie is the name of the cookie that keeps the theme.
const ThemeCookie = "theme"

// A Nav is an entry of the header.
type Nav string

// The header's entries.
const (
	NavNone   Nav = ""
	NavJobs   Nav = "jobs"
	NavQueues Nav = "queues"
	NavNodes  Nav = "nodes"
	NavDocs   Nav = "docs"
)

// A Page has the parts that all pages share; the pages' structs embed it.
type Page struct {
	Title   string     // of the browser's tab, without the product's name; empty for the page's own
	Nav     Nav        // the current entry of the header; empty for the page's own
	User    *jobs.User // who is signed in; nil for nobody
	Theme   string     // "light" or "dark" from the cookie; anything else follows the system
	Search  string     // text of the search box, as typed
	Live    string     // address of the page's stream; empty when nothing will change
	Retry   bool       // shown in place of a page that cannot be rendered; it reloads until that page can be
	BaseURL string     // scheme and host as the browser sees them, for examples: https://allcores.example
	Version string     // of the server; may be empty
	Now     time.Time  // the time that relative times are relative to

	SearchWrong bool // the text of the search box has an error; #search-error shows it
}

// may reports whether the user has the rights of role.
func (p Page) may(role jobs.Role) bool { return p.User != nil && p.User.Role.Allows(role) }

// userName is the name of who is signed in; empty for nobody.
func (p Page) userName() string {
	if p.User == nil {
		return ""
	}
	return p.User.Name
}

func (p Page) theme() string {
	if p.Theme == "light" || p.Theme == "dark" {
		return p.Theme
	}
	return ""
}

// with fills in the title and the entry of the header where none is given.
func (p Page) with(title string, nav Nav) Page {
	if p.Title == "" {
		p.Title = title
	}
	if p.Nav == NavNone {
		p.Nav = nav
	}
	return p
}

// scripts returns the scripts of a page beside its own.
func (p Page) scripts(own []string) []string {
	names := append([]string{"theme.js", "keys.js", "copy.js", "relativetimes.js"}, own...)
	if p.Live != "" {
		names = append(names, "pageupdates.js")
	}
	if p.User != nil {
		names = append(names, "suggest.js")
	}
	if p.Retry {
		names = append(names, "retry.js")
	}
	return names
}
