package sharedcalls

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/allcores/allcores/internal/jobs/engine/tasksocket"
	"github.com/allcores/allcores/internal/jobs/shared"
)

// maxReport is how many bytes a report of progress may have.
const maxReport = 64 << 10

// report answers POST TASK/progress.
func (h *Handlers) report(w http.ResponseWriter, r *http.Request, x tasksocket.Execution, rest string) error {
	if rest != "" {
		return &tasksocket.Problem{Status: http.StatusNotFound, Detail: "The path is …/progress."}
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return &tasksocket.Problem{Status: http.StatusMethodNotAllowed, Detail: "Use POST."}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReport))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &tasksocket.Problem{Status: http.StatusRequestEntityTooLarge, Detail: "A report of progress has more than 64 KiB."}
	}
	if err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	if answer := h.progress(x, body); answer.Err != nil {
		refuse(w, answer.Err)
		return nil
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// progress keeps the progress that a request has.
func (h *Handlers) progress(x tasksocket.Execution, body []byte) shared.Answer {
	var p Progress
	if err := json.Unmarshal(body, &p); err != nil {
		return failure(shared.ErrArgument, `progress is not JSON such as {"fraction": 0.5, "message": "half"}: `+err.Error())
	}
	switch {
	case p.Fraction == nil && p.Message == "":
		return failure(shared.ErrArgument, "progress has neither a fraction nor a message")
	case p.Fraction != nil && (*p.Fraction < 0 || *p.Fraction > 1):
		return failure(shared.ErrArgument, fmt.Sprintf("fraction is %g, not from 0 to 1", *p.Fraction))
	}
	h.Reporter.Report(x, p)
	return shared.Answer{Value: null}
}
