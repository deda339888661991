package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/executor/cores"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/internal/store/pglocal"
)

// stamped is the version set by the linker: -X main.stamped=1.2.3.
var stamped string

// version returns the stamped version, or that of the build information.
var version = func() string {
	if stamped != "" {
		return stamped
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}()

// config is this process's settings.
type config struct {
	addr        string
	databaseURL string
	data        string
	token       string // given as ALLCORES_TOKEN; empty to make one
	role        string
	cores       []int
	queues      []string // nil for every one
	bounds
	cpuProfile string // file to write a CPU profile to; empty for none
	parent     int    // pid of `go run`, which does not pass every signal on; else 0
}

// bounds are the numbers that a node keeps.
type bounds struct {
	memoryFloor float64 // share of the machine's memory
	grace       time.Duration
	retention   time.Duration // 0 keeps jobs for ever
}

// A setting is a value and the flag or variable that it was given by.
type setting struct{ name, value string }

// A settingError is a setting that cannot be used.
type settingError struct {
	setting string // as it is written
	given   string
	allowed string
}

func (e *settingError) Error() string {
	return fmt.Sprintf("%s is %q; allowed is %s", e.setting, e.given, e.allowed)
}

// errHelp is returned after the usage or the version was printed.
var errHelp = errors.New("help was asked for")

const usage = `Allcores puts every core to work and loses nothing.

usage: allcores [flags]                serve
       allcores VERB [arguments]       a client: map, run, watch, results, logs, cancel, retry or jobs;
                                       needs python3; see allcores VERB --help

flag           environment         default
-addr          ALLCORES_ADDR       127.0.0.1:8080 (port 0 picks a free one)
-database-url  DATABASE_URL        empty: a private Postgres in the data directory
-data          ALLCORES_DATA       %s
-role          ALLCORES_ROLE       all (web: pages and API only; worker: executes only)
-cores         ALLCORES_CORES      %d (all that this process may run on)
-queues        ALLCORES_QUEUES     all queues (or names such as cpu,io: what this node serves)
-memory-floor  ALLCORES_MEMORY_FLOOR  5%% (of the memory; with less free no task begins; 0 for no floor)
-grace         ALLCORES_GRACE      10s (for running tasks when stopping)
-retention     ALLCORES_RETENTION  720h, for ended jobs (0 keeps them for ever)
-cpuprofile                        a file to write a CPU profile of this process to
-version                           print the version and exit
               ALLCORES_TOKEN      admin's token; made at the first start and kept in <data>/admin-token
`

// readConfig reads the settings: flags win over the environment.
func readConfig(args []string, getenv func(string) string, stdout io.Writer) (c config, err error) {
	available := cores.Available()
	defaultData, dataErr := pglocal.DefaultDataDir()
	flags := flag.NewFlagSet("allcores", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	read := func(name, variable, otherwise string) *setting {
		s := &setting{"-" + name, otherwise}
		if v := getenv(variable); v != "" {
			s.name, s.value = variable, v
		}
		flags.Func(name, "", func(v string) error { s.name, s.value = "-"+name, v; return nil })
		return s
	}
	addr := read("addr", "ALLCORES_ADDR", "127.0.0.1:8080")
	url := read("database-url", "DATABASE_URL", "")
	data := read("data", "ALLCORES_DATA", defaultData)
	role := read("role", "ALLCORES_ROLE", engine.RoleAll)
	count := read("cores", "ALLCORES_CORES", strconv.Itoa(len(available)))
	queues := read("queues", "ALLCORES_QUEUES", "")
	floor := read("memory-floor", "ALLCORES_MEMORY_FLOOR", "5%")
	grace := read("grace", "ALLCORES_GRACE", "10s")
	retention := read("retention", "ALLCORES_RETENTION", "720h")
	flags.StringVar(&c.cpuProfile, "cpuprofile", "", "")
	printVersion := flags.Bool("version", false, "")
	err = flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(stdout, usage, defaultData, len(available))
		return c, errHelp
	case err != nil:
		return c, &settingError{"the command line", strings.Join(args, " "), "what -help lists: " + err.Error()}
	case *printVersion:
		fmt.Fprintln(stdout, "allcores", version)
		return c, errHelp
	case flags.NArg() > 0:
		return c, &settingError{"the command line", strings.Join(args, " "), "flags only, see -help"}
	}

	for _, err := range []error{
		c.setAddress(addr), c.setDatabase(url), c.setData(data, dataErr), c.setRole(role),
		c.setCores(count, available), c.setQueues(queues), c.setBounds(floor, grace, retention), c.setToken(getenv),
	} {
		if err != nil {
			return c, err
		}
	}
	if strings.Contains(os.Args[0], string(filepath.Separator)+"go-build") {
		c.parent = os.Getppid()
	}
	return c, nil
}

func (c *config) setAddress(addr *setting) error {
	c.addr = addr.value
	if host, port, found := cutPort(c.addr); !found || !validPort(port) || strings.Contains(host, "/") {
		return &settingError{addr.name, addr.value, "HOST:PORT with a port from 0 to 65535, such as 127.0.0.1:8080"}
	}
	return nil
}

func (c *config) setDatabase(url *setting) error {
	c.databaseURL = url.value
	if c.databaseURL != "" {
		if _, err := pgxpool.ParseConfig(c.databaseURL); err != nil {
			return &settingError{url.name, withoutPassword(url.value), "a URL such as postgres://user:password@host:5432/database"}
		}
	}
	return nil
}

// setData sets the data directory. defaultErr is why there is no default.
func (c *config) setData(data *setting, defaultErr error) (err error) {
	if data.value == "" {
		allowed := "a directory"
		if defaultErr != nil {
			allowed += ", as there is no default: " + defaultErr.Error()
		}
		return &settingError{data.name, data.value, allowed}
	}
	if c.data, err = filepath.Abs(data.value); err != nil {
		return &settingError{data.name, data.value, "a directory: " + err.Error()}
	}
	return nil
}

func (c *config) setRole(role *setting) error {
	c.role = role.value
	if c.role != engine.RoleAll && c.role != engine.RoleWeb && c.role != engine.RoleWorker {
		return &settingError{role.name, role.value, "all, web or worker"}
	}
	return nil
}

func (c *config) setCores(count *setting, available []int) error {
	n, err := strconv.Atoi(count.value)
	if err != nil || n < 1 || n > len(available) {
		return &settingError{count.name, count.value, fmt.Sprintf("a number from 1 to %d", len(available))}
	}
	c.cores = available[:n]
	return nil
}

func (c *config) setQueues(queues *setting) error {
	for name := range strings.SplitSeq(queues.value, ",") {
		if name = strings.TrimSpace(name); name == "" && queues.value == "" {
			break
		}
		if !jobs.ValidName(name) {
			return &settingError{queues.name, queues.value, "names of queues with commas between them, such as cpu,io"}
		}
		c.queues = append(c.queues, name)
	}
	return nil
}

func (c *config) setBounds(floor, grace, retention *setting) error {
	percent, err := strconv.ParseFloat(strings.TrimSuffix(floor.value, "%"), 64)
	if err != nil || !(percent >= 0 && percent <= 90) {
		return &settingError{floor.name, floor.value, "a percentage from 0% to 90%"}
	}
	c.memoryFloor = percent / 100
	c.grace, err = time.ParseDuration(grace.value)
	if err != nil || c.grace < 0 || c.grace > time.Hour {
		return &settingError{grace.name, grace.value, "a duration from 0s to 1h, such as 10s"}
	}
	c.retention, err = time.ParseDuration(retention.value)
	if err != nil || c.retention < 0 || c.retention > 0 && c.retention < time.Minute {
		return &settingError{retention.name, retention.value, "a duration of at least 1m, such as 720h, or 0 to keep ended jobs for ever"}
	}
	return nil
}

func (c *config) setToken(getenv func(string) string) error {
	c.token = getenv("ALLCORES_TOKEN")
	if c.token != "" && (len(c.token) < minToken || strings.ContainsFunc(c.token, func(r rune) bool { return r <= ' ' || r > '~' })) {
		return &settingError{"ALLCORES_TOKEN", "(not shown)", fmt.Sprintf("at least %d printable ASCII characters without spaces", minToken)}
	}
	return nil
}

// minToken is the shortest token that may be given, in characters.
const minToken = 8

func cutPort(addr string) (host, port string, found bool) {
	i := strings.LastIndexByte(addr, ':')
	if i < 0 {
		return "", "", false
	}
	return addr[:i], addr[i+1:], true
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n <= 65535
}

// withoutPassword returns a URL without its password, for messages.
func withoutPassword(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return "(not shown)"
	}
	_, host, ok := strings.Cut(rest, "@")
	if !ok {
		return url
	}
	return scheme + "://…@" + host
}

