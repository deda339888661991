package command

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/process"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// A runner runs one command at a time.
type runner struct {
	*session
	dir  string // where each of its commands starts
	null int    // descriptor of /dev/null
	buf  []byte
}

// A result is how a task ended. err is of the machine, not of the task; without an
// error or a line the end of the session cut the task off.
type result struct {
	outcome
	exit   process.Exit
	moving time.Duration
	err    error
}

func newRunner(s *session) (*runner, error) {
	dir, err := process.Scratch()
	if err != nil {
		return nil, err
	}
	null, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		os.Remove(dir)
		return nil, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	return &runner{session: s, dir: dir, null: null, buf: make([]byte, 64<<10)}, nil
}

func (s *runner) close() {
	syscall.Close(s.null)
	os.RemoveAll(s.dir)
}

// run runs the command of task i of a chunk.
func (s *runner) run(c *chunk, i int) result {
	began := time.Now()
	input, err := c.inputOf(i)
	if err != nil {
		return failed(badInput(err.Error()), began)
	}
	k := task{index: c.First + int64(i), input: input}
	argv := s.template.argv(k)
	path := s.path
	if path == "" {
		if path, err = process.Look(argv[0], s.lookPath); err != nil {
			return failed(notFound(argv[0], err), began)
		}
	}
	for _, arg := range argv {
		if strings.IndexByte(arg, 0) >= 0 {
			return failed(badInput("has a NUL character, which no argument can have"), began)
		}
	}
	r, printed := s.command(c, k, path, argv)
	if r.err != nil || printed.unstarted != nil {
		if printed.unstarted != nil {
			return failed(printed.unstarted, began)
		}
		return r
	}
	if r.outcome.spent = time.Since(began); s.cancelled() {
		return r // the cancellation ended it, so this is no outcome
	}
	t := time.Now()
	line, failure := s.judge(&r, printed)
	if failure != nil {
		r.failed = true
		r.line = outcomes.AppendFailure(nil, failure)
	} else {
		r.line = append(line, '\n')
	}
	s.tidy(c, k)
	r.moving = time.Since(t)
	return r
}

// badInput returns the failure of a task whose input no command can get. wrong
// completes a sentence that begins with the input.
func badInput(wrong string) *jobs.TaskError {
	return &jobs.TaskError{Kind: jobs.KindExit, Type: "bad input", Message: "the input " + wrong}
}

func failed(e *jobs.TaskError, began time.Time) result {
	return result{outcome: outcome{line: outcomes.AppendFailure(nil, e), failed: true, spent: time.Since(began)}}
}

func (s *runner) cancelled() bool {
	return s.ctx.Err() != nil
}

// printed holds a command's output and the other facts that decide its outcome.
type printed struct {
	stdout    []byte // the first MaxOutput bytes
	size      int64  // bytes of stdout in all
	message   string // the last lines on stderr
	noMemory  bool   // a line on stderr says that memory ran out
	grouped   bool   // a control group holds its memory limit
	timedOut  bool
	unstarted *jobs.TaskError // why no process started
}

// command starts the command and reads what it prints to its end.
func (s *runner) command(c *chunk, k task, path string, argv []string) (r result, p printed) {
	var stdin input
	if s.program.Stdin {
		stdin.rest = []byte(k.input)
	}
	fds, err := s.pipes(&stdin)
	if err != nil {
		r.err = err
		return r, p
	}
	child, err := process.Start(process.Spec{
		Path: path, Argv: argv, Dir: s.dir,
		Env:   s.environ(k),
		Files: fds.theirs[:], Cores: s.lane.Cores, Memory: s.lane.MemoryLimit, Groups: s.groups,
	})
	fds.closeTheirs(s.null)
	if err != nil {
		fds.closeOurs(&stdin)
		if process.NotStarted(err) {
			p.unstarted = unstarted(argv[0], err)
			return r, p
		}
		r.err = err
		return r, p
	}
	s.began(child)
	p.grouped = child.Grouped()
	lines := stderrLog{emit: func(line string, at time.Time) { s.logAt(c, k, line, at) }}
	if s.lane.MemoryLimit > 0 {
		lines.each = func(line string) { p.noMemory = p.noMemory || lacksMemory(line) }
	}
	s.follow(child, fds, &stdin, &lines, &p)
	s.ended(child)
	r.exit, r.err = child.Wait()
	// Another command that is just starting has our pipes for a moment, until its
	// exec closes them.
	if s.drain(fds, &lines, &p, lingering); fds.open() {
		// A process outside the group still has one: all that a command started ends
		// with it.
		child.KillMarked()
		s.drain(fds, &lines, &p, lingering)
	}
	fds.closeOurs(&stdin)
	lines.end()
	p.message = lines.message()
	return r, p
}

// environ returns the environment of a task.
func (s *runner) environ(k task) []string {
	env := append(s.env[:len(s.env):len(s.env)], "ALLCORES_TASK="+strconv.FormatInt(k.index, 10))
	if s.lane.URL != "" {
		env = append(env, executor.TaskURLVariable+"="+s.lane.TaskURL(k.index))
	}
	return env
}

