package http

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

// Pace of reading what queues and nodes do.
const (
	fleetTick    = time.Second            // while somebody watches
	fleetGap     = 100 * time.Millisecond // between two reads, however much is changed
	fleetFor     = time.Second            // that what was read is good for when nobody watches
	fleetMissed  = 5 * time.Second        // and when somebody does: the reader is late then
	fleetTimeout = 5 * time.Second        // for one read

	// sampleSlack is how late a sample may be seen after its time.
	sampleSlack = 15 * time.Second
)

// A fleet knows queues and nodes for all who watch them in this process: one
// reads for all, and only while somebody watches.
type fleet struct {
	store *store.Store
	usher *usher
	log   *slog.Logger

	changes atomic.Int64 // grows when what was read may be true no longer
	view    atomic.Pointer[fleetView]

	reading sync.Mutex // held by the one who reads, who alone may touch what follows
	queues  map[string]*insight.QueueSeries
	nodes   map[string]*insight.NodeSeries
	inks    map[string]ink // of the jobs that were in hand a moment ago, by id
	upTo    time.Time      // of the samples read so far, by the database's clock
	sampled time.Time      // when they were read

	mu      sync.Mutex
	watches map[*fleetWatch]struct{}
	stop    func() // ends the reader and waits for it
}

// A fleetView is what was true at one time. Nobody changes it.
type fleetView struct {
	queues       []jobs.Queue
	nodes        []jobs.Node
	labels       map[string]store.JobLabel // of the jobs in hand, by id
	inks         map[string]string         // and their colours
	queueHistory map[string]insight.QueueHistory
	nodeHistory  map[string]insight.NodeHistory

	err     error // why it could not be read
	at      time.Time
	changes int64
}

func newFleet(s *store.Store, u *usher, log *slog.Logger) *fleet {
	return &fleet{
		store: s, usher: u, log: log,
		queues: make(map[string]*insight.QueueSeries), nodes: make(map[string]*insight.NodeSeries),
		inks: make(map[string]ink), watches: make(map[*fleetWatch]struct{}),
	}
}

// A fleetWatch is woken whenever there is a new view. It must be closed.
type fleetWatch struct {
	C     chan struct{}
	fleet *fleet
}

// watch begins to watch.
func (f *fleet) watch() *fleetWatch {
	w := &fleetWatch{make(chan struct{}, 1), f}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watches[w] = struct{}{}
	if f.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.follow(ctx)
		}()
		f.stop = func() { cancel(); <-done }
	}
	return w
}

func (w *fleetWatch) close() {
	f := w.fleet
	f.mu.Lock()
	delete(f.watches, w)
	var stop func()
	if len(f.watches) == 0 {
		stop, f.stop = f.stop, nil
	}
	f.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (f *fleet) watched() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.watches) > 0
}

// follow reads at every tick and after every change, and wakes those who watch.
func (f *fleet) follow(ctx context.Context) {
	news := f.store.Feed.Watch(store.QueueNews)
	defer news.Close()
	tick := time.NewTicker(fleetTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-news.C:
			f.changed()
		case <-tick.C:
		}
		f.reading.Lock()
		v := f.read(ctx)
		f.reading.Unlock()
		if ctx.Err() != nil {
			return
		}
		if v.err != nil {
			f.log.Debug("read queues and nodes", "error", v.err)
		}
		f.mu.Lock()
		for w := range f.watches {
			select {
			case w.C <- struct{}{}:
			default:
			}
		}
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(fleetGap):
		}
	}
}

// changed says that what was read before is true no longer.
func (f *fleet) changed() { f.changes.Add(1) }

// now is what is true, or was a moment ago: but never what was before the last
// change that this process made or heard of.
func (f *fleet) now(ctx context.Context) (*fleetView, error) {
	fresh := func() *fleetView {
		goodFor := fleetFor
		if f.watched() {
			goodFor = fleetMissed
		}
		v := f.view.Load()
		if v == nil || v.changes != f.changes.Load() || time.Since(v.at) > goodFor {
			return nil
		}
		return v
	}
	v := fresh()
	if v == nil {
		f.reading.Lock()
		defer f.reading.Unlock()
		if v = fresh(); v == nil {
			v = f.read(context.WithoutCancel(ctx)) // others wait for it too
		}
	}
	return v, v.err
}

