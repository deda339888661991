package storetest_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/allcores/allcores/internal/store/storetest"
)

// childEnv makes the test binary another test process. It prints the contents of a
// database of the template with this fingerprint.
const childEnv = "ALLCORES_STORETEST_CHILD"

func TestMain(m *testing.M) {
	storetest.SetTemplates("selftest", 2)
	goleak.VerifyTestMain(storetest.Main(m), storetest.IgnoreServer())
}

// counted is a template that counts its migrations, here and, by way of the
// table's content, in other processes.
func counted(fingerprint string, runs *atomic.Int32) storetest.Template {
	return storetest.Template{
		Fingerprint: fingerprint,
		Migrate: func(ctx context.Context, url string) error {
			runs.Add(1)
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				return err
			}
			defer conn.Close(ctx)
			_, err = conn.Exec(ctx, fmt.Sprintf("create table t (pid int); insert into t values (%d)", os.Getpid()))
			return err
		},
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func count(t *testing.T, conn *pgx.Conn, query string, args ...any) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEachTestHasItsOwnDatabase(t *testing.T) {
	var runs atomic.Int32
	tpl := counted("own-"+rand.Text(), &runs)
	var urls [3]string
	t.Run("group", func(t *testing.T) {
		for i := range urls {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				urls[i] = tpl.New(t)
				conn := connect(t, urls[i])
				if n := count(t, conn, "select count(*) from t"); n != 1 {
					t.Errorf("a new database has %d rows, want the template's 1", n)
				}
				if _, err := conn.Exec(t.Context(), "insert into t values (0)"); err != nil {
					t.Error(err)
				}
			})
		}
	})
	if n := runs.Load(); n != 1 {
		t.Errorf("the migrations ran %d times, want once", n)
	}
	for _, url := range urls {
		if conn, err := pgx.Connect(t.Context(), url); err == nil {
			conn.Close(t.Context())
			t.Errorf("%s is still there after its test", url)
		} else if !strings.Contains(err.Error(), "3D000") {
			t.Error(err)
		}
	}
}

func TestDatabaseIsDroppedUnderAnOpenConnection(t *testing.T) {
	var runs atomic.Int32
	var left *pgx.Conn
	t.Run("leaves a connection", func(t *testing.T) {
		var err error
		if left, err = pgx.Connect(t.Context(), counted("constant", &runs).New(t)); err != nil {
			t.Fatal(err)
		}
	})
	if err := left.Ping(t.Context()); err == nil {
		t.Error("the connection outlived its database")
	}
	left.Close(t.Context())
}

func TestAnotherFingerprintIsAnotherTemplate(t *testing.T) {
	var runs atomic.Int32
	counted("one-"+rand.Text(), &runs).New(t)
	counted("two-"+rand.Text(), &runs).New(t)
	if n := runs.Load(); n != 2 {
		t.Errorf("the migrations ran %d times, want 2", n)
	}
}

