// Command bench measures Allcores beside its peers, in one run on one machine,
// and prints a Markdown table:
//
//	go run ./cmd/bench -rows all -runs 3
//
// Allcores is a server as its users start it: a process of its own, with default
// settings and its private Postgres on a disk. It takes work over HTTP, and the
// client's time counts. The peers are the same machine's Python, xargs, GNU
// parallel and Celery with Redis, with one process per core; their start does not
// count. Bench installs nothing: it shows a missing peer as – with its package.
//
// The contenders of a row take turns, so that noise affects all alike. Bench ends
// everything that it starts, also when it is interrupted; then the table has the
// rows that were complete.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor/cores"
)

//go:embed *.py
var scripts embed.FS

// measureLimit is how long one round of one contender may take.
const measureLimit = 3 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, orphaned := context.WithCancelCause(ctx)
	if strings.Contains(os.Args[0], string(filepath.Separator)+"go-build") {
		// `go run` does not pass every signal on.
		go func(parent int) {
			for os.Getppid() == parent {
				time.Sleep(500 * time.Millisecond)
			}
			orphaned(errors.New("go run has ended"))
		}(os.Getppid())
	}
	err := run(ctx, os.Args[1:], full, os.Stdout, os.Stderr)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

// A bench is one run of the program.
type bench struct {
	sizes     sizes
	runs      int
	processes int
	dir       string   // scratch, gone at the end
	env       []string // of everything that is started
	python    python
	server    *server
	log       io.Writer
}

// options are the flags.
type options struct {
	rows    *regexp.Regexp
	runs    int
	binary  string
	profile string
	limit   time.Duration
	streams int
	scratch string
}

// parse reads the flags.
func parse(args []string, sizes sizes, stderr io.Writer) (*options, error) {
	o := new(options)
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	pattern := flags.String("rows", "all", "the rows to measure: all, or a `regexp` on their names")
	flags.IntVar(&o.runs, "runs", 3, "rounds of each row, from 1 on")
	flags.StringVar(&o.binary, "server", "", "the server's program `file`; empty: built from ./cmd/web")
	flags.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of the server to this `file`")
	flags.DurationVar(&o.limit, "limit", time.Hour, "end the run after so long")
	flags.IntVar(&o.streams, "streams", 0, "instead of rows: open so many idle `streams` of server-sent events, and 200 active ones")
	flags.StringVar(&o.scratch, "dir", defaultScratch(), "make the scratch `directory`, with the database, in this one")
	flags.Usage = func() {
		fmt.Fprint(stderr, "Bench measures Allcores beside its peers and prints a Markdown table.\n\nflags:\n")
		flags.PrintDefaults()
		fmt.Fprintln(stderr, "\nrows:")
		for _, r := range (&bench{sizes: sizes, processes: len(cores.Available())}).rows() {
			fmt.Fprintf(stderr, "  %-8s  %s\n", r.name, plain(r.what))
		}
	}
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("%q is no flag; see -help", flags.Arg(0))
	}
	if o.runs < 1 {
		return nil, fmt.Errorf("-runs is %d; allowed is a number from 1 on", o.runs)
	}
	if o.streams < 0 || o.streams > maxStreams {
		return nil, fmt.Errorf("-streams is %d; allowed is a number up to %d", o.streams, maxStreams)
	}
	if *pattern == "all" {
		*pattern = ""
	}
	var err error
	if o.rows, err = regexp.Compile(*pattern); err != nil {
		return nil, fmt.Errorf("-rows is %q; allowed is all or a regular expression: %w", *pattern, err)
	}
	return o, nil
}

func run(ctx context.Context, args []string, sizes sizes, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, sizes, stderr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.limit, fmt.Errorf("the run took longer than its limit of %s", o.limit))
	defer cancel()
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)

	b := &bench{sizes: sizes, runs: o.runs, processes: len(cores.Available()), log: stderr}
	if b.python, err = findPython(ctx); err != nil {
		return err
	}
	b.env = b.python.environment(os.Environ())
	rows, err := b.selectRows(o.rows)
	if err != nil {
		return err
	}
	if b.dir, err = scratchDir(o.scratch); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	b.env = append(b.env, "PARALLEL_HOME="+b.dir) // else it leaves files in the user's home
	if err := b.unpack(); err != nil {
		return err
	}
	if o.binary == "" {
		if o.binary, err = b.build(ctx); err != nil {
			return err
		}
	}
	if b.server, err = b.startServer(ctx, o.binary, o.profile, lost); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.server.stop()) }()
	if o.streams > 0 {
		fmt.Fprintf(stdout, "%s.\n", b.machine())
		return b.streams(ctx, o.streams, stdout)
	}
	return b.measureRows(ctx, rows, stdout, stderr)
}

// selectRows returns the rows whose names match.
func (b *bench) selectRows(wanted *regexp.Regexp) ([]row, error) {
	var rows []row
	var names []string
	for _, r := range b.rows() {
		names = append(names, r.name)
		if wanted.MatchString(r.name) {
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("-rows is %q, which matches none of %s", wanted, strings.Join(names, ", "))
	}
	return rows, nil
}

// build builds the server into the scratch directory.
func (b *bench) build(ctx context.Context) (binary string, err error) {
	binary = filepath.Join(b.dir, "allcores")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/allcores/allcores/cmd/web")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the server: %w\n%s", err, out)
	}
	return binary, nil
}

// measureRows measures the rows and prints the table, also of an interrupted run.
func (b *bench) measureRows(ctx context.Context, rows []row, stdout, stderr io.Writer) error {
	var results []result
	failed := false
	for _, r := range rows {
		result, err := b.measure(ctx, r)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			failed = true
			fmt.Fprintln(stderr, "bench:", err)
		}
		results = append(results, result)
	}
	if len(results) > 0 {
		if _, err := io.WriteString(stdout, b.table(context.WithoutCancel(ctx), results)); err != nil {
			return fmt.Errorf("print the table: %w", err)
		}
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case failed:
		return errors.New("not everything could be measured; see above")
	}
	return nil
}

// unpack writes the peers' scripts where they can be run.
func (b *bench) unpack() error {
	files, err := scripts.ReadDir(".")
	if err != nil {
		return fmt.Errorf("list scripts: %w", err)
	}
	for _, file := range files {
		if err := os.WriteFile(filepath.Join(b.dir, file.Name()), source(file.Name()), 0o644); err != nil {
			return fmt.Errorf("unpack scripts: %w", err)
		}
	}
	return nil
}

// source is the text of an embedded script.
func source(name string) []byte {
	text, err := scripts.ReadFile(name)
	if err != nil {
		panic(err) // it is part of this program
	}
	return text
}

// defaultScratch is where results reach a disk: /tmp often is memory.
func defaultScratch() string {
	if info, err := os.Stat("/var/tmp"); err == nil && info.IsDir() {
		return "/var/tmp"
	}
	return os.TempDir()
}

// scratchDir makes a directory that Postgres can enter under another account.
func scratchDir(in string) (string, error) {
	dir, err := os.MkdirTemp(in, "allcores-bench-")
	if err != nil {
		return "", fmt.Errorf("make scratch directory: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", fmt.Errorf("open scratch directory: %w", errors.Join(err, os.RemoveAll(dir)))
	}
	return filepath.Abs(dir)
}
