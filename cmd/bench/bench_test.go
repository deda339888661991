package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

var small = sizes{
	million: 20_000, cpu: 20, short: 10, long: 2, commands: 20, pythons: 4, inputs: 500,
	samples: samples{idle: 5, loaded: 1}, batch: 20, jobs: 5, tasksOfEach: 100,
	crowd: crowd{jobs: 3, active: 8, probes: 2, settle: 100 * time.Millisecond, idle: time.Second},
}

// scratch returns a directory that Postgres may enter under another account than the
// test's.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// leftBehind lists files in dir, and processes that work there.
func leftBehind(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		// The process may have ended meanwhile.
		if cwd, err := os.Readlink(link); err == nil && strings.HasPrefix(cwd, dir+"/") {
			found = append(found, link+" → "+cwd)
		}
	}
	return found
}

func TestRows(t *testing.T) {
	t.Parallel()
	dir, profile := scratch(t), filepath.Join(t.TempDir(), "cpu.prof")
	var out, log bytes.Buffer
	// Without the rows of peers that may be missing and take seconds to start.
	args := []string{"-rows", "million|skewed|true|stream|lines|loaded|hundred|results", "-runs", "2", "-dir", dir, "-cpuprofile", profile}
	if err := run(t.Context(), args, small, &out, &log); err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	t.Logf("%s", &out)
	ms := `\d[\d.]* m?s \(\d[\d.]* m?s\)`
	share := `\d\.\d\d \(\d\.\d\d\)`
	rate := `[\d,]+ \([\d,]+\) tasks/s`
	peer := `(` + ms + `|– \(\S+\))`
	ratio := `(\d[\d.]*|–)`
	for _, want := range []string{
		`20,000 × .* \| ` + ms + ` \| .Pool\.map.: ` + ms + `<br>.ProcessPool.*: ` + ms + `<br>joblib: ` + peer + ` \| \d[\d.]*<br>\d[\d.]*<br>` + ratio,
		`10 tasks of 5 ms, .* \| ` + share + ` \| .Pool\.map.: ` + share + `<br>.Pool\.map., .chunksize=1.: ` + share + ` \| .*`,
		`20 × the command .true. \| ` + ms + ` \| xargs: ` + ms + `<br>GNU parallel: ` + peer + ` \| \d[\d.]*<br>` + ratio,
		`500 inputs streamed .* \| taken ` + ms + `, ended ` + ms + ` \|  \| `,
		`a job of 500 lines, .* \| taken ` + ms + `, ended ` + ms + ` \|  \| `,
		`one task while .* \| p50 \d[\d.]* m?s, p99 \d[\d.]* m?s \|  \| `,
		`5 jobs of 100 × .* \| ` + rate + ` \| one job of 20,000: ` + rate + ` \| \d[\d.]*`,
		`20,000 results as NDJSON \| from .* ` + ms + `, of it the download ` + ms + ` \|  \| `,
	} {
		if !regexp.MustCompile(`(?m)^\| ` + want + ` \|$`).Match(out.Bytes()) {
			t.Errorf("no row is %s", want)
		}
	}
	if info, err := os.Stat(profile); err != nil || info.Size() == 0 {
		t.Errorf("the profile: %v, %v", info, err)
	}
	if found := leftBehind(t, dir); len(found) > 0 {
		t.Errorf("left behind: %v", found)
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	var out, log bytes.Buffer
	if err := run(t.Context(), []string{"-streams", "50", "-dir", dir}, small, &out, &log); err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	t.Logf("%s", &out)
	figure := `-?\d[\d.]*`
	took := figure + ` m?s \(median of \d; at most ` + figure + ` m?s\)`
	usage := figure + ` % of a core, the database ` + figure + ` %`
	for _, want := range []string{
		`50 idle streams, half of them of one job, the others of 3, connected in ` + figure + ` m?s:`,
		`- resident memory: ` + figure + ` KiB a stream \(\d+ MiB in all, \d+ before\)`,
		`- while nothing changes: ` + usage,
		`- connections to the database: \d+, 1 of them for LISTEN; at most \d+ at work at any time`,
		`- a change of the one job is at the last of its 25 streams after ` + took,
		`With them 8 active streams, .*`,
		`- a change of the job is at the last of its streams after ` + took + `, a new job after ` + took,
		`- meanwhile: ` + usage,
		`- 0 streams that never read were cut, .*`,
	} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).Match(out.Bytes()) {
			t.Errorf("no line is %s", want)
		}
	}
	if found := leftBehind(t, dir); len(found) > 0 {
		t.Errorf("left behind: %v", found)
	}
}

