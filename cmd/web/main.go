// Command web is Allcores: the pages, the API and the workers of one node.
//
// It reads its settings from flags and the environment (see config.go), starts a
// private Postgres unless a database is set, and serves until SIGTERM, SIGINT or
// SIGHUP; then it drains and exits with status 0. A second signal ends running
// tasks at once.
//
// With a verb of the Python client's command line as its first argument, such as map
// or results, it is that command line instead (see verbs.go).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	osexec "os/exec"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	web "github.com/allcores/allcores/internal/http"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/cgroup"
	"github.com/allcores/allcores/internal/jobs/executor/command"
	"github.com/allcores/allcores/internal/jobs/executor/python"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/internal/store/pglocal"
)

func main() {
	if err := execClient(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "allcores: %v\n", err)
		os.Exit(1)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt, syscall.SIGHUP)
	err := run(context.Background(), os.Args[1:], os.Getenv, os.Stdout, signals)
	if err == nil || errors.Is(err, errHelp) {
		return
	}
	fmt.Fprintf(os.Stderr, "allcores: %v\n", err)
	var setting *settingError
	var missing *pglocal.MissingError
	var dir *pglocal.DirError
	if errors.As(err, &setting) || errors.As(err, &missing) || errors.As(err, &dir) {
		os.Exit(2)
	}
	os.Exit(1)
}

// run serves until a signal comes.
func run(ctx context.Context, args []string, getenv func(string) string, stdout io.Writer, signals <-chan os.Signal) (err error) {
	c, err := readConfig(args, getenv, stdout)
	if err != nil {
		return err
	}
	if getenv("GOGC") == "" {
		// The live heap is small compared with the garbage: some megabytes save much
		// work of the garbage collector.
		debug.SetGCPercent(150)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	slog.SetDefault(logger)

	if c.cpuProfile != "" {
		stop, fileErr := profile(c.cpuProfile)
		if fileErr != nil {
			return &settingError{"-cpuprofile", c.cpuProfile, "a file that can be written: " + reason(fileErr)}
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	// Binding first reports an address in use before anything is started.
	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return &settingError{"-addr", c.addr, "an address that is free: " + reason(err)}
	}
	startup := web.NewStartupHandler()
	server := web.NewServer(startup, logger)
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(listener) }()
	defer func() { err = errors.Join(err, ignoreClosed(server.Close())) }()
	starting, stopStarting := context.WithCancel(ctx)
	defer stopStarting()
	stopping := make(chan struct{})
	forced, force := context.WithCancel(context.WithoutCancel(ctx))
	defer force()
	go func() {
		first := waitForSignal(signals, c.parent)
		logger.Info("stopping; running tasks may go on for the grace period", "cause", first, "grace", c.grace)
		startup.Drain()
		stopStarting()
		close(stopping)
		logger.Info("stopping at once", "cause", waitForSignal(signals, 0))
		force()
	}()

	// Before this server has other processes: control groups may need to move it.
	groups := controlGroups(c.role, logger)

	url := c.databaseURL
	if url == "" {
		startup.WaitFor("its private Postgres")
		server, startErr := pglocal.Start(starting, pglocal.Options{Dir: c.data, Logger: logger})
		if startErr != nil {
			return orStopped(starting, startErr)
		}
		defer func() { err = errors.Join(err, closePostgres(server)) }()
		url = server.URL()
	}
	startup.WaitFor("the database and its migrations")
	if err := store.Migrate(starting, url); err != nil {
		return orStopped(starting, c.databaseError(err))
	}
	db, err := store.Open(starting, store.Options{URL: url, Logger: logger})
	if err != nil {
		return orStopped(starting, c.databaseError(err))
	}
	defer db.Close()
	if err := db.Ready(starting); err != nil { // such as the tables of a newer server
		return orStopped(starting, c.databaseError(err))
	}
	token, err := ensureToken(starting, db, c)
	if err != nil {
		return orStopped(starting, err)
	}

	startup.WaitFor("the engine")
	o := engine.Options{Store: db, Logger: logger, Role: c.role, Version: version, Cores: c.cores, Queues: c.queues, MemoryFloor: c.memoryFloor, Retention: c.retention}
	py := python.New(python.Options{Logger: logger, Groups: groups})
	defer py.Close()
	if c.role != engine.RoleWeb {
		py.Warm()
		commands := &command.Executor{Groups: groups}
		o.Executors = map[string]executor.Executor{"python": py, "command": commands}
		o.Checks.Command = commands.Check
	}
	o.Checks.Python = checkPython(py, c.role)
	e, err := engine.New(starting, o)
	if err != nil {
		return orStopped(starting, err)
	}
	site, err := web.New(web.Options{Store: db, Engine: e, Logger: logger, Version: version})
	if err != nil {
		return fmt.Errorf("prepare pages: %w", err)
	}
	if err := e.Start(starting); err != nil {
		return orStopped(starting, err)
	}
	startup.Open(site)
	if err := announce(stdout, listener.Addr(), c, token); err != nil {
		logger.Warn("say that requests are answered", "error", err)
	}

	select {
	case <-stopping:
	case err = <-serving:
		err = fmt.Errorf("serve: %w", err)
	}
	site.Drain()
	stopEngine, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.grace+30*time.Second)
	defer cancel()
	context.AfterFunc(forced, e.Abandon)
	if stopErr := e.Stop(stopEngine, c.grace); stopErr != nil && !errors.Is(stopErr, jobs.ErrUnavailable) {
		err = errors.Join(err, stopErr)
	}
	stopServer, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if shutErr := server.Shutdown(stopServer); shutErr != nil && !errors.Is(shutErr, context.DeadlineExceeded) {
		err = errors.Join(err, fmt.Errorf("stop serving: %w", shutErr))
	}
	site.Wait(stopServer)
	// Running tasks must not keep the database open.
	return errors.Join(err, ignoreClosed(server.Close()))
}

