package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// A crowd is the number of streams of server-sent events that are open at once, and
// how long they are observed.
type crowd struct {
	jobs   int // that stand still, beside the one that half of the idle streams watch
	active int // streams of a job that runs and of the list
	deaf   int // that never read
	probes int // changes of each kind whose time to the last stream is measured

	settle time.Duration // until the work of connecting is over
	idle   time.Duration // for which nothing changes
	cut    time.Duration // by when those that never read must be cut
}

var fullCrowd = crowd{jobs: 100, active: 200, deaf: 20, probes: 20, settle: 10 * time.Second, idle: 30 * time.Second, cut: 2 * time.Minute}

// A gathering is one run with a crowd.
type gathering struct {
	*bench
	crowd
	audience *audience
	to       io.Writer

	watched    string // job of half of the idle streams
	half, rest group  // of the idle streams
	page, list group  // active ones, of pages
	events     group  // and of the API: of the one job
	all        group  // and of all jobs
}

// streams opens the idle streams, the active ones and those that never read, and
// writes their costs as Markdown lists.
func (b *bench) streams(ctx context.Context, idle int, to io.Writer) error {
	g := &gathering{bench: b, crowd: b.sizes.crowd, to: to,
		audience: &audience{server: b.server, address: strings.TrimPrefix(b.server.url, "http://")}}
	defer g.audience.close()
	if err := enoughFiles(idle + g.active + g.deaf + 200); err != nil {
		return err
	}
	if err := g.idleStreams(ctx, idle); err != nil {
		return err
	}
	if err := g.oneChange(ctx); err != nil {
		return err
	}
	if err := g.activeStreams(ctx); err != nil {
		return err
	}
	var lost int64
	for _, group := range []*group{&g.half, &g.rest, &g.page, &g.list, &g.events, &g.all} {
		lost += group.lost.Load()
	}
	if lost > 0 {
		return fmt.Errorf("%d streams broke", lost)
	}
	return context.Cause(ctx)
}

// idleStreams opens n streams of jobs that stand still, and writes their cost.
func (g *gathering) idleStreams(ctx context.Context, n int) (err error) {
	if g.watched, err = g.openJob(ctx, "watched"); err != nil {
		return err
	}
	others := make([]string, g.jobs)
	for i := range others {
		if others[i], err = g.openJob(ctx, fmt.Sprintf("still %d", i)); err != nil {
			return err
		}
	}
	one := func(int) string { return "/api/v1/jobs/" + g.watched + "/events" }
	another := func(i int) string { return "/api/v1/jobs/" + others[i%len(others)] + "/events" }
	// The server, not the streams, uses the memory that the first streams add.
	if err := errors.Join(g.audience.open(ctx, new(group), 100, one), g.audience.open(ctx, new(group), 100, another)); err != nil {
		return err
	}
	if err := wait(ctx, g.settle); err != nil {
		return err
	}
	before, err := g.server.resident()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := g.audience.open(ctx, &g.half, (n+1)/2, one); err != nil {
		return err
	}
	if err := g.audience.open(ctx, &g.rest, n/2, another); err != nil {
		return err
	}
	connecting := time.Since(began)
	if err := wait(ctx, g.settle); err != nil {
		return err
	}
	used, err := g.server.usage()
	if err != nil {
		return err
	}
	most, err := g.server.watchDatabase(ctx, g.idle)
	if err != nil {
		return err
	}
	now, err := g.server.usage()
	if err != nil {
		return err
	}
	after, err := g.server.resident()
	if err != nil {
		return err
	}
	fmt.Fprintf(g.to, "%s idle streams, half of them of one job, the others of %d, connected in %s:\n\n", thousands(n), g.jobs, duration(connecting))
	fmt.Fprintf(g.to, "- resident memory: %s KiB a stream (%s MiB in all, %s before)\n", digits(float64(after-before)/1024/float64(n)), thousands(int(after>>20)), thousands(int(before>>20)))
	fmt.Fprintf(g.to, "- while nothing changes: %s\n", now.since(used))
	fmt.Fprintf(g.to, "- connections to the database: %d, %d of them for LISTEN; at most %d at work at any time\n", most.all, most.listening, most.busy)
	return nil
}

// oneChange writes how long a change takes to reach half of the idle streams.
func (g *gathering) oneChange(ctx context.Context) error {
	var took []time.Duration
	for i := range g.probes {
		one, err := g.audience.probe(ctx, fmt.Sprintf(`"total":%d,`, i+1), []*group{&g.half}, func() error { return g.append(ctx, g.watched, 1) })
		if err != nil {
			return err
		}
		took = append(took, one)
		if err := wait(ctx, time.Second); err != nil {
			return err
		}
	}
	fmt.Fprintf(g.to, "- a change of the one job is at the last of its %s streams after %s\n", thousands(g.half.size()), spread(took))
	return nil
}

