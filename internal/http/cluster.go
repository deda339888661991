package http

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/allcores/allcores/internal/http/live"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
	"github.com/allcores/allcores/internal/store"
)

// Pace of reading what queues and nodes do.
const (
	clusterTick    = time.Second            // between reads while there are watches
	clusterGap     = 100 * time.Millisecond // between two reads at least
	clusterFor     = time.Second            // how long a view is good for without watches
	clusterMissed  = 5 * time.Second        // and with watches: the reader is late then
	clusterTimeout = 5 * time.Second        // for one read
)

// A cluster holds what queues and nodes do, for all that watch them in this
// process: one goroutine reads for all, and only while there are watches.
type cluster struct {
	store   *store.Store
	streams *live.Streams
	log     *slog.Logger

	changes atomic.Int64 // grows when what was read may no longer be true
	view    atomic.Pointer[clusterView]
	reader  clusterReader

	mu      sync.Mutex
	watches map[*clusterWatch]struct{}
	stop    func() // ends the goroutine and waits for it; nil without watches
}

// A clusterView is the state of queues and nodes at one time. It is immutable.
type clusterView struct {
	queues []jobs.Queue
	nodes  []jobs.Node
	jobLabels
	histories

	err     error // why it could not be read
	at      time.Time
	changes int64
}

// jobLabels are names and colours of the jobs that run, by their id.
type jobLabels struct {
	labels map[string]store.JobLabel
	inks   map[string]string
}

// histories cover the last hour of queues, by name, and of nodes, by id.
type histories struct {
	queueHistory map[string]insight.QueueHistory
	nodeHistory  map[string]insight.NodeHistory
}

func newCluster(s *store.Store, streams *live.Streams, log *slog.Logger) *cluster {
	return &cluster{
		store: s, streams: streams, log: log, watches: make(map[*clusterWatch]struct{}),
		reader: clusterReader{
			exclusive: newExclusive(), store: s, inks: make(map[string]ink),
			queues: make(map[string]*insight.QueueSeries), nodes: make(map[string]*insight.NodeSeries),
		},
	}
}

// A clusterWatch is sent a token on every new view. It must be closed.
type clusterWatch struct {
	C       chan struct{}
	cluster *cluster
}

// watch begins to watch.
func (c *cluster) watch() *clusterWatch {
	w := &clusterWatch{make(chan struct{}, 1), c}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watches[w] = struct{}{}
	if c.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.follow(ctx)
		}()
		c.stop = func() { cancel(); <-done }
	}
	return w
}

func (w *clusterWatch) close() {
	c := w.cluster
	c.mu.Lock()
	delete(c.watches, w)
	var stop func()
	if len(c.watches) == 0 {
		stop, c.stop = c.stop, nil
	}
	c.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (c *cluster) watched() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.watches) > 0
}

// follow reads at every tick and after every change, and wakes the watches.
func (c *cluster) follow(ctx context.Context) {
	news := c.store.Feed.Watch(store.QueueNews)
	defer news.Close()
	tick := time.NewTicker(clusterTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-news.C:
			c.changed()
		case <-tick.C:
		}
		if c.reader.acquire(ctx) != nil {
			return
		}
		v := c.read(ctx)
		c.reader.release()
		if ctx.Err() != nil {
			return
		}
		if v.err != nil {
			c.log.Debug("read queues and nodes", "error", v.err)
		}
		c.wakeAll()
		select {
		case <-ctx.Done():
			return
		case <-time.After(clusterGap):
		}
	}
}

func (c *cluster) wakeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for w := range c.watches {
		select {
		case w.C <- struct{}{}:
		default:
		}
	}
}

// changed marks earlier views as no longer true.
func (c *cluster) changed() { c.changes.Add(1) }

// now returns a view that is at most a moment old, and never older than the last
// change that this process made or heard of.
func (c *cluster) now(ctx context.Context) (*clusterView, error) {
	v := c.fresh()
	if v == nil {
		if err := c.reader.acquire(ctx); err != nil {
			return nil, err
		}
		defer c.reader.release()
		if v = c.fresh(); v == nil {
			v = c.read(context.WithoutCancel(ctx)) // others wait for it too
		}
	}
	return v, v.err
}

// fresh returns the last view, or nil if it is too old.
func (c *cluster) fresh() *clusterView {
	goodFor := clusterFor
	if c.watched() {
		goodFor = clusterMissed
	}
	v := c.view.Load()
	if v == nil || v.changes != c.changes.Load() || time.Since(v.at) > goodFor {
		return nil
	}
	return v
}

// read makes a new view. The caller must hold the reader.
func (c *cluster) read(ctx context.Context) *clusterView {
	within, cancel := c.streams.WhileAvailable(clusterTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	v := &clusterView{changes: c.changes.Load(), at: time.Now()}
	last := c.view.Load()
	if last == nil {
		last = new(clusterView)
	}
	v.err = c.reader.fill(within, v, last)
	if v.err != nil && within.Err() != nil {
		v.err = errors.Join(jobs.ErrUnavailable, v.err)
	}
	if v.err == nil || ctx.Err() == nil { // otherwise no caller wants it
		c.view.Store(v)
	}
	return v
}

// names returns the names of the running jobs that the viewer may see.
func (v *clusterView) names(viewer store.Viewer) map[string]string {
	names := make(map[string]string, len(v.labels))
	for id, label := range v.labels {
		if viewer.All || label.OwnerID == viewer.UserID {
			names[id] = label.Name
		}
	}
	return names
}
