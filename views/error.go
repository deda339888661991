package views

import (
	"net/http"

	"github.com/allcores/allcores/internal/jobs"
)

// An ErrorPage tells that a request cannot be answered as asked, rendered by
// [Error].
type ErrorPage struct {
	Page
	Status     int          // 401, 403, 404, 409, 422, 500, 503, …
	Message    string       // a sentence for the user; empty for the status's own
	Violations jobs.Invalid // what is wrong with the request, where that is known
	RequestID  string       // to be found in the server's log; may be empty
}

// errorTexts are the title and the explanation of the statuses that pages use.
var errorTexts = map[int][2]string{
	400: {"Bad request", "The server cannot make sense of this request."},
	401: {"Not signed in", "This page is for those who are signed in."},
	403: {"Not allowed", "Your role does not allow this. An administrator can change it."},
	404: {"Not found", "There is nothing here, or it belongs to someone else."},
	405: {"Not possible", "This address does not take such a request."},
	409: {"Not possible now", "What you asked for is impossible in the present state. Go back and look what it is now."},
	413: {"Too large", "This is more than the server takes in one request."},
	422: {"Not acceptable", "Something in the request is wrong."},
	429: {"Too often", "Please wait a moment before you try again."},
	500: {"Something broke", "It is not your fault. Running jobs go on, and nothing that was submitted is lost."},
	503: {"Not available", "The database does not answer. Running tasks go on; try again in a moment."},
}

func errorTitle(status int) string {
	if t, ok := errorTexts[status]; ok {
		return t[0]
	}
	return http.StatusText(status)
}

func errorText(status int) string { return errorTexts[status][1] }