// profile writes a CPU profile to the file until stop is called.
func profile(path string) (stop func() error, err error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		if err := file.Close(); err != nil {
			return fmt.Errorf("write CPU profile: %w", err)
		}
		return nil
	}, nil
}

// controlGroups returns the tree of control groups for memory limits of tasks, or
// nil if none can be made.
func controlGroups(role string, logger *slog.Logger) *cgroup.Tree {
	if role == engine.RoleWeb {
		return nil
	}
	groups, err := cgroup.Open()
	if err != nil {
		logger.Info("memory limits are held by a resource limit of each process, not by control groups", "reason", err)
		return nil
	}
	logger.Info("memory limits are held by control groups", "below", groups.Dir())
	return groups
}

// checkPython returns how this node compiles sources at submit. A node that executes
// nothing uses its own Python: the interpreters that programs name are the
// workers'.
func checkPython(py *python.Executor, role string) func(context.Context, jobs.Python) ([]jobs.Violation, error) {
	if role != engine.RoleWeb {
		return py.Check
	}
	if _, err := osexec.LookPath("python3"); err != nil {
		return nil
	}
	return func(ctx context.Context, p jobs.Python) ([]jobs.Violation, error) {
		p.Interpreter = ""
		return py.Check(ctx, p)
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// waitForSignal waits for a signal, or for the end of the parent process if its pid
// is given. It returns which it was.
func waitForSignal(signals <-chan os.Signal, parent int) string {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case s := <-signals:
			return s.String()
		case <-tick.C:
			if parent != 0 && os.Getppid() != parent {
				return "go run has ended"
			}
		}
	}
}

// orStopped returns nil if err is the effect of a signal during the start.
func orStopped(starting context.Context, err error) error {
	if starting.Err() != nil {
		return nil
	}
	return err
}

func closePostgres(server *pglocal.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return server.Close(ctx)
}

// announce prints the address on standard output, and a sign-in link if the token was
// made here.
func announce(stdout io.Writer, addr net.Addr, c config, token string) error {
	base := "http://" + reachable(addr)
	lines := []string{"allcores: ready at " + base}
	if c.token == "" && token != "" && c.role != engine.RoleWorker {
		lines = append(lines, "allcores: sign in at "+base+"/login?token="+token)
	}
	_, err := fmt.Fprintln(stdout, strings.Join(lines, "\n"))
	return err
}

// reachable returns addr as a browser on this machine can open it.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func reason(err error) string {
	var sys syscall.Errno
	if errors.As(err, &sys) {
		return sys.Error()
	}
	return err.Error()
}
