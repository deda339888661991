package insight

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

func placesText(r *Report) string {
	text := counted(r.Lanes, "lane")
	if r.Threads > 1 {
		text += fmt.Sprintf(" of %d threads", r.Threads)
	}
	return text
}

// waited returns sentences for shares from 5 % on without a slot, or with nothing
// to claim.
func waited(r *Report) (text string) {
	if r.Shares.Waiting >= 0.05 {
		text += fmt.Sprintf(" For %s of the time they had no slot.", percent(r.Shares.Waiting))
	}
	if r.Shares.Idle >= 0.05 {
		text += fmt.Sprintf(" For %s of the time there was nothing to claim.", percent(r.Shares.Idle))
	}
	return text
}

func counted(n int, word string) string {
	if n != 1 {
		word += "s"
	}
	return strconv.Itoa(n) + " " + word
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * float64(time.Second))) }

// percent formats a share of 1, with a digit after the point below 10 %.
func percent(share float64) string {
	p := 100 * share
	if p > 0 && p < 9.95 {
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	}
	return strconv.FormatFloat(max(p, 0), 'f', 0, 64) + " %"
}

// ratio formats a factor, with two digits after the point below 10.
func ratio(v float64) string {
	if v < 9.95 {
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

// spell formats a duration with at least two significant digits.
func spell(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}, {1, "ns"}} {
		if d < u.unit && u.unit > 1 {
			continue
		}
		v := float64(d) / float64(u.unit)
		if v < 9.95 && u.unit > 1 {
			return strconv.FormatFloat(v, 'f', 1, 64) + " " + u.name
		}
		return strconv.FormatFloat(v, 'f', 0, 64) + " " + u.name
	}
	return "0 s"
}
