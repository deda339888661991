package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// sizes are how much there is to do in the rows.
type sizes struct {
	million     int // no-op tasks of one job
	cpu         int // tasks of 10 ms CPU
	short, long int // tasks of 5 and of 200 ms
	commands    int // of true
	pythons     int // of python3
	inputs      int // streamed, or sent as lines
	batch       int // tasks as one Celery group
	jobs        int // submitted at once
	tasksOfEach int // of those

	samples samples
	pause   time.Duration // before each round
	crowd   crowd
}

// samples are how often the latency of one task is measured.
type samples struct {
	idle   int // on an idle server
	loaded int // while all cores are busy
}

var full = sizes{
	million: 1_000_000, cpu: 2_000, short: 450, long: 50, commands: 2_000, pythons: 1_000, inputs: 100_000,
	samples: samples{idle: 300, loaded: 60}, batch: 2_000, jobs: 100, tasksOfEach: 10_000, pause: time.Second,
	crowd: fullCrowd,
}

// A row is one line of the table.
type row struct {
	name       string // for -rows
	what       string // Markdown
	figure     figure
	contenders []contender // Allcores first
}

// A contender does the same work as the others of its row.
type contender struct {
	name  string   // Markdown
	lacks []string // packages without which it cannot run
	open  func(context.Context) (session, error)
}

// A round does a row's work once and returns the times that make the row's figure.
type round func(context.Context) ([]time.Duration, error)

// A session is a contender that is ready.
type session struct {
	round round
	close func() error // nil when there is nothing to end
}

// rows returns the table's rows in order.
func (b *bench) rows() []row {
	return slices.Concat(b.pythonRows(), b.commandRows(), b.inputRows(), b.latencyRows(), b.throughputRows())
}

// million is a job of as many tasks as the first row has.
func (b *bench) million() contender {
	return b.job(pythonJob("square", 0, b.sizes.million), b.sizes.million)
}

func (b *bench) pythonRows() []row {
	z := b.sizes
	// Pool's own choice, which ProcessPoolExecutor leaves to its user.
	chunk := (z.million + 4*b.processes - 1) / (4 * b.processes)
	// skewed in workloads.py is short below 450.
	from, to := 450-z.short, 450+z.long
	return []row{{
		name: "million", figure: wall(),
		what: thousands(z.million) + " × `x*x` over a range, until all are recorded",
		contenders: []contender{
			b.million(),
			b.pool("`Pool.map`", "pool", "square", 0, z.million, 0),
			b.pool("`ProcessPoolExecutor.map`, as large chunks", "futures", "square", 0, z.million, chunk),
			b.pool("joblib", "joblib", "square", 0, z.million, 0),
		},
	}, {
		name: "cpu", figure: b.share(time.Duration(z.cpu)*10*time.Millisecond, 10*time.Millisecond),
		what: thousands(z.cpu) + " × 10 ms of CPU, share of ideal",
		contenders: []contender{
			b.job(pythonJob("busy", 0, z.cpu), z.cpu),
			b.pool("`Pool.map`", "pool", "busy", 0, z.cpu, 0),
			b.pool("`ProcessPoolExecutor.map`", "futures", "busy", 0, z.cpu, 0),
			b.pool("joblib", "joblib", "busy", 0, z.cpu, 0),
		},
	}, {
		name: "skewed", figure: b.share(time.Duration(z.short)*5*time.Millisecond+time.Duration(z.long)*200*time.Millisecond, 200*time.Millisecond),
		what: fmt.Sprintf("%s tasks of 5 ms, then %s of 200 ms, share of ideal", thousands(z.short), thousands(z.long)),
		contenders: []contender{
			b.job(pythonJob("skewed", from, to), to-from),
			b.pool("`Pool.map`", "pool", "skewed", from, to, 0),
			b.pool("`Pool.map`, `chunksize=1`", "pool", "skewed", from, to, 1),
		},
	}}
}

func (b *bench) commandRows() []row {
	z := b.sizes
	return []row{{
		name: "true", figure: wall(),
		what: thousands(z.commands) + " × the command `true`",
		contenders: []contender{
			b.job(commandJob(z.commands, "true"), z.commands),
			b.xargs(z.commands, "true"),
			b.gnuParallel(z.commands, "true"),
		},
	}, {
		name: "print", figure: wall(),
		what: thousands(z.pythons) + " × the command `python3 -c 'print(1)'`",
		contenders: []contender{
			b.job(commandJob(z.pythons, "python3", "-c", "print(1)"), z.pythons),
			b.xargs(z.pythons, "python3", "-c", "print(1)"),
			b.gnuParallel(z.pythons, "python3", "-c", "print(1)"),
		},
	}}
}

