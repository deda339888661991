package jobs

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestTimesAreUTCWithMilliseconds(t *testing.T) {
	t.Parallel()
	at := Time{time.Date(2026, 3, 1, 12, 0, 0, 120_000_000, time.FixedZone("", 3600))}
	text, err := json.Marshal(struct{ At Time }{at})
	if err != nil || !strings.Contains(string(text), `"2026-03-01T11:00:00.120Z"`) {
		t.Errorf("%s, %v", text, err)
	}
}
