package shared

import "net/http"

// Status returns the HTTP status for an error of the kind.
func (kind ErrorKind) Status() int {
	switch kind {
	case ErrArgument, ErrType, ErrOverflow, ErrBounds, ErrDiffers:
		return http.StatusUnprocessableEntity
	case ErrIndex, ErrKey:
		return http.StatusNotFound
	case ErrSuperseded, ErrRemoved:
		return http.StatusGone
	case ErrUnavailable:
		return http.StatusServiceUnavailable
	case ErrMismatch, ErrValue, ErrEmpty, ErrFull, ErrTimeout, ErrEOF, ErrClosed, ErrOwner, ErrBroken, ErrDeadlock:
	}
	return http.StatusConflict
}
