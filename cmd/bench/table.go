package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A figure sums up a contender's rounds, as text and as the time that is compared.
type figure func(rounds [][]time.Duration) (text string, time time.Duration)

// wall returns the time of the best round, and the median. Where a round has several
// times, each has a label and the first counts.
func wall(labels ...string) figure {
	return func(rounds [][]time.Duration) (string, time.Duration) {
		var parts []string
		for i := range rounds[0] {
			best, median := bestAndMedian(rounds, i)
			part := both(rounds, duration(best), duration(median))
			if i < len(labels) {
				part = labels[i] + " " + part
			}
			parts = append(parts, part)
		}
		best, _ := bestAndMedian(rounds, 0)
		return strings.Join(parts, ", "), best
	}
}

// perSecond returns the rate of n tasks.
func perSecond(n int) figure {
	return func(rounds [][]time.Duration) (string, time.Duration) {
		best, median := bestAndMedian(rounds, 0)
		rate := func(d time.Duration) string { return thousands(significant(float64(n) / d.Seconds())) }
		return both(rounds, rate(best), rate(median)) + " tasks/s", best
	}
}

// share returns the least possible time of the work on the processes, as a share of
// the measured time. Tasks cannot be split, so the least time is at least the
// longest task's.
func (b *bench) share(work, longest time.Duration) figure {
	ideal := max(work/time.Duration(b.processes), longest)
	return func(rounds [][]time.Duration) (string, time.Duration) {
		best, median := bestAndMedian(rounds, 0)
		of := func(d time.Duration) string { return fmt.Sprintf("%.2f", ideal.Seconds()/d.Seconds()) }
		return both(rounds, of(best), of(median)), best
	}
}

// quantiles takes all samples of all rounds: the best round alone would hide the
// tail.
func quantiles(rounds [][]time.Duration) (string, time.Duration) {
	samples := slices.Sorted(slices.Values(slices.Concat(rounds...)))
	p50, p99 := samples[len(samples)/2], samples[len(samples)*99/100]
	return fmt.Sprintf("p50 %s, p99 %s", duration(p50), duration(p99)), p50
}

// bestAndMedian returns the best and the median of the times at an index.
func bestAndMedian(rounds [][]time.Duration, index int) (best, median time.Duration) {
	times := make([]time.Duration, len(rounds))
	for i, round := range rounds {
		times[i] = round[index]
	}
	slices.Sort(times)
	middle := len(times) / 2
	return times[0], (times[middle] + times[(len(times)-1)/2]) / 2
}

// both formats the best, with the median in parentheses if there are several rounds.
func both(rounds [][]time.Duration, best, median string) string {
	if len(rounds) == 1 {
		return best
	}
	return best + " (" + median + ")"
}

func duration(d time.Duration) string {
	if d < time.Second {
		return digits(d.Seconds()*1000) + " ms"
	}
	return digits(d.Seconds()) + " s"
}

// digits formats a value from 1 on with three significant digits.
func digits(value float64) string {
	decimals := 0
	switch {
	case value < 9.995:
		decimals = 2
	case value < 99.95:
		decimals = 1
	}
	return strconv.FormatFloat(value, 'f', decimals, 64)
}

// significant rounds to three significant digits.
func significant(value float64) int {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(value, 'g', 3, 64), 64)
	if err != nil {
		panic(err) // it was just formatted
	}
	return int(rounded + 0.5)
}

// thousands formats a number with a comma between each three digits.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// table returns the results as Markdown.
func (b *bench) table(ctx context.Context, results []result) string {
	var t strings.Builder
	fmt.Fprintf(&t, "%s; %s.\n", b.machine(), b.versions(ctx))
	if b.runs > 1 {
		fmt.Fprintf(&t, "Best of %d rounds, the median in parentheses; latencies are of all rounds.\n", b.runs)
	}
	t.WriteString("The ratio is how many times as fast as the peer Allcores is.\n\n")
	t.WriteString("| | Allcores | peers | ratio |\n| --- | --- | --- | --- |\n")
	for _, r := range results {
		ours, reference := r.cell(0)
		var peers, ratios []string
		for i := 1; i < len(r.contenders); i++ {
			text, time := r.cell(i)
			ratio := "–"
			if time > 0 && reference > 0 {
				ratio = digits(time.Seconds() / reference.Seconds())
			}
			peers = append(peers, r.contenders[i].name+": "+text)
			ratios = append(ratios, ratio)
		}
		fmt.Fprintf(&t, "| %s | %s | %s | %s |\n", r.what, ours, strings.Join(peers, "<br>"), strings.Join(ratios, "<br>"))
	}
	return t.String()
}

// cell returns one contender's figure; the time is 0 for none.
func (r result) cell(i int) (string, time.Duration) {
	switch lacks := r.contenders[i].lacks; {
	case len(lacks) > 0:
		return "– (" + strings.Join(lacks, ", ") + ")", 0
	case len(r.rounds[i]) == 0:
		return "failed", 0
	}
	return r.figure(r.rounds[i])
}

// machine describes the machine.
func (b *bench) machine() string {
	text := fmt.Sprintf("%d cores", b.processes)
	info, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return text // not Linux
	}
	defer info.Close()
	for lines := bufio.NewScanner(info); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return text + " (" + strings.TrimSpace(value) + ")"
		}
	}
	return text
}

// versions lists the versions of the installed peers.
func (b *bench) versions(ctx context.Context) string {
	text := "Python " + b.python.version
	for _, name := range []string{"joblib", "celery"} {
		if version := b.python.modules[name]; version != "" {
			text += ", " + name + " " + version
		}
	}
	for _, argv := range [][]string{{"redis-server", "--version"}, {"parallel", "--version"}} {
		// A missing peer has no version.
		if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output(); err == nil {
			line, _, _ := strings.Cut(string(out), "\n")
			if strings.HasPrefix(line, "Redis server v=") {
				line = "Redis " + strings.Fields(line)[2][len("v="):]
			}
			text += ", " + line
		}
	}
	return text
}