func (b *bench) inputRows() []row {
	z := b.sizes
	return []row{{
		name: "stream", figure: wall("taken", "ended"),
		what:       thousands(z.inputs) + " inputs streamed to an open job, until it is sealed, and until all are recorded",
		contenders: []contender{b.stream(z.inputs)},
	}, {
		name: "lines", figure: wall("taken", "ended"),
		what:       "a job of " + thousands(z.inputs) + " lines, until it is accepted, and until all are recorded",
		contenders: []contender{b.lines(z.inputs)},
	}}
}

func (b *bench) latencyRows() []row {
	z := b.sizes
	return []row{{
		name: "latency", figure: quantiles,
		what: "one task on an idle server, from request to answer",
		contenders: []contender{
			allcores(func(ctx context.Context) ([]time.Duration, error) { return b.single(ctx, z.samples.idle) }),
			b.celery("one", z.samples.idle),
		},
	}, {
		name: "loaded", figure: quantiles,
		what:       "one task while another job keeps all cores busy",
		contenders: []contender{b.loaded(z.samples.loaded)},
	}}
}

func (b *bench) throughputRows() []row {
	z := b.sizes
	oneJob := b.million()
	oneJob.name = "one job of " + thousands(z.million)
	return []row{{
		name: "batch", figure: perSecond(z.batch),
		what: thousands(z.batch) + " × `x*x`, outputs fetched; Celery's as one group",
		contenders: []contender{
			b.job(pythonJob("square", 0, z.batch), z.batch),
			b.celery("all", z.batch),
		},
	}, {
		name: "hundred", figure: perSecond(z.jobs * z.tasksOfEach),
		what:       fmt.Sprintf("%s jobs of %s × `x*x` at once", thousands(z.jobs), thousands(z.tasksOfEach)),
		contenders: []contender{b.hundred(z.jobs, z.tasksOfEach), oneJob},
	}, {
		name: "results", figure: wall("from submission to the last line", "of it the download"),
		what:       thousands(z.million) + " results as NDJSON",
		contenders: []contender{b.results(z.million)},
	}}
}

// allcores is a contender on the server, which is ready anyway.
func allcores(r round) contender {
	return contender{name: "Allcores", open: func(context.Context) (session, error) { return session{round: r}, nil }}
}

// job submits a job of n tasks and waits for its end.
func (b *bench) job(spec map[string]any, n int) contender {
	return allcores(func(ctx context.Context) ([]time.Duration, error) {
		began := time.Now()
		_, err := b.server.finish(ctx, spec, n)
		return []time.Duration{time.Since(began)}, err
	})
}

// stream opens a job, streams n inputs to it and seals it.
func (b *bench) stream(n int) contender {
	inputs := numbers(n)
	return allcores(func(ctx context.Context) ([]time.Duration, error) {
		began := time.Now()
		var j job
		spec := map[string]any{"program": pythonProgram("square"), "inputs": map[string]any{"open": true}}
		if err := b.server.call(ctx, "POST", "/api/v1/jobs", spec, &j); err != nil {
			return nil, err
		}
		// A reader of unknown length is sent as it is read.
		body := struct{ io.Reader }{bytes.NewReader(inputs)}
		answer, err := b.server.request(ctx, "POST", "/api/v1/jobs/"+j.ID+"/tasks", body, "Content-Type", "application/x-ndjson")
		if err != nil {
			return nil, err
		}
		var taken struct{ First, Count int }
		err = json.NewDecoder(answer).Decode(&taken)
		if err = errors.Join(err, answer.Close()); err != nil {
			return nil, fmt.Errorf("read what was taken: %w", err)
		}
		if taken.Count != n {
			return nil, fmt.Errorf("of %d inputs %d were taken", n, taken.Count)
		}
		if err := b.server.call(ctx, "POST", "/api/v1/jobs/"+j.ID+"/seal", nil, &j); err != nil {
			return nil, err
		}
		sealed := time.Since(began)
		_, err = b.server.await(ctx, j, n)
		return []time.Duration{sealed, time.Since(began)}, err
	})
}

// lines submits a job with n lines as inputs.
func (b *bench) lines(n int) contender {
	spec := map[string]any{"program": pythonProgram("length"), "inputs": map[string]any{"lines": string(numbers(n))}}
	return allcores(func(ctx context.Context) ([]time.Duration, error) {
		began := time.Now()
		var j job
		if err := b.server.call(ctx, "POST", "/api/v1/jobs", spec, &j); err != nil {
			return nil, err
		}
		accepted := time.Since(began)
		_, err := b.server.await(ctx, j, n)
		return []time.Duration{accepted, time.Since(began)}, err
	})
}

