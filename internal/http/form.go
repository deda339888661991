package http

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
)

// formMemory is how much of a form is kept in memory; the rest is kept in files.
const formMemory = 16 << 20

// parseForm reads a form of either encoding into r.PostForm. (net/http drops a
// plain form of more than 10 MB without an error where it looks for both.)
func parseForm(r *http.Request) error {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case "multipart/form-data":
		if err := r.ParseMultipartForm(formMemory); err != nil {
			return formError(err)
		}
	case "application/x-www-form-urlencoded":
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return formError(err)
		}
		if r.PostForm, err = url.ParseQuery(string(text)); err != nil {
			return formError(err)
		}
	default:
		r.PostForm = url.Values{}
	}
	return nil
}

// formError returns the error for a form that could not be read.
func formError(err error) error {
	switch {
	case errors.Is(err, errTooLarge) || errors.Is(err, errSlowBody) || errors.Is(err, errBrokenBody):
		return err
	case errors.Is(err, multipart.ErrMessageTooLarge):
		return tooLarge("/jobs/new", maxFieldBytes)
	}
	return explained(fmt.Errorf("%w: %w", errBrokenBody, err), errBrokenBody, "The form could not be read.")
}
