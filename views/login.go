package views

// Names of the fields of the sign-in form.
const (
	FieldToken = "token"
	FieldNext  = "next"
)

// A LoginPage is the sign-in form at /login, rendered by [Login].
type LoginPage struct {
	Page
	Next  string // path to go to once signed in; empty for /
	Error string // a sentence on what is wrong with the token; empty at first
}
