package web

import (
	"context"
	"strings"
	"testing"

	"github.com/allcores/allcores/views"
)

// A page that cannot be rendered costs its own streams, not the process.
func TestHubOutlivesAPanic(t *testing.T) {
	t.Parallel()
	broken := &pageTelling{fill: func(context.Context) ([]views.Fragment, bool, error) {
		return []views.Fragment{{ID: "broken"}}, false, nil // without a component
	}}
	view, err := (&hub{look: broken.look}).safely(t.Context())
	if view != nil || err == nil || !strings.Contains(err.Error(), "panic: ") || !strings.Contains(err.Error(), "fragment.go") {
		t.Errorf("%v, %v", view, err)
	}
}
