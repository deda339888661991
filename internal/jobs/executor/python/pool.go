package python

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/process"
)

// maxIdle is how many idle processes are kept.
const maxIdle = 16

// A pool owns the workers that have no session: idle ones, for the next session
// that has the same key, and a spare one without a program.
type pool struct {
	*launcher
	keep    time.Duration // how long an idle process is kept
	maxUses int           // sessions that a process serves

	mu       sync.Mutex
	closed   bool
	idle     []*idleWorker // the longest idle first
	spare    *worker       // of the default interpreter, without a program
	spawning bool          // a spare is being started
}

type idleWorker struct {
	*worker
	expiry *time.Timer
}

// A key identifies sessions that may use the same process.
type key [sha256.Size]byte

// keyOf hashes all that sessions must have in common to share a process.
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
	if lane.MaxTasks > 0 { // another job would find a process that has used some of them
		json.NewEncoder(h).Encode([]any{lane.Job, lane.MaxTasks})
	}
	return key(h.Sum(nil))
}

// acquire returns a process that has the lane's program, or loads it.
func (p *pool) acquire(ctx context.Context, lane executor.Lane) (*worker, error) {
	k := keyOf(lane)
	if w := p.reuse(k, lane.Job); w != nil {
		moved := !slices.Equal(w.cores, lane.Cores)
		if err := w.pin(lane.Cores); err != nil {
			p.living.Go(w.retire)
			return nil, err
		}
		if moved || w.job != lane.Job || w.lane != lane.Number || lane.URL != "" {
			w.begin(lane)
		}
		return w, nil
	}
	w, err := p.bare(ctx, lane)
	if err != nil {
		return nil, err
	}
	w.key, w.job, w.lane, w.uses = k, lane.Job, lane.Number, 1
	w.lines.several = lane.Threads > 1
	w.asked = time.Now()
	w.outbox.send(jsonFrame(frameProgram, newProgram(lane, w.process)))
	return w, nil
}

// program is the frame that loads a program.
type program struct {
	Source   string            `json:"source"`
	Function string            `json:"function"`
	Call     string            `json:"call"`
	Threads  int               `json:"threads"`
	Limit    string            `json:"limit"` // of memory, in words; empty for none
	Kills    string            `json:"kills"` // file that counts kills for lack of memory, or empty
	Env      map[string]string `json:"env"`
}

// newProgram returns the frame for a lane's program in a process.
func newProgram(lane executor.Lane, in *process.Process) program {
	p := lane.Program.Python
	env := maps.Clone(p.Env)
	if env == nil {
		env = make(map[string]string)
	}
	for _, entry := range process.Environ(lane.CoreCount, env, environ(lane)) {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	call := p.Call
	if call == "" {
		call = jobs.CallValue
	}
	limit := ""
	if lane.MemoryLimit > 0 {
		limit = executor.MemoryLimit(lane.MemoryLimit, in.Grouped())
	}
	return program{
		Source: p.Source, Function: p.Function, Call: call,
		Threads: max(lane.Threads, 1), Limit: limit, Kills: in.KillCounter(), Env: env,
	}
}

// sessionFrame is the frame that starts a session in a process that served one
// before.
type sessionFrame struct {
	Env   map[string]string `json:"env"`
	Fresh bool              `json:"fresh"` // load the module anew, in a process that is as new
}

// environ returns the variables of a process that change with its session.
func environ(lane executor.Lane) map[string]string {
	env := lane.Environ()
	if lane.URL != "" {
		env[executor.TaskURLVariable] = lane.URL
	}
	return env
}

func jsonFrame(kind byte, v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode frame: %v", err))
	}
	return appendFrame(nil, kind, body)
}

// reuse takes an idle process of that key: one that ran the job before and has its
// module, else one whose job needs it no more.
func (p *pool) reuse(k key, job string) *worker {
	if w := p.take(func(w *worker) bool { return w.key == k && w.job == job }); w != nil {
		return w
	}
	return p.take(func(w *worker) bool { return w.key == k && w.free })
}

// take takes an idle process that fits.
func (p *pool) take(fits func(*worker) bool) *worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.idle) - 1; i >= 0; i-- {
		w := p.idle[i]
		if !fits(w.worker) || !w.expiry.Stop() {
			continue
		}
		p.idle = slices.Delete(p.idle, i, i+1)
		if !w.setIdle(false) {
			p.living.Go(w.retire)
			continue
		}
		return w.worker
	}
	return nil
}

