package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/store"
)

// Roles of a node.
const (
	RoleAll    = "all"    // pages, API and workers
	RoleWeb    = "web"    // pages and API only
	RoleWorker = "worker" // workers only
)

// Options is what an Engine is made of.
type Options struct {
	Store  *store.Store
	Logger *slog.Logger

	Role    string // RoleAll, RoleWeb or RoleWorker
	Version string
	Cores   []int    // that tasks may run on
	Queues  []string // that this node serves; nil for all

	// MemoryFloor is the share of the machine's memory, from 0 to 1, below which
	// no turn begins here. 0 for no floor.
	MemoryFloor float64

	Retention time.Duration // how long ended jobs are kept; 0 for ever

	// Executors by kind of program; a node that executes nothing has none.
	Executors map[string]executor.Executor
	// CheckPython lists what is wrong with a Python program without running
	// it. Nil where this node cannot tell.
	CheckPython func(context.Context, jobs.Python) ([]jobs.Violation, error)
	// CheckCommand lists what is wrong with a command on this node without
	// running it. Nil where this node executes nothing.
	CheckCommand func(context.Context, jobs.Command) ([]jobs.Violation, error)
}

// An Engine is the part of one node that submits and executes. Submit and the
// verbs may be called at any time; Start begins to execute.
type Engine struct {
	Options
	node      store.NewNode
	river     *river.Client[pgx.Tx]
	coreTimes coreTimes

	queues   queues
	plan     atomic.Pointer[plan]
	meter    meter
	stats    statsCache
	works    workCache
	active   active
	nudges   nudges
	wakes    wakes
	loads    loads
	bulks    sync.Map      // ids of the bulk operations that are worked off here
	draining chan struct{} // closed when no further chunk may be claimed

	lowMemory atomic.Bool // less is free than MemoryFloor
	trouble   atomic.Pointer[trouble]

	// Turns that River does not run, because they began with their insertion.
	handover sync.RWMutex // held to read from when they get a slot until they run
	started  bool         // and not stopped: they may begin
	begun    sync.WaitGroup

	running    context.Context // from New to the end of Stop
	stop       context.CancelFunc
	background sync.WaitGroup
}

// keepTurns is how long River keeps a turn that has ended, for those who look at
// its pages. Many small jobs leave hundreds a second.
const keepTurns = 15 * time.Minute

// New makes the engine of one node.
func New(ctx context.Context, o Options) (*Engine, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("find host name: %w", err)
	}
	e := &Engine{
		Options: o,
		node: store.NewNode{
			ID: store.NewID(), Host: host, Machine: machine(), PID: os.Getpid(),
			Version: o.Version, Role: o.Role, Cores: len(o.Cores), Serves: o.Queues,
		},
		draining:  make(chan struct{}),
		coreTimes: coreTimes{cores: o.Cores},
	}
	e.running, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	e.active.init()
	e.nudges.due = make(chan nudge, maxNudges)
	config := &river.Config{
		ID:     e.node.ID,
		Logger: slog.New(&quiet{Handler: o.Logger.Handler(), said: new(sync.Map)}),
		// Short, because a slot that falls free during a fetch, and a second
		// insert within the cooldown, are noticed by the next poll only.
		FetchCooldown:               time.Millisecond,
		FetchPollInterval:           500 * time.Millisecond,
		JobTimeout:                  -1, // a task's timeout is the executor's
		CompletedJobRetentionPeriod: keepTurns,
		DiscardedJobRetentionPeriod: keepTurns,
		CancelledJobRetentionPeriod: keepTurns,
	}
	if o.Role == RoleWeb {
		e.node.Cores = 0
	} else {
		// River executes only with some queue; the real ones come and go: see
		// follow.
		config.Queues = map[string]river.QueueConfig{idleQueue: {MaxWorkers: 1, FetchPollInterval: time.Hour}}
		config.Workers = river.NewWorkers()
		river.AddWorker(config.Workers, &worker{engine: e})
	}
	if e.river, err = river.NewClient(riverpgxv5.New(o.Store.River), config); err != nil {
		return nil, fmt.Errorf("prepare River: %w", err)
	}
	return e, nil
}

// NodeID is this node's id.
func (e *Engine) NodeID() string { return e.node.ID }

// River is the client with which this node takes part in River.
func (e *Engine) River() *river.Client[pgx.Tx] { return e.river }

// ErrNotRunning is why a node that is to execute does not.
var ErrNotRunning = errors.New("River is not running on this node")

// Ready is ErrNotRunning when this node does not execute although it is to.
func (e *Engine) Ready() error {
	if e.Role == RoleWeb {
		return nil
	}
	e.handover.RLock()
	started := e.started
	e.handover.RUnlock()
	if started {
		select {
		case <-e.river.Stopped():
		default:
			return nil
		}
	}
	return ErrNotRunning
}

