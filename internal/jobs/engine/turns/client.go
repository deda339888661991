package turns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// A RunFunc runs a turn until it has ended it, or returns why it could not: then
// the turn is tried again. Its context is cancelled when an admin cancels the turn
// in River.
type RunFunc func(ctx context.Context) error

// Options configure a Client.
type Options struct {
	Store    *store.Store
	Logger   *slog.Logger
	Node     string          // the id under which it fetches
	Inserts  bool            // the node only inserts turns and runs none
	Draining <-chan struct{} // closed when the node is about to stop

	// Begin waits until a fetched turn may run and returns what runs it. It
	// returns nil where it has ended the turn itself, or with an error.
	Begin func(ctx context.Context, t *Turn) (RunFunc, error)
	// Crowded reports whether turns of a queue waited in Begin a moment ago.
	Crowded func(queue string) bool
	// Failed is called with each turn that failed and is tried again.
	Failed func(t *Turn, err error)
}

// A Client is one node's part in River.
type Client struct {
	Options
	river *river.Client[pgx.Tx]
	//lint:ignore containedctx the client outlives every call
	running context.Context // of every turn
	turns   sync.WaitGroup  // those that run
	seen    seen
	wakeups wakeups

	mu      sync.Mutex
	fetches map[string]*fetching // by queue
}

const (
	// keepEnded is how long River keeps a turn that has ended, for admins who
	// look at its pages. Many small jobs leave hundreds a second.
	keepEnded = 15 * time.Minute
	// bookkeeping bounds a statement that must run although its turn's context
	// was cancelled.
	bookkeeping = 10 * time.Second
)

// New makes the client of one node. Turns run under ctx.
func New(ctx context.Context, o Options) (*Client, error) {
	c := &Client{
		Options: o, running: ctx,
		seen:    seen{ended: make(map[int64]time.Time)},
		wakeups: wakeups{due: make(chan wakeup, maxWakeups)},
		fetches: make(map[string]*fetching),
	}
	config := &river.Config{
		ID:     o.Node,
		Logger: slog.New(&logHandler{Handler: o.Logger.Handler(), logged: new(sync.Map)}),
		// Short, because only the next poll notices a slot that falls free during a
		// fetch, and a second insert within the cooldown.
		FetchCooldown:               time.Millisecond,
		FetchPollInterval:           500 * time.Millisecond,
		JobTimeout:                  -1, // a task's timeout is the executor's
		CompletedJobRetentionPeriod: keepEnded,
		DiscardedJobRetentionPeriod: keepEnded,
		CancelledJobRetentionPeriod: keepEnded,
	}
	if !o.Inserts {
		// River executes only with some queue; Fetch adds the real ones.
		config.Queues = map[string]river.QueueConfig{idleQueue: {MaxWorkers: 1, FetchPollInterval: time.Hour}}
		config.Workers = river.NewWorkers()
		river.AddWorker(config.Workers, &worker{client: c})
	}
	var err error
	if c.river, err = river.NewClient(riverpgxv5.New(o.Store.River), config); err != nil {
		return nil, fmt.Errorf("prepare River: %w", err)
	}
	return c, nil
}

// River returns the client with which this node takes part in River, for its pages.
func (c *Client) River() *river.Client[pgx.Tx] { return c.river }

// Start begins to fetch turns, from the queues that Fetch adds.
func (c *Client) Start() error {
	if err := c.river.Start(c.running); err != nil {
		return fmt.Errorf("start River: %w", err)
	}
	return nil
}

// Stop fetches nothing more and waits for the turns that run.
func (c *Client) Stop(ctx context.Context) error {
	err := c.river.Stop(ctx)
	c.turns.Wait()
	if err != nil {
		return fmt.Errorf("stop River: %w", err)
	}
	return nil
}

// Running reports whether River fetches turns here. It must have been started.
func (c *Client) Running() bool {
	select {
	case <-c.river.Stopped():
		return false
	default:
		return true
	}
}

// Dispatch inserts the turns that a job lacks.
func (c *Client) Dispatch(ctx context.Context, w *store.Work) error {
	return c.Store.Tx(ctx, func(tx pgx.Tx) error {
		first, n, err := c.Store.Missing(ctx, tx, w.Job)
		if err != nil {
			return err
		}
		turns := make([]store.Turn, n)
		for i := range turns {
			turns[i] = store.Turn{Job: w.Job, Lane: first + i, Queue: w.Queue, Priority: w.Priority}
		}
		return c.Store.InsertTurns(ctx, tx, turns)
	})
}

// RunInserted runs a turn in the background that was inserted as fetched by this
// node: River does not know of it. The caller must know that Stop has not been
// called yet.
func (c *Client) RunInserted(id int64, data store.Turn, run func(ctx context.Context, t *Turn) error) {
	t := newTurn(c, id, data)
	t.ours = true
	c.seen.arrived(id)
	c.turns.Go(func() { t.settle(c.running, run(c.running, t)) })
}

// failed reports a turn that is tried again, unless ctx ended it.
func (c *Client) failed(ctx context.Context, t *Turn, err error) {
	if err != nil && ctx.Err() == nil {
		c.Failed(t, err)
	}
}

// isOutage reports whether err says that the database is away, which is logged
// elsewhere, once.
func isOutage(err error) bool { return errors.Is(err, jobs.ErrUnavailable) }
