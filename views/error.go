package views

import (
	"net/http"

	"github.com/allcores/allcores/internal/jobs"
)

// An ErrorPage reports why a request failed. [Error] renders it.
type ErrorPage struct {
	Page
	Status     int          // 401, 403, 404, 409, 422, 500, 503, …
	Message    string       // a sentence for the user; empty for the status's default
	Violations jobs.Invalid // violations of the request, if known
	RequestID  string       // appears in the server's log; may be empty
}

// errorTexts give the title and the explanation of each status that pages use.
var errorTexts = map[int][2]string{
	400: {"Bad request", "The server cannot read this request."},
	401: {"Not signed in", "Sign in to see this page."},
	403: {"Not allowed", "Your role does not allow this. An administrator can change your role."},
	404: {"Not found", "This page does not exist, or it belongs to someone else."},
	405: {"Not possible", "This address does not accept this kind of request."},
	409: {"Not possible now", "This is not possible in the current state. Go back to see the current state."},
	413: {"Too large", "The request is larger than the server accepts."},
	422: {"Invalid request", "The request has errors."},
	429: {"Too many requests", "Wait a moment before you try again."},
	500: {"Server error", "The server failed to answer. Running jobs go on, and nothing that was submitted is lost."},
	503: {"Not available", "The database does not answer. Running tasks go on. Try again in a moment."},
}

func errorTitle(status int) string {
	if t, ok := errorTexts[status]; ok {
		return t[0]
	}
	return http.StatusText(status)
}

func errorText(status int) string { return errorTexts[status][1] }
