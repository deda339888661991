package turns

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTurnsAreKnownAsSeenWhileTheyRun(t *testing.T) {
	t.Parallel()
	s := seen{ended: make(map[int64]time.Time)}
	s.arrived(1)
	s.arrived(2)
	s.gone(2)
	s.note(3, time.Now().Add(-2*rememberEnded))
	ids := s.ids()
	slices.Sort(ids)
	if diff := cmp.Diff([]int64{1, 2}, ids); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
	if len(s.ended) != 2 {
		t.Errorf("%d turns are remembered", len(s.ended))
	}
}
