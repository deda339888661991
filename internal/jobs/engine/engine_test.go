package engine_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/internal/store/storetest"
)

var template = storetest.Template{Fingerprint: store.SchemaFingerprint(), Migrate: store.Migrate}

// A node is an engine on a store of its own.
type node struct {
	*engine.Engine
	store *store.Store
	admin *jobs.User
	once  sync.Once
}

// stop ends the node as if its grace period were over.
func (n *node) stop(t testing.TB) {
	n.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := n.Stop(ctx, 0); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
}

// start brings up a node on the database at url.
func start(t testing.TB, url string, o engine.Options) *node {
	t.Helper()
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{URL: url, MaxConns: 10, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.EnsureAdmin(ctx, "test", "secret"); err != nil {
		t.Fatal(err)
	}
	admin, err := s.UserByToken(ctx, "secret")
	if err != nil {
		t.Fatal(err)
	}
	o.Store = s
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	if o.Role == "" {
		o.Role = engine.RoleAll
	}
	if o.Cores == nil {
		o.Cores = []int{0, 1}
	}
	e, err := engine.New(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(ctx); err != nil {
		t.Fatal(err)
	}
	n := &node{Engine: e, store: s, admin: admin}
	t.Cleanup(func() { n.stop(t) })
	return n
}

func (n *node) submit(t testing.TB, spec jobs.Spec) string {
	t.Helper()
	id, err := n.Submit(context.Background(), engine.SubmitRequest{User: n.admin, Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// end waits for a job to end.
func (n *node) end(t testing.TB, id string, atMost time.Duration) *jobs.Job {
	t.Helper()
	j, err := n.Await(context.Background(), engine.AwaitRequest{Job: id, Viewer: store.As(n.admin), AtMost: atMost})
	if err != nil {
		t.Fatal(err)
	}
	if !j.State.Ended() {
		t.Fatalf("job has not ended after %v: %+v", atMost, j)
	}
	return j
}

// outputs reads the outputs of a job in the order of the tasks, with "!" for failures.
func (n *node) outputs(t testing.TB, id string) []string {
	t.Helper()
	var all []string
	for {
		blocks, err := n.store.Outcomes(context.Background(), id, int64(len(all)), store.Pick{})
		if err != nil {
			t.Fatal(err)
		}
		if len(blocks) == 0 {
			return all
		}
		for _, b := range blocks {
			if b.First != int64(len(all)) {
				t.Fatalf("a block begins at %d, want %d", b.First, len(all))
			}
			for int64(len(b.Outputs)) < b.Size {
				more, err := n.store.MoreOutputs(context.Background(), id, b.Seq, int64(len(b.Outputs)))
				if err != nil {
					t.Fatal(err)
				}
				b.Outputs = append(b.Outputs, more...)
			}
			lines := 0
			for _, line := range outcomes.Lines(b.Outputs) {
				lines++
				if line.Failed() {
					all = append(all, "!"+string(line.Value()))
				} else {
					all = append(all, string(line.Value()))
				}
			}
			if lines != b.Count {
				t.Fatalf("block at %d has %d lines, want %d", b.First, lines, b.Count)
			}
		}
	}
}

func rangeOf(n int64) jobs.Inputs { return jobs.Inputs{Range: &jobs.Range{Stop: n, Step: 1}} }

func python(source, function string, in jobs.Inputs) jobs.Spec {
	return jobs.Spec{Program: jobs.Program{Python: &jobs.Python{Source: source, Function: function}}, Inputs: in}
}

func TestManyTasks(t *testing.T) {
	t.Parallel()
	n := start(t, template.New(t), engine.Options{Executors: map[string]executor.Executor{"python": squares{}}})
	began := time.Now()
	id := n.submit(t, python("def f(x): return x*x", "f", rangeOf(1_000_000)))
	j := n.end(t, id, 30*time.Second)
	t.Logf("%v, job says %v", time.Since(began), j.Elapsed(time.Now()))
	if j.State != jobs.Succeeded || j.Counts.Succeeded != 1_000_000 {
		t.Fatalf("%+v", j)
	}
	for i, text := range n.outputs(t, id) {
		if i == 999_999 && text != "999998000001" {
			t.Errorf("output of %d is %s", i, text)
		}
	}
	for range 5 {
		began := time.Now()
		id := n.submit(t, python("def f(x): return x*x", "f", rangeOf(1)))
		n.end(t, id, 30*time.Second)
		t.Logf("one task: %v", time.Since(began))
	}
}