// databaseError names the setting behind an error of the first connection.
func (c config) databaseError(err error) error {
	if c.databaseURL == "" {
		return err
	}
	return &settingError{"DATABASE_URL", withoutPassword(c.databaseURL), "a database that answers: " + err.Error()}
}

// ensureToken makes the admin's token valid and returns it. A token that was not
// given is made and kept in the data directory.
func ensureToken(ctx context.Context, db *store.Store, c config) (string, error) {
	token := c.token
	if token == "" && c.role == engine.RoleWorker {
		return "", nil
	}
	name := "ALLCORES_TOKEN"
	if token == "" {
		var err error
		if token, err = keptToken(c.data); err != nil {
			return "", err
		}
		host, err := os.Hostname()
		if err != nil {
			return "", fmt.Errorf("find host name: %w", err)
		}
		name = "admin-token in " + c.data + " on " + host
	}
	return token, db.EnsureAdmin(ctx, name, token)
}

func keptToken(data string) (string, error) {
	path := filepath.Join(data, "admin-token")
	text, err := os.ReadFile(path)
	if token := strings.TrimSpace(string(text)); err == nil && token != "" {
		return token, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the admin's token: %w", err)
	}
	if err := pglocal.MakeDataDir(data); err != nil {
		return "", fmt.Errorf("make data directory: %w", err)
	}
	token := store.NewSecret()
	// Written under another name first, so that an existing file is complete.
	temporary := path + ".new"
	if err := os.WriteFile(temporary, []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep the admin's token: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return "", fmt.Errorf("keep the admin's token: %w", err)
	}
	return token, nil
}
