package jobs

import "strings"

// Placeholders of a command's arguments, as GNU parallel names them.
const (
	PlaceholderInput       = "{}"   // the input as text
	PlaceholderIndex       = "{#}"  // the task's index
	PlaceholderNoExtension = "{.}"  // the input without its extension
	PlaceholderBase        = "{/}"  // what follows the input's last slash
	PlaceholderDirectory   = "{//}" // the input's directory
	PlaceholderBareBase    = "{/.}" // the base without its extension
)

var placeholders = []string{
	PlaceholderInput, PlaceholderIndex, PlaceholderNoExtension, PlaceholderBase, PlaceholderDirectory, PlaceholderBareBase,
}

// NextPlaceholder returns the offset and name of the first placeholder in s.
// Without one, name is empty and at is the length of s.
func NextPlaceholder(s string) (at int, name string) {
	for at := 0; at < len(s); at++ {
		if s[at] != '{' {
			continue
		}
		for _, name := range placeholders {
			if strings.HasPrefix(s[at:], name) {
				return at, name
			}
		}
	}
	return len(s), ""
}