// release keeps a process for the next session that has its key.
func (p *pool) release(w *worker, lane executor.Lane) {
	rest := executor.Exhausted
	if lane.Rest != nil {
		rest = lane.Rest()
	}
	if rest == executor.Over {
		w.job = ""
	}
	// One that may still load cannot load once more.
	w.free = rest != executor.GoesOn && w.loaded
	// The environment of each session costs some 100 bytes: the C library does not
	// free variables, as pointers to them may exist (see setenv(3)).
	if w.uses >= p.maxUses || !w.setIdle(true) {
		p.living.Go(w.retire)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.living.Go(w.retire)
		return
	}
	kept := &idleWorker{worker: w}
	kept.expiry = time.AfterFunc(p.keep, func() { p.expire(kept) })
	p.idle = append(p.idle, kept)
	if len(p.idle) > maxIdle {
		oldest := p.idle[0]
		if oldest.expiry.Stop() {
			p.idle = p.idle[1:]
			p.living.Go(oldest.retire)
		}
	}
}

// expire ends a process that was idle for too long.
func (p *pool) expire(w *idleWorker) {
	p.mu.Lock()
	i := slices.Index(p.idle, w)
	if i < 0 {
		p.mu.Unlock()
		return
	}
	p.idle = slices.Delete(p.idle, i, i+1)
	p.living.Go(w.retire)
	p.mu.Unlock()
}

// bare returns an interpreter for the lane without a program: the spare one, or a
// new one.
func (p *pool) bare(ctx context.Context, lane executor.Lane) (*worker, error) {
	program := lane.Program.Python
	if sparable(program) && lane.MemoryLimit == 0 {
		w, err := p.takeSpare(lane.Cores)
		if w != nil || err != nil {
			return w, err
		}
	}
	interpreter, err := p.resolve(program)
	if err != nil {
		return nil, err
	}
	w, err := p.spawn(process.Spec{
		Path: interpreter, Env: process.Environ(lane.CoreCount, program.Env, environ(lane)),
		Cores: lane.Cores, Memory: lane.MemoryLimit,
	})
	if err != nil {
		return nil, err
	}
	if err := w.awaitHello(ctx); err != nil {
		p.living.Go(w.destroy)
		if errors.Is(err, errNoMemory) {
			return nil, &executor.LoadError{TaskError: jobs.TaskError{
				Kind: jobs.KindMemory, Type: "Python",
				Message: "Python itself needs more than " + executor.MemoryLimit(w.memory, w.process.Grouped()),
			}}
		}
		return nil, fmt.Errorf("python interpreter %s %w", interpreter, err)
	}
	p.learn(program, w)
	return w, nil
}

// takeSpare takes the spare interpreter, if there is one, and binds it to the cores.
// Another one starts a little later: the task that needs this one comes first.
func (p *pool) takeSpare(cores []int) (*worker, error) {
	p.mu.Lock()
	w := p.spare
	p.spare = nil
	p.mu.Unlock()
	time.AfterFunc(respareDelay, p.respare)
	if w == nil {
		return nil, nil
	}
	if !w.setIdle(false) {
		p.living.Go(w.retire)
		return nil, nil
	}
	if err := w.pin(cores); err != nil {
		p.living.Go(w.retire)
		return nil, err
	}
	return w, nil
}

// respareDelay is how long after the spare interpreter was taken another one
// starts. Starting keeps a core busy for a while.
const respareDelay = 30 * time.Millisecond

// respare starts a spare interpreter unless there is one.
func (p *pool) respare() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.spawning || p.spare != nil {
		return
	}
	p.spawning = true
	p.living.Go(func() {
		w, err := p.newSpare()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.spawning = false
		switch {
		case err != nil:
			// A session that needs an interpreter now starts one and gets the error.
			p.log.Debug("no spare Python interpreter", "error", err)
		case p.closed:
			p.living.Go(w.retire)
		default:
			p.spare = w
		}
	})
}

// close retires all processes of the pool and waits for their end.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	idle, spare := p.idle, p.spare
	p.idle, p.spare = nil, nil
	p.mu.Unlock()
	var ending sync.WaitGroup
	for _, w := range idle {
		w.expiry.Stop()
		ending.Go(w.retire)
	}
	if spare != nil {
		ending.Go(spare.retire)
	}
	ending.Wait()
}