// activeStreams opens streams of a job that runs and of all jobs, and some that
// never read, and writes how long changes take to reach them.
func (g *gathering) activeStreams(ctx context.Context) error {
	running, err := g.openJob(ctx, "running")
	if err != nil {
		return err
	}
	total := 10_000
	if err := g.append(ctx, running, total); err != nil {
		return err
	}
	for _, some := range []struct {
		group *group
		path  string
	}{{&g.events, "/api/v1/jobs/" + running + "/events"}, {&g.page, "/jobs/" + running + "/live"}, {&g.all, "/api/v1/events"}, {&g.list, "/live"}} {
		if err := g.audience.open(ctx, some.group, g.active/4, func(int) string { return some.path }); err != nil {
			return err
		}
	}
	deafBegan := time.Now()
	deaf, err := g.audience.openDeaf(ctx, g.deaf, "/jobs/"+running+"/live")
	if err != nil {
		return err
	}
	used, err := g.server.usage()
	if err != nil {
		return err
	}
	var ofJob, ofList []time.Duration
	for i := range g.probes {
		name := fmt.Sprintf("probe-%d.", i)
		for _, change := range []struct {
			text   string
			groups []*group
			make   func() error
			took   *[]time.Duration
		}{
			{fmt.Sprintf(`"total":%d,`, total+1), []*group{&g.events, &g.all}, func() error { return g.append(ctx, running, 1) }, &ofJob},
			{fmt.Sprintf(` max="%d" `, total+2), []*group{&g.page}, func() error { return g.append(ctx, running, 1) }, &ofJob},
			{name, []*group{&g.all, &g.list}, func() error { _, err := g.openJob(ctx, name); return err }, &ofList},
		} {
			took, err := g.audience.probe(ctx, change.text, change.groups, change.make)
			if err != nil {
				return err
			}
			*change.took = append(*change.took, took)
		}
		total += 2
		// Out of step with the server's periodic work.
		if err := wait(ctx, time.Duration(300+37*i%200)*time.Millisecond); err != nil {
			return err
		}
	}
	now, err := g.server.usage()
	if err != nil {
		return err
	}
	active := g.events.size() + g.page.size() + g.all.size() + g.list.size()
	fmt.Fprintf(g.to, "\nWith them %d active streams, half of a running job and half of the list, API and pages alike:\n\n", active)
	fmt.Fprintf(g.to, "- a change of the job is at the last of its streams after %s, a new job after %s\n", spread(ofJob), spread(ofList))
	fmt.Fprintf(g.to, "- meanwhile: %s\n", now.since(used))
	return g.cutDeaf(ctx, deaf, deafBegan)
}

// cutDeaf waits until the server has cut the streams that never read.
func (g *gathering) cutDeaf(ctx context.Context, deaf []net.Conn, began time.Time) error {
	left := len(deaf)
	for left > 0 && time.Since(began) < g.cut {
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		var err error
		if left, err = g.audience.connected(deaf); err != nil {
			return err
		}
	}
	if left > 0 {
		return fmt.Errorf("%d streams that never read were not cut within %s", left, g.cut)
	}
	fmt.Fprintf(g.to, "- %d streams that never read were cut, the last after %s\n", len(deaf), duration(time.Since(began)))
	return nil
}

// openJob submits a job that takes inputs and has none.
func (b *bench) openJob(ctx context.Context, name string) (id string, err error) {
	var j job
	spec := map[string]any{"name": name, "program": pythonProgram("skewed"), "inputs": map[string]any{"open": true}}
	err = b.server.call(ctx, "POST", "/api/v1/jobs", spec, &j)
	return j.ID, err
}

// append adds n inputs to a job, each of which takes 200 ms.
func (b *bench) append(ctx context.Context, id string, n int) error {
	body, err := b.server.request(ctx, "POST", "/api/v1/jobs/"+id+"/tasks", strings.NewReader(strings.Repeat("500\n", n)), "Content-Type", "application/x-ndjson")
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, body)
	return errors.Join(err, body.Close())
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// spread returns the median and the maximum.
func spread(times []time.Duration) string {
	slices.Sort(times)
	return fmt.Sprintf("%s (median of %d; at most %s)", duration(times[len(times)/2]), len(times), duration(times[len(times)-1]))
}