// numbers are those below n, one a line.
func numbers(n int) []byte {
	var text []byte
	for i := range n {
		text = append(strconv.AppendInt(text, int64(i), 10), '\n')
	}
	return text
}

// single submits n jobs of one task, one after the other over one connection,
// and returns how long each took.
func (b *bench) single(ctx context.Context, n int) ([]time.Duration, error) {
	took := make([]time.Duration, n)
	for i := range took {
		began := time.Now()
		if _, err := b.server.finish(ctx, pythonJob("square", i, i+1), 1); err != nil {
			return nil, err
		}
		took[i] = time.Since(began)
	}
	return took, nil
}

// loaded takes n samples of one task's latency while a job of more tasks than
// end in that time runs on all cores.
func (b *bench) loaded(n int) contender {
	open := func(ctx context.Context) (session, error) {
		var j job
		if err := b.server.call(ctx, "POST", "/api/v1/jobs", pythonJob("busy", 0, 100_000_000), &j); err != nil {
			return session{}, err
		}
		path := "/api/v1/jobs/" + j.ID
		end := func() error {
			if ctx.Err() != nil {
				return nil // the server ends, and the job with it
			}
			if err := b.server.call(ctx, "POST", path+"/cancel", nil, &j); err != nil {
				return err
			}
			for !j.ended() {
				if err := b.server.call(ctx, "GET", path+"?wait=60", nil, &j); err != nil {
					return err
				}
			}
			return nil
		}
		// By then its chunks have their size, and every core has one.
		for deadline := time.Now().Add(time.Minute); j.Counts["succeeded"] < int64(100*b.processes); time.Sleep(50 * time.Millisecond) {
			err := b.server.call(ctx, "GET", path, nil, &j)
			if err == nil && time.Now().After(deadline) {
				err = fmt.Errorf("the job that keeps the cores busy has %v", j.Counts)
			}
			if err != nil {
				return session{}, errors.Join(err, end())
			}
		}
		return session{close: end, round: func(ctx context.Context) ([]time.Duration, error) { return b.single(ctx, n) }}, nil
	}
	return contender{name: "Allcores", open: open}
}

// hundred submits jobs of n tasks each, all at once, and waits for the end of
// the last.
func (b *bench) hundred(jobs, n int) contender {
	count := 0
	return allcores(func(ctx context.Context) ([]time.Duration, error) {
		count++
		tag := fmt.Sprintf("bench-%d", count)
		spec := pythonJob("square", 0, n)
		spec["tags"] = []string{tag}
		began := time.Now()
		submitted := make([]job, jobs)
		errs := make([]error, jobs)
		var all sync.WaitGroup
		for i := range submitted {
			all.Go(func() { errs[i] = b.server.call(ctx, "POST", "/api/v1/jobs", spec, &submitted[i]) })
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
		// Waiting for each would fetch its outputs too, which nobody else does.
		for {
			var running struct{ Items []job }
			if err := b.server.call(ctx, "GET", "/api/v1/jobs?limit=1&state=queued,running&tag="+tag, nil, &running); err != nil {
				return nil, err
			}
			if len(running.Items) == 0 {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		took := time.Since(began)
		for _, j := range submitted {
			if _, err := b.server.await(ctx, j, n); err != nil {
				return nil, err
			}
		}
		return []time.Duration{took}, nil
	})
}

// results submits a job of n tasks, waits for its end and downloads what its
// tasks ended with.
func (b *bench) results(n int) contender {
	return allcores(func(ctx context.Context) ([]time.Duration, error) {
		began := time.Now()
		j, err := b.server.finish(ctx, pythonJob("square", 0, n), n)
		if err != nil {
			return nil, err
		}
		ended := time.Now()
		body, err := b.server.request(ctx, "GET", "/api/v1/jobs/"+j.ID+"/results", nil)
		if err != nil {
			return nil, err
		}
		defer body.Close()
		lines, end, block := 0, tail{}, make([]byte, 64<<10)
		for {
			got, err := body.Read(block)
			lines += bytes.Count(block[:got], []byte("\n"))
			_, _ = end.Write(block[:got]) // it takes everything
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("download results: %w", err)
			}
		}
		took := []time.Duration{time.Since(began), time.Since(ended)}
		var last struct{ Index, Output int }
		text := end.String()
		if err := json.Unmarshal([]byte(text[1+strings.LastIndexByte(text, '\n'):]), &last); err != nil {
			return nil, fmt.Errorf("read the last result: %w", err)
		}
		if lines != n || last.Index != n-1 || last.Output != (n-1)*(n-1) {
			return nil, fmt.Errorf("there are %d results of %d, the last is %+v", lines, n, last)
		}
		return took, nil
	})
}