// Start registers the node and begins to execute, if its role is to. Stop must
// be called when it has returned nil.
func (e *Engine) Start(ctx context.Context) error {
	if err := e.Store.Register(ctx, e.node); err != nil {
		return err
	}
	if err := e.expireGoneNeighbours(ctx); err != nil {
		return err
	}
	if err := e.readPlan(ctx); err != nil {
		return err
	}
	run := e.running
	if e.Role != RoleWeb {
		e.mindMemory(memory()) // before the first turn may begin
		if err := e.river.Start(run); err != nil {
			e.stop()
			return fmt.Errorf("start River: %w", err)
		}
		if err := e.serve(ctx); err != nil {
			e.stop()
			return errors.Join(err, e.river.Stop(ctx))
		}
		e.background.Go(func() { e.obey(run) })
	}
	e.background.Go(func() { e.follow(run) })
	e.background.Go(func() { e.beat(run) })
	e.background.Go(func() { e.nudge(run) })
	e.background.Go(func() { e.sweep(run) })
	e.background.Go(func() { e.retire(run) })
	e.background.Go(func() { e.meterOn(run) })
	e.handover.Lock()
	defer e.handover.Unlock()
	e.started = true
	return nil
}

// Stop drains the node: nothing more is claimed, tasks in hand may go on for
// the grace period and are then ended, and what is unfinished goes back to its
// queue.
func (e *Engine) Stop(ctx context.Context, grace time.Duration) error {
	e.handover.Lock()
	e.started = false
	close(e.draining)
	e.handover.Unlock()
	e.active.haltAll()
	var err error
	if e.Role != RoleWeb {
		force := time.AfterFunc(grace, func() { e.active.cancelAll(errDraining) })
		defer force.Stop()
		err = e.river.Stop(ctx)
		e.begun.Wait()
	}
	e.stats.silence()
	e.stop()
	e.background.Wait()
	if err != nil {
		return fmt.Errorf("stop River: %w", err)
	}
	return e.Store.Unregister(ctx, e.node.ID)
}

// Abandon ends the tasks in hand at once, as if the grace period were over.
func (e *Engine) Abandon() { e.active.cancelAll(errDraining) }

// Causes with which a lane's context is cancelled.
var (
	errDraining  = errors.New("the node is stopping")
	errCancelled = errors.New("the job was cancelled")
	errLeaseLost = errors.New("the node could not renew its lease")
)

// active is what this node has in hand.
type active struct {
	mu    sync.Mutex
	lanes map[*lane]struct{}
	seen  map[int64]time.Time // River jobs that arrived here, and when they ended; zero while they run
}

func (a *active) init() {
	a.lanes = make(map[*lane]struct{})
	a.seen = make(map[int64]time.Time)
}

// arrived notes that a turn is here, until a while after gone was called.
func (a *active) arrived(id int64) { a.saw(id, time.Time{}) }

// gone notes that a turn has ended here.
func (a *active) gone(id int64) { a.saw(id, time.Now()) }

func (a *active) saw(id int64, ended time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen[id] = ended
}

// rememberTurns is how long a turn that has ended is known as seen: longer than
// River takes to write that it has.
const rememberTurns = time.Minute

// seenIDs are the River jobs that arrived here; those long gone are forgotten.
func (a *active) seenIDs() []int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	ids := make([]int64, 0, len(a.seen))
	for id, ended := range a.seen {
		if !ended.IsZero() && time.Since(ended) > rememberTurns {
			delete(a.seen, id)
			continue
		}
		ids = append(ids, id)
	}
	return ids
}

func (a *active) add(l *lane) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lanes[l] = struct{}{}
}

func (a *active) remove(l *lane) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.lanes, l)
}

func (a *active) all() []*lane {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]*lane, 0, len(a.lanes))
	for l := range a.lanes {
		list = append(list, l)
	}
	return list
}

func (a *active) haltAll() {
	for _, l := range a.all() {
		l.halt()
	}
}

func (a *active) cancelAll(cause error) {
	for _, l := range a.all() {
		l.cancel(cause)
	}
}

// jobs are the ids of the jobs that this node runs.
func (a *active) jobs() []string {
	var ids []string
	for _, l := range a.all() {
		ids = append(ids, l.work.Job)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// obey carries out on this node what is decided elsewhere: it halts and cancels
// the lanes of jobs that were paused, stopped or cancelled.
func (e *Engine) obey(ctx context.Context) {
	news := e.Store.Feed.WatchStates("")
	defer news.Close()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-news.C:
		case <-tick.C:
		}
		ids := e.active.jobs()
		if len(ids) == 0 {
			continue
		}
		halts, err := e.Store.Halts(ctx, ids)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, jobs.ErrUnavailable) {
				e.Logger.Error("find out what was cancelled", "error", err)
			}
			continue
		}
		for _, l := range e.active.all() {
			switch halts[l.work.Job] {
			case "":
			case "cancelled":
				l.cancel(errCancelled)
			default:
				l.halt()
			}
		}
		// A busy job notifies a few times a second on each node; one look
		// every so often is enough for all of them.
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}
