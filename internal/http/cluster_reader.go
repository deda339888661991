package http

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/allcores/allcores/internal/jobs/insight"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/views"
)

// sampleSlack is how late a sample may be seen after its time.
const sampleSlack = 15 * time.Second

// A clusterReader reads views and keeps state from one view to the next. It is held
// for a whole read, so that callers that wait for it share the view.
type clusterReader struct {
	exclusive
	store   *store.Store
	queues  map[string]*insight.QueueSeries
	nodes   map[string]*insight.NodeSeries
	inks    map[string]ink // of jobs that run or did a moment ago, by id
	upTo    time.Time      // of the samples read so far, by the database's clock
	sampled time.Time      // when they were read
}

// fill reads v, which follows last.
func (c *clusterReader) fill(ctx context.Context, v, last *clusterView) (err error) {
	if v.queues, err = c.store.Queues(ctx); err != nil {
		return err
	}
	if v.nodes, err = c.store.Nodes(ctx); err != nil {
		return err
	}
	if err := c.label(ctx, v, last.labels); err != nil {
		return err
	}
	c.colour(v)
	v.histories = last.histories
	if time.Since(c.sampled) >= insight.SampleEvery || !v.complete() {
		return c.summarise(ctx, v)
	}
	return nil
}

// complete reports whether every queue and node has a history.
func (v *clusterView) complete() bool {
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

// label adds the names of the jobs that run. It reads those that are not known.
func (c *clusterReader) label(ctx context.Context, v *clusterView, known map[string]store.JobLabel) error {
	v.labels = make(map[string]store.JobLabel)
	var missing []string
	for _, n := range v.nodes {
		for turn := range n.RunningTurns() {
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
	labels, err := c.store.JobLabels(ctx, missing)
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

// inkFor is how long a job keeps its colour after it last ran: it may soon run
// again.
const inkFor = 2 * time.Minute

// colour gives each job that runs a colour: the same while it runs, and one that no
// other has as long as there are enough.
func (c *clusterReader) colour(v *clusterView) {
	taken := make(map[string]bool)
	for id, ink := range c.inks {
		if time.Since(ink.seen) > inkFor {
			delete(c.inks, id)
			continue
		}
		taken[ink.class] = true
	}
	v.inks = make(map[string]string, len(v.labels))
	for _, id := range slices.Sorted(maps.Keys(v.labels)) {
		known, ok := c.inks[id]
		if !ok {
			known.class = views.JobInk(id, taken)
			taken[known.class] = true
		}
		known.seen = v.at
		c.inks[id] = known
		v.inks[id] = known.class
	}
}

// summarise reads the new samples and adds them to the histories.
func (c *clusterReader) summarise(ctx context.Context, v *clusterView) error {
	samples, err := c.store.Samples(ctx, store.SampleQuery{After: c.upTo.Add(-sampleSlack)})
	if err != nil {
		return err
	}
	c.upTo, c.sampled = samples.Now, time.Now()
	for _, q := range v.queues {
		if c.queues[q.Name] == nil {
			c.queues[q.Name] = new(insight.QueueSeries)
		}
	}
	for _, n := range v.nodes {
		if c.nodes[n.ID] == nil {
			c.nodes[n.ID] = new(insight.NodeSeries)
		}
	}
	for _, sample := range samples.Queues {
		if series := c.queues[sample.Queue]; series != nil {
			series.Add(sample)
		}
	}
	for _, sample := range samples.Nodes {
		if series := c.nodes[sample.Node]; series != nil {
			series.Add(sample)
		}
	}
	v.queueHistory = make(map[string]insight.QueueHistory, len(v.queues))
	v.nodeHistory = make(map[string]insight.NodeHistory, len(v.nodes))
	for _, q := range v.queues {
		v.queueHistory[q.Name] = c.queues[q.Name].History(samples.Now)
	}
	for _, n := range v.nodes {
		v.nodeHistory[n.ID] = c.nodes[n.ID].History(samples.Now)
	}
	maps.DeleteFunc(c.queues, func(name string, _ *insight.QueueSeries) bool { _, known := v.queueHistory[name]; return !known })
	maps.DeleteFunc(c.nodes, func(id string, _ *insight.NodeSeries) bool { _, known := v.nodeHistory[id]; return !known })
	return nil
}
