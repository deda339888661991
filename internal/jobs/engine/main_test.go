package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/jobs/engine/scopes"
	"github.com/allcores/allcores/internal/jobs/executor"
	pyexec "github.com/allcores/allcores/internal/jobs/executor/python"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/internal/store/storetest"
)

// nodeURL makes the test binary a node on that database, to be killed.
const nodeURL = "ALLCORES_TEST_NODE_URL"

func TestMain(m *testing.M) {
	if url := os.Getenv(nodeURL); url != "" {
		if err := serveNode(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(storetest.Main(m).Run())
}

// serveNode runs a worker until SIGTERM.
func serveNode(url string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	s, err := store.Open(ctx, store.Options{URL: url, MaxConns: 6, Logger: logger})
	if err != nil {
		return err
	}
	defer s.Close()
	py := pyexec.New(pyexec.Options{Logger: logger})
	defer py.Close()
	o := engine.Options{
		Store: s, Logger: logger, Role: engine.RoleWorker, Cores: []int{0, 1},
		Executors: map[string]executor.Executor{"python": py}, Checks: engine.Checks{Python: py.Check},
	}
	var e *engine.Engine
	if shares := os.Getenv(nodeShares); shares != "" {
		x := &sharing{task: leavesEffects, service: func() *scopes.Service { return e.Shared() }}
		if shares == "2" {
			x.task = holdsLock
		}
		o.Executors["python"], o.Checks = x, engine.Checks{}
	}
	if e, err = engine.New(ctx, o); err != nil {
		return err
	}
	if err := e.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return e.Stop(context.WithoutCancel(ctx), 2*time.Second)
}
