package views

import (
	"math"
	"testing"
	"time"
)

func TestFormats(t *testing.T) {
	check := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %q, want %q", what, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 7: "7", 999: "999", 1000: "1,000", -1234567: "-1,234,567", -100: "-100", math.MaxInt64: "9,223,372,036,854,775,807"} {
		check("thousands", thousands(n), want)
	}
	for v, want := range map[float64]string{0: "0/s", -1: "0/s", math.Inf(1): "0/s", math.NaN(): "0/s", 402118.4: "402,118/s", 99.96: "100/s", 61.24: "61.2/s", 9.996: "10.0/s", 1: "1.00/s", 0.5: "30.0/min", 0.01: "36.0/h", 0.0166: "1.00/min"} {
		check("rate", rate(v), want)
	}
	for d, want := range map[time.Duration]string{
		0: "0 s", -time.Second: "0 s", 20 * time.Nanosecond: "0.0 µs", 21 * time.Microsecond: "21 µs", 4300 * time.Microsecond: "4.3 ms",
		9960 * time.Microsecond: "10 ms", 999600 * time.Microsecond: "1.0 s", 8100 * time.Millisecond: "8.1 s", 59940 * time.Millisecond: "59.9 s",
		59960 * time.Millisecond: "1:00", 100 * time.Second: "1:40", time.Hour: "1:00:00", 7384 * time.Second: "2:03:04", 76 * time.Hour: "3 d 4 h",
	} {
		check("span", span(d), want)
	}
	for d, want := range map[time.Duration]string{-time.Hour: "0 s", 2 * time.Second: "2 s", 59999 * time.Millisecond: "59 s", time.Minute: "1 min", time.Hour: "1 h", 47 * time.Hour: "47 h", 48 * time.Hour: "2 d", 400 * 24 * time.Hour: "400 d"} {
		check("ago", ago(d), want)
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1468006: "1.4 MiB", 64 << 30: "64.0 GiB", 1 << 40: "1.0 TiB", 1 << 52: "4096.0 TiB", 1<<20 - 1: "1.0 MiB"} {
		check("size", size(n), want)
	}
	for _, p := range []struct {
		part, whole int64
		want        string
	}{{0, 0, "0 %"}, {0, 5, "0 %"}, {1, 1_000_000, "1 %"}, {999_999, 1_000_000, "99 %"}, {5, 5, "100 %"}, {1, 3, "33 %"}} {
		check("percent", percent(p.part, p.whole), p.want)
	}
	for text, want := range map[string]string{"": "", "abcd": "abcd", "abcde": "abc…", "äöüß": "äöüß", "äöüßx": "äöü…", "\xff\xfe\xfd\xfc\xfb": "\ufffd\ufffd\ufffd…"} {
		check("clip", clip(text, 4), want)
	}
	check("plural", plural(1, "task", "tasks"), "1 task")
	check("plural", plural(2000, "task", "tasks"), "2,000 tasks")
	check("exact", exact(time.Date(2025, 3, 4, 5, 6, 7, 89e6, time.FixedZone("", 3600))), "4 Mar 2025, 04:06:07.089 UTC")
}
