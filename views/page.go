package views

import (
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// ThemeCookie is the name of the cookie that stores the theme.
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

// A Page holds the data that all pages share; the pages' structs embed it.
type Page struct {
	Title   string     // of the browser's tab, without the product's name; empty for the page's default
	Nav     Nav        // the current entry of the header; empty for the page's default
	User    *jobs.User // the signed-in user; nil for none
	Theme   string     // "light" or "dark" from the cookie; anything else follows the system
	Search  string     // text of the search box, as typed
	Live    string     // address of the page's stream; empty when nothing will change
	Retry   bool       // replaces a page that cannot be rendered, and reloads until it can
	BaseURL string     // scheme and host as the browser sees them, for examples: https://allcores.example
	Version string     // of the server; may be empty
	Now     time.Time  // the reference of relative times

	SearchWrong bool // the search has an error, which #search-error shows
}

// may reports whether the user has the rights of role.
func (p Page) may(role jobs.Role) bool { return p.User != nil && p.User.Role.Allows(role) }

// userName returns the name of the signed-in user, or an empty name.
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

// with sets a missing title and entry of the header.
func (p Page) with(title string, nav Nav) Page {
	if p.Title == "" {
		p.Title = title
	}
	if p.Nav == NavNone {
		p.Nav = nav
	}
	return p
}

// scripts returns the page's own scripts and those of every page.
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