// follow reads what the command prints until it has ended, and ends it when it
// takes too long.
func (s *runner) follow(child *process.Process, fds *descriptors, stdin *input, lines *stderrLog, p *printed) {
	var deadline time.Time
	if s.lane.Timeout > 0 {
		deadline = time.Now().Add(s.lane.Timeout)
	}
	poll := make([]unix.PollFd, 0, 4)
	for {
		poll = append(poll[:0],
			unix.PollFd{Fd: int32(child.FD()), Events: unix.POLLIN},
			unix.PollFd{Fd: int32(fds.stdout), Events: unix.POLLIN},
			unix.PollFd{Fd: int32(fds.stderr), Events: unix.POLLIN},
			unix.PollFd{Fd: int32(stdin.fd()), Events: unix.POLLOUT})
		wait := -1
		if !deadline.IsZero() {
			wait = int(min(max(time.Until(deadline).Milliseconds()+1, 0), math.MaxInt32))
		}
		if child.FD() < 0 && !fds.open() {
			return // only its end can still come
		}
		n, err := unix.Poll(poll, wait)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if poll[1].Revents != 0 {
			s.readStdout(fds, p)
		}
		if poll[2].Revents != 0 {
			s.readStderr(fds, lines)
		}
		if poll[3].Revents != 0 {
			stdin.write()
		}
		if poll[0].Revents != 0 {
			s.drain(fds, lines, p, 0)
			return
		}
		if n == 0 && !deadline.IsZero() && !time.Now().Before(deadline) {
			p.timedOut = true
			child.Kill()
			deadline = time.Time{}
		}
	}
}

// lingering is how long after a command's end its pipes may stay open before another
// process is assumed to have kept them.
const lingering = 20 * time.Millisecond

// drained is how often both pipes are read after a command's end: more often than
// emptying them takes, but not for ever where a process still writes.
const drained = 64

// drain reads what is in the pipes, and waits at most so long for more, or for their
// end.
func (s *runner) drain(fds *descriptors, lines *stderrLog, p *printed, wait time.Duration) {
	deadline := time.Now().Add(wait)
	for n := 0; fds.open() && n < drained; n++ {
		poll := []unix.PollFd{{Fd: int32(fds.stdout), Events: unix.POLLIN}, {Fd: int32(fds.stderr), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, int(max(time.Until(deadline), 0).Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 || err != nil {
			return
		}
		if poll[0].Revents != 0 {
			s.readStdout(fds, p)
		}
		if poll[1].Revents != 0 {
			s.readStderr(fds, lines)
		}
	}
}

func (s *runner) readStdout(fds *descriptors, p *printed) {
	b := s.read(&fds.stdout)
	p.size += int64(len(b))
	p.stdout = append(p.stdout, b[:min(len(b), MaxOutput-len(p.stdout))]...)
}

func (s *runner) readStderr(fds *descriptors, lines *stderrLog) {
	lines.add(s.read(&fds.stderr))
}

// read reads once from a readable descriptor, and closes it at its end.
func (s *runner) read(fd *int) []byte {
	n, err := syscall.Read(*fd, s.buf)
	if errors.Is(err, syscall.EINTR) || errors.Is(err, syscall.EAGAIN) {
		return nil
	}
	if n <= 0 {
		syscall.Close(*fd)
		*fd = -1
		return nil
	}
	return s.buf[:n]
}

// judge returns the output or the failure of a command that has ended.
func (s *runner) judge(r *result, p printed) ([]byte, *jobs.TaskError) {
	status := r.exit.Status
	ok := s.program.OKExitCodes
	good := status.Exited() && (slices.Contains(ok, status.ExitStatus()) || len(ok) == 0 && status.ExitStatus() == 0)
	switch {
	case p.timedOut:
		return nil, &jobs.TaskError{
			Kind: jobs.KindTimeout, Type: "timeout",
			Message: fmt.Sprintf("still running after %v", s.lane.Timeout), Output: p.text(),
		}
	case r.exit.Exceeded: // however the command ended, as far as it went on
		return nil, s.noMemory("SIGKILL", "killed by SIGKILL", p)
	case good:
		return value(s.program.Output, p)
	}
	e := &jobs.TaskError{Kind: jobs.KindExit, Message: p.message, Output: p.text()}
	if status.Signaled() {
		e.Kind = jobs.KindCrash
		e.Type = process.SignalName(status.Signal())
		e.Message = "killed by " + e.Type
	} else {
		e.Type = fmt.Sprintf("exit %d", status.ExitStatus())
		if e.Message == "" {
			e.Message = fmt.Sprintf("ended with exit code %d and nothing on stderr", status.ExitStatus())
		}
	}
	if limit := s.lane.MemoryLimit; limit > 0 && (p.noMemory || !p.grouped && r.exit.Peak >= limit/10*9) {
		return nil, s.noMemory(e.Type, e.Message, p)
	}
	return nil, e
}

// noMemory returns the failure of a command that reached its memory limit. ended says
// how it ended.
func (s *runner) noMemory(kind, ended string, p printed) *jobs.TaskError {
	return &jobs.TaskError{
		Kind: jobs.KindMemory, Type: kind, Output: p.text(),
		Message: fmt.Sprintf("it reached %s: %s", executor.MemoryLimit(s.lane.MemoryLimit, p.grouped), ended),
	}
}

// lacksMemory reports whether a line is a message of programs that get no more memory.
func lacksMemory(line string) bool {
	for _, words := range []string{"annot allocate memory", "ut of memory", "MemoryError", "bad_alloc", "memory exhausted"} {
		if strings.Contains(line, words) {
			return true
		}
	}
	return false
}

func unstarted(name string, err error) *jobs.TaskError {
	message := name + ": "
	if errno, ok := errnoOf(err); ok && errno == syscall.E2BIG {
		return &jobs.TaskError{
			Kind: jobs.KindExit, Type: "input too large",
			Message: message + "the input is too large for an argument (128 KiB each on Linux); use stdin",
		}
	}
	return &jobs.TaskError{Kind: jobs.KindExit, Type: "not executable", Message: message + rootCause(err)}
}