// A watch cancels when the awaited text is written.
type watch struct {
	mu     sync.Mutex
	text   bytes.Buffer
	wait   string
	cancel func()
}

func (w *watch) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if strings.Contains(w.text.String(), w.wait) {
		w.cancel()
	}
	return len(p), nil
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	ctx, cancel := context.WithCancel(t.Context())
	log := &watch{wait: "skewed, round 2", cancel: cancel}
	var out bytes.Buffer
	began := time.Now()
	err := run(ctx, []string{"-rows", "true|skewed", "-runs", "1000", "-dir", dir}, small, &out, log)
	if !errors.Is(err, context.Canceled) || strings.Contains(out.String(), "share of ideal") {
		t.Errorf("%v after %s, %s", err, time.Since(began), &out)
	}
	if found := leftBehind(t, dir); len(found) > 0 {
		t.Errorf("left behind: %v", found)
	}
}

// TestFailure checks that a contender that fails is void and reported, and that the
// others still get their turns.
func TestFailure(t *testing.T) {
	t.Parallel()
	b := &bench{runs: 2, log: new(bytes.Buffer)}
	fine := func(context.Context) ([]time.Duration, error) { return []time.Duration{2 * time.Second}, nil }
	wrong := errors.New("wrong outputs")
	turns := 0
	contenders := []contender{allcores(fine), allcores(func(context.Context) ([]time.Duration, error) {
		if turns++; turns > 1 {
			return nil, wrong
		}
		return []time.Duration{time.Second}, nil
	}), {name: "third", lacks: []string{"python3-third"}}, allcores(fine)}
	contenders[1].name, contenders[3].name = "second", "fourth"
	done, err := b.measure(t.Context(), row{name: "row", what: "work", figure: wall(), contenders: contenders})
	if !errors.Is(err, wrong) || !strings.Contains(err.Error(), "row, second") {
		t.Error(err)
	}
	want := "| work | 2.00 s (2.00 s) | second: failed<br>third: – (python3-third)<br>fourth: 2.00 s (2.00 s) | –<br>–<br>1.00 |\n"
	if table := b.table(t.Context(), []result{done}); !strings.HasSuffix(table, want) {
		t.Errorf("%s does not end with %s", table, want)
	}
}

func TestFigures(t *testing.T) {
	t.Parallel()
	rounds := [][]time.Duration{{4 * time.Second}, {2500 * time.Millisecond}, {9999 * time.Millisecond}}
	var samples []time.Duration
	for i := range 300 {
		samples = append(samples, time.Duration(300-i)*time.Millisecond)
	}
	for _, test := range []struct {
		figure figure
		rounds [][]time.Duration
		text   string
		time   time.Duration
	}{
		{wall(), rounds, "2.50 s (4.00 s)", 2500 * time.Millisecond},
		{wall(), rounds[2:], "10.0 s", 9999 * time.Millisecond},
		{wall("a", "b"), [][]time.Duration{{time.Millisecond, 12345 * time.Microsecond}}, "a 1.00 ms, b 12.3 ms", time.Millisecond},
		{perSecond(1_000_000), rounds[:2], "400,000 (308,000) tasks/s", 2500 * time.Millisecond},
		{(&bench{processes: 4}).share(8*time.Second, time.Second), rounds, "0.80 (0.50)", 2500 * time.Millisecond},
		{(&bench{processes: 64}).share(8*time.Second, time.Second), rounds, "0.40 (0.25)", 2500 * time.Millisecond},
		{quantiles, [][]time.Duration{samples[:100], samples[100:]}, "p50 151 ms, p99 298 ms", 151 * time.Millisecond},
	} {
		if text, time := test.figure(test.rounds); text != test.text || time != test.time {
			t.Errorf("%q, %s; want %q, %s", text, time, test.text, test.time)
		}
	}
}

func TestWrongFlags(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ args, want string }{
		{"-rows [", "-rows"}, {"-rows nosuch", "million"}, {"-runs 0", "-runs"}, {"extra", "extra"}, {"-limit 1ns", "limit"},
	} {
		err := run(t.Context(), strings.Fields(test.args), small, new(bytes.Buffer), new(bytes.Buffer))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.args, err)
		}
	}
}
