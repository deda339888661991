package storetest

// SetTemplates sets the prefix of templates' names and how many stay.
func SetTemplates(p string, n int) { prefix, keep = p, n }