// read makes a new view. reading must be held.
func (f *fleet) read(ctx context.Context) *fleetView {
	within, cancel := f.usher.whileAnswering(fleetTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	v := &fleetView{changes: f.changes.Load(), at: time.Now()}
	v.err = f.fill(within, v)
	if v.err != nil && within.Err() != nil {
		v.err = errors.Join(jobs.ErrUnavailable, v.err)
	}
	if v.err == nil || ctx.Err() == nil { // otherwise nobody wants it
		f.view.Store(v)
	}
	return v
}

func (f *fleet) fill(ctx context.Context, v *fleetView) (err error) {
	if v.queues, err = f.store.Queues(ctx); err != nil {
		return err
	}
	if v.nodes, err = f.store.Nodes(ctx); err != nil {
		return err
	}
	last := f.view.Load()
	if last == nil {
		last = new(fleetView)
	}
	if err := f.label(ctx, v, last.labels); err != nil {
		return err
	}
	f.colour(v)
	v.queueHistory, v.nodeHistory = last.queueHistory, last.nodeHistory
	if time.Since(f.sampled) >= insight.SampleEvery || !v.remembers() {
		return f.recall(ctx, v)
	}
	return nil
}

// remembers reports whether there is a history of every queue and node.
func (v *fleetView) remembers() bool {
	for _, q := range v.queues {
		if _, known := v.queueHistory[q.Name]; !known {
			return false
		}
	}
	for _, n := range v.nodes {
		if _, known := v.nodeHistory[n.ID]; !known {
			return false
		}
	}
	return true
}

// label finds out the names of the jobs in hand.
func (f *fleet) label(ctx context.Context, v *fleetView, known map[string]store.JobLabel) error {
	v.labels = make(map[string]store.JobLabel)
	var missing []string
	for _, n := range v.nodes {
		for turn := range n.InHand() {
			if _, done := v.labels[turn.Job]; done {
				continue
			}
			label, ok := known[turn.Job]
			if !ok {
				missing = append(missing, turn.Job)
			}
			v.labels[turn.Job] = label
		}
	}
	if len(missing) == 0 {
		return nil
	}
	labels, err := f.store.JobLabels(ctx, missing)
	if err != nil {
		return err
	}
	maps.Copy(v.labels, labels)
	return nil
}

// An ink is the colour of a job.
type ink struct {
	class string
	seen  time.Time
}

// inkFor is how long a job keeps its colour after it was in hand: it may soon be
// again.
const inkFor = 2 * time.Minute

// colour gives each job in hand a colour, the same while it is in hand, and one
// that no other has as long as there are enough.
func (f *fleet) colour(v *fleetView) {
	taken := make(map[string]bool)
	for id, ink := range f.inks {
		if time.Since(ink.seen) > inkFor {
			delete(f.inks, id)
			continue
		}
		taken[ink.class] = true
	}
	v.inks = make(map[string]string, len(v.labels))
	for _, id := range slices.Sorted(maps.Keys(v.labels)) {
		known, ok := f.inks[id]
		if !ok {
			known.class = views.JobInk(id, taken)
			taken[known.class] = true
		}
		known.seen = v.at
		f.inks[id] = known
		v.inks[id] = known.class
	}
}

// recall reads the samples that are new and sums them up.
func (f *fleet) recall(ctx context.Context, v *fleetView) error {
	samples, err := f.store.Samples(ctx, store.SampleQuery{After: f.upTo.Add(-sampleSlack)})
	if err != nil {
		return err
	}
	f.upTo, f.sampled = samples.Now, time.Now()
	for _, q := range v.queues {
		if f.queues[q.Name] == nil {
			f.queues[q.Name] = new(insight.QueueSeries)
		}
	}
	for _, n := range v.nodes {
		if f.nodes[n.ID] == nil {
			f.nodes[n.ID] = new(insight.NodeSeries)
		}
	}
	for _, sample := range samples.Queues {
		if series := f.queues[sample.Queue]; series != nil {
			series.Add(sample)
		}
	}
	for _, sample := range samples.Nodes {
		if series := f.nodes[sample.Node]; series != nil {
			series.Add(sample)
		}
	}
	v.queueHistory = make(map[string]insight.QueueHistory, len(v.queues))
	v.nodeHistory = make(map[string]insight.NodeHistory, len(v.nodes))
	for _, q := range v.queues {
		v.queueHistory[q.Name] = f.queues[q.Name].History(samples.Now)
	}
	for _, n := range v.nodes {
		v.nodeHistory[n.ID] = f.nodes[n.ID].History(samples.Now)
	}
	maps.DeleteFunc(f.queues, func(name string, _ *insight.QueueSeries) bool { _, known := v.queueHistory[name]; return !known })
	maps.DeleteFunc(f.nodes, func(id string, _ *insight.NodeSeries) bool { _, known := v.nodeHistory[id]; return !known })
	return nil
}

// names are the names of the jobs in hand that the viewer may see.
func (v *fleetView) names(viewer store.Viewer) map[string]string {
	names := make(map[string]string, len(v.labels))
	for id, label := range v.labels {
		if viewer.All || label.OwnerID == viewer.UserID {
			names[id] = label.Name
		}
	}
	return names
}
