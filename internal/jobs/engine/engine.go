package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine/scopes"
	"github.com/allcores/allcores/internal/jobs/engine/tasksocket"
	"github.com/allcores/allcores/internal/jobs/engine/tasksocket/sharedcalls"
	"github.com/allcores/allcores/internal/jobs/engine/turns"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/process"
	"github.com/allcores/allcores/internal/store"
)

// Roles of a node.
const (
	RoleAll    = "all"    // pages, API and workers
	RoleWeb    = "web"    // pages and API only
	RoleWorker = "worker" // workers only
)

// Options configure an Engine.
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
	Checks    Checks
}

// Checks list what is wrong with a program on this node without running it. Each
// is nil where the node cannot check.
type Checks struct {
	Python  func(context.Context, jobs.Python) ([]jobs.Violation, error)
	Command func(context.Context, jobs.Command) ([]jobs.Violation, error)
}

// An Engine submits and executes jobs on one node. Submit and the verbs may be
// called at any time; Start begins to execute.
type Engine struct {
	Options
	node   store.NewNode
	turns  *turns.Client
	tasks  *tasksocket.Server
	shared *scopes.Service

	queues  queues
	jobs    localJobs
	active  laneSet
	retries retries
	bulks   sync.Map // ids of the bulk operations that run here
	usage   usageCounters
	health  health

	progress progressReports

	lifecycle
}

// A lifecycle takes an engine from New to the end of Stop.
type lifecycle struct {
	//lint:ignore containedctx the engine outlives every call
	running    context.Context // from New to the end of Stop
	stop       context.CancelFunc
	background sync.WaitGroup
	draining   chan struct{} // closed when nothing more may be claimed

	// inserting is open while turns may begin that this node inserts as fetched.
	inserting gate
}

// retries are the tasks and programs of this node that wait for another attempt.
type retries struct {
	wakes wakes
	loads loadFailures
}

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
		health: health{cores: coreTimes{cores: o.Cores}},
		tasks:  tasksocket.New(o.Logger),
	}
	e.tasks.ServeBlobs(o.Store)
	e.draining = make(chan struct{})
	e.running, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	e.active.lanes = make(map[*lane]struct{})
	e.shared = e.newShared(e.running)
	(&sharedcalls.Handlers{Home: e.shared, Reporter: &e.progress, Logger: o.Logger}).Register(e.tasks)
	if o.Role == RoleWeb {
		e.node.Cores = 0
	}
	e.turns, err = turns.New(e.running, turns.Options{
		Store: o.Store, Logger: o.Logger, Node: e.node.ID, Inserts: o.Role == RoleWeb, Draining: e.draining,
		Begin: e.begin, Crowded: e.crowded, Failed: e.turnFailed,
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// NodeID returns this node's id.
func (e *Engine) NodeID() string { return e.node.ID }

// Turns returns this node's part in River.
func (e *Engine) Turns() *turns.Client { return e.turns }

// ErrNotRunning is the error of a node that should execute and does not.
//
//lint:ignore ST1005 River is a name
var ErrNotRunning = errors.New("River is not running on this node")

// Ready returns ErrNotRunning when this node should execute and does not.
func (e *Engine) Ready() error {
	if e.Role == RoleWeb {
		return nil
	}
	if !e.inserting.isOpen() || !e.turns.Running() {
		return ErrNotRunning
	}
	return nil
}

// Start registers the node and begins to execute, unless its role is RoleWeb. Stop
// must be called when it has returned nil.
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
	e.shared.Start()
	if e.Role != RoleWeb {
		e.checkMemory(memory()) // before the first turn may begin
		if err := e.startTurns(ctx); err != nil {
			e.stop()
			return err
		}
		e.background.Go(func() { e.heedHalts(run) })
	}
	e.background.Go(func() { e.follow(run) })
	e.background.Go(func() { e.beat(run) })
	e.background.Go(func() { e.turns.Wake(run) })
	e.background.Go(func() { e.recover(run) })
	e.background.Go(func() { e.retire(run) })
	e.background.Go(func() { e.sampleUsage(run) })
	e.inserting.open()
	return nil
}

// startTurns begins to serve tasks and to fetch turns.
func (e *Engine) startTurns(ctx context.Context) error {
	dir, err := process.Root()
	if err != nil {
		return err
	}
	if err := e.tasks.Start(dir); err != nil {
		return err
	}
	if err := e.turns.Start(); err != nil {
		e.tasks.Close()
		return err
	}
	if err := e.serve(ctx); err != nil {
		err = errors.Join(err, e.turns.Stop(ctx))
		e.tasks.Close()
		return err
	}
	return nil
}

// Stop drains the node. It claims nothing more, lets running tasks go on for the
// grace period, ends them then, and gives back what is unfinished.
func (e *Engine) Stop(ctx context.Context, grace time.Duration) error {
	e.inserting.close()
	close(e.draining)
	e.active.haltAll()
	var err error
	if e.Role != RoleWeb {
		force := time.AfterFunc(grace, func() { e.active.cancelAll(errDraining) })
		defer force.Stop()
		err = e.turns.Stop(ctx)
		e.tasks.Close()
	}
	e.jobs.silence()
	e.shared.Close(ctx)
	e.stop()
	e.background.Wait()
	if err != nil {
		return err
	}
	return e.Store.Unregister(ctx, e.node.ID)
}

// Abandon ends the running tasks at once, as if the grace period were over.
func (e *Engine) Abandon() { e.active.cancelAll(errDraining) }

// Causes with which a lane's context is cancelled.
var (
	errDraining  = errors.New("the node is stopping")
	errCancelled = errors.New("the job was cancelled")
	errLeaseLost = errors.New("the node could not renew its lease")
)