// TestUnusedTemplatesAreDropped checks that a template in use stays, and that unused
// ones are dropped.
func TestUnusedTemplatesAreDropped(t *testing.T) {
	const stage = "ALLCORES_STORETEST_PILE"
	var runs atomic.Int32
	if os.Getenv(stage) != "" {
		counted("pile-"+rand.Text(), &runs).New(t)
		return
	}
	tpl := counted("kept-"+rand.Text(), &runs)
	conn := connect(t, tpl.New(t))
	before := count(t, conn, "select count(*) from pg_database where datname like 'selftest\\_%'")
	for range 4 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestUnusedTemplatesAreDropped$")
		cmd.Env = append(os.Environ(), stage+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if n := count(t, conn, "select count(*) from pg_database where datname like 'selftest\\_%'"); n > before+2 {
		t.Errorf("%d templates grew to %d, want at most 2 more", before, n)
	}
	tpl.New(t)
	if n := runs.Load(); n != 1 {
		t.Errorf("the migrations ran %d times, want once", n)
	}
}

func TestFailedMigrationLeavesNoTemplate(t *testing.T) {
	fingerprint := "failed-" + rand.Text()
	broken := storetest.Template{
		Fingerprint: fingerprint,
		Migrate: func(ctx context.Context, url string) error {
			return fmt.Errorf("broken on purpose")
		},
	}
	probe := &probeTB{TB: t}
	probe.run(func() { broken.New(probe) })
	if !strings.Contains(probe.message, "broken on purpose") {
		t.Fatalf("New ended with %q, want the migration's error", probe.message)
	}
	var runs atomic.Int32
	conn := connect(t, counted(fingerprint, &runs).New(t))
	if n := count(t, conn, "select count(*) from t"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

// probeTB notes a t.Fatal instead of failing.
type probeTB struct {
	testing.TB
	message string
}

func (p *probeTB) Fatal(args ...any) {
	p.message = fmt.Sprint(args...)
	panic(p)
}

func (p *probeTB) run(f func()) {
	defer func() {
		if r := recover(); r != nil && r != any(p) {
			panic(r)
		}
	}()
	f()
}

// TestProcessesShareTheServer checks that several processes share the template, and
// that none drops another's databases.
func TestProcessesShareTheServer(t *testing.T) {
	if fingerprint := os.Getenv(childEnv); fingerprint != "" {
		var runs atomic.Int32
		conn := connect(t, counted(fingerprint, &runs).New(t))
		fmt.Printf("made by %d\n", count(t, conn, "select pid from t"))
		return
	}
	var runs atomic.Int32
	fingerprint := "shared-" + rand.Text()
	url := counted(fingerprint, &runs).New(t)

	const children = 3
	outputs := make(chan string, children)
	for range children {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProcessesShareTheServer$")
		cmd.Env = append(os.Environ(), childEnv+"="+fingerprint)
		go func() {
			out, err := cmd.CombinedOutput()
			outputs <- fmt.Sprintf("%s%v", out, err)
		}()
	}
	for range children {
		if out, want := <-outputs, fmt.Sprintf("made by %d\n", os.Getpid()); !strings.Contains(out, want) {
			t.Errorf("a child said %q, want %q", out, want)
		}
	}
	if n := count(t, connect(t, url), "select count(*) from t"); n != 1 {
		t.Errorf("%d rows after the children, want 1", n)
	}
}

// TestDatabasesOfKilledProcessesAreDropped checks that the next process drops the
// databases of a killed one.
func TestDatabasesOfKilledProcessesAreDropped(t *testing.T) {
	const stage = "ALLCORES_STORETEST_KILLED"
	tpl := counted("constant", new(atomic.Int32))
	switch os.Getenv(stage) {
	case "die":
		fmt.Printf("url %s\n", tpl.New(t))
		os.Exit(3) // without a Cleanup or Main's end
	case "sweep":
		tpl.New(t)
		return
	}
	tpl.New(t) // keeps the server for both children
	child := func(what string) string {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDatabasesOfKilledProcessesAreDropped$")
		cmd.Env = append(os.Environ(), stage+"="+what)
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	out := child("die")
	_, url, ok := strings.Cut(strings.TrimSpace(out), "url ")
	if !ok {
		t.Fatalf("the child said %q", out)
	}
	if out := child("sweep"); !strings.Contains(out, "PASS") {
		t.Fatalf("the second child said %q", out)
	}
	if conn, err := pgx.Connect(t.Context(), url); err == nil {
		conn.Close(t.Context())
		t.Error("the killed child's database is still there")
	}
}

func BenchmarkNew(b *testing.B) {
	tpl := counted("constant", new(atomic.Int32))
	for b.Loop() {
		b.StopTimer()
		done := &cleanupTB{TB: b}
		b.StartTimer()
		tpl.New(done)
		done.cleanup()
	}
}

// cleanupTB runs the clean-up on request, so that it can be measured.
type cleanupTB struct {
	testing.TB
	cleanup func()
}

func (c *cleanupTB) Cleanup(f func()) { c.cleanup = f }
