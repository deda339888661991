package views

// Names of the fields of the sign-in form.
const (
	FieldToken = "token"
	FieldNext  = "next"
)

// A LoginPage holds the sign-in form at /login. [Login] renders it.
type LoginPage struct {
	Page
	Next  string // path to open after signing in; empty for /
	Error string // a sentence that explains why the token is refused; empty at first
}
