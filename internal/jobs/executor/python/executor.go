package python

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/cgroup"
	"github.com/allcores/allcores/internal/jobs/executor/process"
)

// Options are what an Executor may be told. The zero value is usable.
type Options struct {
	Logger  *slog.Logger  // for what no caller hears of; default slog.Default()
	Keep    time.Duration // how long an idle process is kept; default 10 s
	MaxUses int           // how many sessions a process serves; default 100,000
	Groups  *cgroup.Tree  // to hold memory limits; nil to limit each process by itself
}

// An Executor runs Python programs. Close must be called.
type Executor struct {
	log     *slog.Logger
	keep    time.Duration
	maxUses int
	groups  *cgroup.Tree

	bounds  bounds
	reading func() // see worker

	mu           sync.Mutex
	closed       bool
	idle         []*idleWorker            // the longest idle first
	spare        *worker                  // of the default interpreter, without a program
	spawning     bool                     // a spare is being started
	interpreters map[string]string        // what a name led to, as the interpreter says itself
	living       sync.WaitGroup           // processes and what starts them
	checks       map[[32]byte]checkResult // what was found in sources
	checkOrder   [][32]byte

	checking  chan struct{} // held while the checker is used
	checker   *worker
	checkerOf string
}

type idleWorker struct {
	*worker
	expiry *time.Timer
}

// A key says for what a process may be used again.
type key [sha256.Size]byte

// maxIdle is how many idle processes are kept.
const maxIdle = 16

const defaultInterpreter = "python3"

// New makes an executor. It starts nothing before it is needed; see Warm.
func New(o Options) *Executor {
	e := &Executor{
		log: o.Logger, keep: o.Keep, maxUses: o.MaxUses, groups: o.Groups,
		interpreters: make(map[string]string),
		checks:       make(map[[32]byte]checkResult),
		checking:     make(chan struct{}, 1),
		bounds:       usualBounds,
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	if e.keep == 0 {
		e.keep = 10 * time.Second
	}
	if e.maxUses == 0 {
		e.maxUses = 100_000
	}
	return e
}

// Warm starts, in the background, the interpreter that the first new program
// takes over, so that it need not wait for one to start.
func (e *Executor) Warm() { e.respare() }

// Close ends all processes that no turn is using and returns when they are
// gone. Turns must have ended.
func (e *Executor) Close() {
	e.mu.Lock()
	e.closed = true
	idle, spare := e.idle, e.spare
	e.idle, e.spare = nil, nil
	e.mu.Unlock()
	var ending sync.WaitGroup
	for _, w := range idle {
		w.expiry.Stop()
		ending.Go(w.retire)
	}
	if spare != nil {
		ending.Go(spare.retire)
	}
	e.checking <- struct{}{}
	if e.checker != nil {
		ending.Go(e.checker.retire)
		e.checker = nil
	}
	<-e.checking
	ending.Wait()
	e.living.Wait()
}

// keyOf tells apart what must not share a process.
func keyOf(lane executor.Lane) key {
	p := lane.Program.Python
	h := sha256.New()
	env := make([]string, 0, 2*len(p.Env))
	for _, name := range slices.Sorted(maps.Keys(p.Env)) {
		env = append(env, name, p.Env[name])
	}
	json.NewEncoder(h).Encode([]any{
		lane.Owner, p.Source, p.Function, p.Call, p.Interpreter, env,
		lane.Threads, lane.MemoryLimit, len(lane.Cores), lane.CoreCount,
	})
	return key(h.Sum(nil))
}

// acquire is a process with the lane's program in it, or on its way into it.
func (e *Executor) acquire(ctx context.Context, lane executor.Lane) (*worker, error) {
	k := keyOf(lane)
	if w := e.reuse(k, lane.Job); w != nil {
		moved := !slices.Equal(w.cores, lane.Cores)
		if err := w.pin(lane.Cores); err != nil {
			e.living.Go(w.retire)
			return nil, err
		}
		if moved || w.job != lane.Job || w.lane != lane.Number {
			w.turn(lane)
		}
		return w, nil
	}
	w, err := e.bare(ctx, lane)
	if err != nil {
		return nil, err
	}
	p := lane.Program.Python
	env := maps.Clone(p.Env)
	if env == nil {
		env = make(map[string]string)
	}
	for _, entry := range process.Environ(lane.CoreCount, env, lane.Environ()) {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	call := p.Call
	if call == "" {
		call = jobs.CallValue
	}
	w.key, w.job, w.lane, w.turns = k, lane.Job, lane.Number, 1
	w.several = lane.Threads > 1
	w.asked = time.Now()
	limit := ""
	if lane.MemoryLimit > 0 {
		limit = executor.MemoryLimit(lane.MemoryLimit, w.process.Grouped())
	}
	w.send(jsonFrame(frameProgram, program{
		Source: p.Source, Function: p.Function, Call: call,
		Threads: max(lane.Threads, 1), Limit: limit, Kills: w.process.KillCounter(), Env: env,
	}))
	return w, nil
}

// reuse takes an idle process of that key: one that ran the job before, whose
// module it has, else one whose job needs it no more.
func (e *Executor) reuse(k key, job string) *worker {
	if w := e.take(func(w *worker) bool { return w.key == k && w.job == job }); w != nil {
		return w
	}
	return e.take(func(w *worker) bool { return w.key == k && w.free })
}

// take takes an idle process that fits.
func (e *Executor) take(fits func(*worker) bool) *worker {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := len(e.idle) - 1; i >= 0; i-- {
		w := e.idle[i]
		if !fits(w.worker) || !w.expiry.Stop() {
			continue
		}
		e.idle = slices.Delete(e.idle, i, i+1)
		if !w.setIdle(false) {
			e.living.Go(w.retire)
			continue
		}
		return w.worker
	}
	return nil
}

// release keeps a process for the next turn that wants one like it.
func (e *Executor) release(w *worker, lane executor.Lane) {
	rest := executor.Exhausted
	if lane.Rest != nil {
		rest = lane.Rest()
	}
	if rest == executor.Over {
		w.job = ""
	}
	// One that may still load cannot load once more.
	w.free = rest != executor.GoesOn && w.loaded
	// The environment of each turn costs some 100 bytes: the C library does not
	// free variables, as somebody may point to them (see setenv(3)).
	if w.turns >= e.maxUses || !w.setIdle(true) {
		e.living.Go(w.retire)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		e.living.Go(w.retire)
		return
	}
	kept := &idleWorker{worker: w}
	kept.expiry = time.AfterFunc(e.keep, func() { e.expire(kept) })
	e.idle = append(e.idle, kept)
	if len(e.idle) > maxIdle {
		oldest := e.idle[0]
		if oldest.expiry.Stop() {
			e.idle = e.idle[1:]
			e.living.Go(oldest.retire)
		}
	}
}

// expire ends a process that nobody wanted.
func (e *Executor) expire(w *idleWorker) {
	e.mu.Lock()
	i := slices.Index(e.idle, w)
	if i < 0 {
		e.mu.Unlock()
		return
	}
	e.idle = slices.Delete(e.idle, i, i+1)
	e.living.Go(w.retire)
	e.mu.Unlock()
}

// bare is an interpreter for the lane without a program: the spare one, or a
// new one.
func (e *Executor) bare(ctx context.Context, lane executor.Lane) (*worker, error) {
	p := lane.Program.Python
	if sparable(p) && lane.MemoryLimit == 0 {
		e.mu.Lock()
		w := e.spare
		e.spare = nil
		e.mu.Unlock()
		// The task at hand comes first.
		time.AfterFunc(respareDelay, e.respare)
		if w != nil {
			if w.setIdle(false) {
				if err := w.pin(lane.Cores); err != nil {
					e.living.Go(w.retire)
					return nil, err
				}
				return w, nil
			}
			e.living.Go(w.retire)
		}
	}
	interpreter, err := e.resolve(p)
	if err != nil {
		return nil, err
	}
	w, err := e.spawn(process.Spec{
		Path: interpreter, Env: process.Environ(lane.CoreCount, p.Env, lane.Environ()),
		Cores: lane.Cores, Memory: lane.MemoryLimit,
	})
	if err != nil {
		return nil, err
	}
	if err := w.await(ctx); err != nil {
		e.living.Go(w.destroy)
		if errors.Is(err, errNoMemory) {
			return nil, &executor.LoadError{TaskError: jobs.TaskError{
				Kind: jobs.KindMemory, Type: "Python",
				Message: "Python itself needs more than " + executor.MemoryLimit(w.memory, w.process.Grouped()),
			}}
		}
		return nil, fmt.Errorf("python interpreter %s %w", interpreter, err)
	}
	e.learn(p, w)
	return w, nil
}

// await waits for the hello of a new process.
func (w *worker) await(ctx context.Context) error {
	stop := context.AfterFunc(ctx, w.kill)
	defer stop()
	if err := w.hello(helloTimeout); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return nil
}

// helloTimeout is how long an interpreter may take to start: it may lie on a
// slow network disk.
const helloTimeout = 30 * time.Second

// sparable reports whether a program can do with an interpreter that was
// started before the program was known.
func sparable(p *jobs.Python) bool {
	if p.Interpreter != "" && p.Interpreter != defaultInterpreter {
		return false
	}
	for name := range p.Env {
		// These act when a process starts.
		for _, prefix := range []string{"PYTHON", "LD_", "DYLD_", "MALLOC_", "GLIBC_", "PATH", "LC_", "LANG", "PYENV", "TZ"} {
			if strings.HasPrefix(name, prefix) {
				return false
			}
		}
	}
	return true
}

// respareDelay is how long after the spare interpreter was taken another one
// is started, which keeps a core busy for a while.
const respareDelay = 30 * time.Millisecond

// respare starts a spare interpreter unless there is one.
func (e *Executor) respare() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.spawning || e.spare != nil {
		return
	}
	e.spawning = true
	e.living.Go(func() {
		w, err := e.newSpare()
		e.mu.Lock()
		defer e.mu.Unlock()
		e.spawning = false
		switch {
		case err != nil:
			// Whoever needs an interpreter now starts one and gets the error.
			e.log.Debug("no spare Python interpreter", "err", err)
		case e.closed:
			e.living.Go(w.retire)
		default:
			e.spare = w
		}
	})
}

func (e *Executor) newSpare() (*worker, error) {
	p := &jobs.Python{}
	interpreter, err := e.resolve(p)
	if err != nil {
		return nil, err
	}
	w, err := e.spawn(process.Spec{Path: interpreter, Env: process.Environ(0)})
	if err != nil {
		return nil, err
	}
	if err := w.hello(helloTimeout); err != nil {
		w.destroy()
		return nil, err
	}
	e.learn(p, w)
	if !w.setIdle(true) {
		w.retire()
		return nil, errors.New("the interpreter ended")
	}
	return w, nil
}

// spawn starts a process that Close waits for.
func (e *Executor) spawn(s process.Spec) (*worker, error) {
	s.Groups = e.groups
	w, err := spawn(s, e.bounds.frame, e.reading)
	if err != nil {
		return nil, fmt.Errorf("start Python: %w", err)
	}
	e.living.Go(func() { <-w.gone })
	return w, nil
}

// resolve finds the interpreter of a program. Names often lead to a launcher
// script; once a process has told its own path, that is used.
func (e *Executor) resolve(p *jobs.Python) (string, error) {
	name := p.Interpreter
	if name == "" {
		name = defaultInterpreter
	}
	path, err := process.Look(name, process.Path(p.Env))
	if err != nil {
		return "", fmt.Errorf("python interpreter %s: %w", name, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if real, ok := e.interpreters[path]; ok && sparable(&jobs.Python{Env: p.Env}) {
		if _, err := process.Look(real, ""); err == nil {
			return real, nil
		}
	}
	return path, nil
}

// learn remembers where the interpreter that the program names really is.
func (e *Executor) learn(p *jobs.Python, w *worker) {
	name := p.Interpreter
	if name == "" {
		name = defaultInterpreter
	}
	if !sparable(&jobs.Python{Env: p.Env}) {
		return
	}
	path, err := process.Look(name, process.Path(p.Env))
	if err != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.interpreters[path] = w.interpreter
}

// A turnFrame says for whom a process works from now on.
type sessionFrame struct {
	Env   map[string]string `json:"env"`
	Fresh bool              `json:"fresh"` // the module is to be loaded anew, and the process to be as new
}

// turn tells a process that was used before for whom, and where, it works now. For
// another job it loads the module anew.
func (w *worker) turn(lane executor.Lane) {
	fresh := w.job != lane.Job
	if fresh {
		w.loaded, w.loadedIdle, w.asked = false, false, time.Now()
	}
	w.job, w.lane = lane.Job, lane.Number
	w.turns++
	w.send(jsonFrame(frameSession, sessionFrame{Env: lane.Environ(), Fresh: fresh}))
}

// pin binds the process to the cores unless it is already.
func (w *worker) pin(cores []int) error {
	if slices.Equal(w.cores, cores) {
		return nil
	}
	if err := w.process.Pin(cores); err != nil {
		return err
	}
	w.cores = slices.Clone(cores)
	return nil
}
