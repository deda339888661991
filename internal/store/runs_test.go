package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/migrations"
)

// runAll claims and records everything of a job in chunks of at most ten tasks of
// 100 ms. It fails the tasks that fail chooses, and returns those that ran.
func runAll(t *testing.T, s *store.Store, id string, fail func(index int64) bool) (ran []int64) {
	t.Helper()
	for {
		l := claim(t, s, id, 10)
		if l == nil {
			return ran
		}
		var failed []int32
		for i := range l.Count {
			ran = append(ran, l.First+int64(i))
			if fail(l.First + int64(i)) {
				failed = append(failed, int32(i))
			}
		}
		run := outcomesOf(l.First, l.Count, failed...)
		codes := lasting(l.First, durations(l.Count, 100*time.Millisecond)...)
		run.Durations = codes.Durations
		record(t, s, store.Record{Job: id, Lease: l.ID, Count: l.Count, Outcomes: []outcomes.Encoded{run}, Usage: store.Usage{User: time.Second, Tasks: time.Duration(l.Count) * 100 * time.Millisecond}})
	}
}

func durations(n int, each time.Duration) (all []time.Duration) {
	for range n {
		all = append(all, each)
	}
	return all
}

func runsOf(t *testing.T, s *store.Store, job *jobs.Job) []jobs.Run {
	t.Helper()
	runs, err := s.Runs(t.Context(), job, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range runs {
		c := r.Counts
		if r.Run != i+1 || c.Waiting+c.Running+c.Done() != c.Total || r.TasksRun != c.Succeeded+c.Failed || r.Rate < 0 {
			t.Errorf("run %d: %+v", i+1, r)
		}
	}
	return runs
}

func none(int64) bool { return false }

func below(n int64) func(int64) bool { return func(i int64) bool { return i < n } }

// TestRuns retries a job twice. The job's times and rate are those of its newest run,
// and the figures of earlier runs do not change.
func TestRuns(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	id := insert(t, s, admin, pythonSpec(rangeOf(1000)))
	runAll(t, s, id, below(30))
	exec(t, s, `update jobs set started_at = finished_at - interval '10 s', created_at = finished_at - interval '60 s' where id = $1`, id)
	exec(t, s, `update chunks set leased_at = leased_at - interval '10 s', started_at = started_at - interval '10 s', finished_at = finished_at - interval '10 s' where job_id = $1`, id)
	first := read(t, s, admin, id)
	firstReport := report(t, s, admin, id)
	if !about(first.Rate, 100) || first.Run != 1 || firstReport.Tasks.Count != 1000 {
		t.Fatalf("%+v, %+v", first, firstReport)
	}
	for i, want := range []struct{ failing, failed int64 }{{4, 4}, {0, 0}} {
		if err := s.Retry(t.Context(), store.As(admin), id, nil, nil); err != nil {
			t.Fatal(err)
		}
		if j := read(t, s, admin, id); j.State != jobs.Queued || j.StartedAt != nil || j.FinishedAt != nil || j.Rate != 0 || j.Run != i+2 {
			t.Errorf("a retry that waits: %+v", j)
		}
		runAll(t, s, id, below(want.failing))
		j := read(t, s, admin, id)
		if j.Counts.Failed != want.failed || j.Elapsed(time.Now()) > 5*time.Second {
			t.Errorf("%+v", j)
		}
	}
	exec(t, s, `update jobs set started_at = finished_at - interval '2 s' where id = $1`, id)
	last := read(t, s, admin, id)
	if last.State != jobs.Succeeded || !about(last.Rate, 2) || last.Run != 3 {
		t.Errorf("%+v", last)
	}
	runs := runsOf(t, s, last)
	if len(runs) != 3 {
		t.Fatalf("%d runs", len(runs))
	}
	for i, want := range []jobs.Run{
		{State: jobs.Failed, Reason: "30 of 1000 tasks failed", TasksRun: 1000, Counts: jobs.Counts{Total: 1000, Succeeded: 970, Failed: 30}, CPUSeconds: 100, ElapsedSeconds: 10, Rate: 100},
		{State: jobs.Failed, Reason: "4 of 1000 tasks failed", TasksRun: 30, Counts: jobs.Counts{Total: 30, Succeeded: 26, Failed: 4}, CPUSeconds: 3},
		{State: jobs.Succeeded, TasksRun: 4, Counts: jobs.Counts{Total: 4, Succeeded: 4}, CPUSeconds: 1, ElapsedSeconds: 2, Rate: 2},
	} {
		got := runs[i]
		if i == 1 {
			got.ElapsedSeconds, got.Rate = 0, 0
		}
		if got.StartedAt == nil || got.FinishedAt == nil || got.StartedAt.Before(got.QueuedAt.Time) && i < 2 {
			t.Errorf("run %d: %+v", i+1, got)
		}
		want.Run, want.QueuedAt, want.StartedAt, want.FinishedAt = i+1, got.QueuedAt, got.StartedAt, got.FinishedAt
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("run %d:\n%s", i+1, diff)
		}
	}
	if kept, err := s.RunReport(t.Context(), last, 1); err != nil || cmp.Diff(firstReport, kept) != "" {
		t.Errorf("the first run's report: %v\n%s", err, cmp.Diff(firstReport, kept))
	}
	for run, tasks := range map[int]int64{2: 30, 3: 4} {
		if r, err := s.RunReport(t.Context(), last, run); err != nil || r.Tasks.Count != tasks {
			t.Errorf("the report of run %d: %+v, %v", run, r, err)
		}
	}
	if _, err := s.RunReport(t.Context(), last, 4); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("a run that there is not: %v", err)
	}
	if two, err := s.Runs(t.Context(), last, 1, 1); err != nil || len(two) != 1 || two[0].Run != 2 {
		t.Errorf("a page: %+v, %v", two, err)
	}
	if err := s.DeleteJob(t.Context(), store.As(admin), id); err != nil {
		t.Fatal(err)
	}
	for table, text := range everything(t, s, id) {
		if text != "" {
			t.Errorf("%s keeps %s", table, text)
		}
	}
}

// TestRetryOnly retries some failures of a job. Its other failures and cancelled
// tasks do not change.
func TestRetryOnly(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	limit := jobs.FailureLimit("5")
	spec := pythonSpec(rangeOf(100))
	spec.Policy.MaxFailures = &limit
	id := insert(t, s, admin, spec)
	runAll(t, s, id, below(8)) // the first chunk stops the job
	if c := read(t, s, admin, id).Counts; c != (jobs.Counts{Total: 100, Succeeded: 2, Failed: 8, Cancelled: 90}) {
		t.Fatalf("%+v", c)
	}
	pair := func(index int64, e *jobs.TaskError) bool {
		return e.Message == "bad" && (index == 3 || index == 4 || index == 7)
	}
	if err := s.Retry(t.Context(), store.As(admin), id, nil, func(int64, *jobs.TaskError) bool { return false }); !errors.Is(err, jobs.ErrConflict) {
		t.Errorf("a retry of nothing: %v", err)
	}
	if err := s.Retry(t.Context(), store.As(admin), id, nil, pair); err != nil {
		t.Fatal(err)
	}
	j := read(t, s, admin, id)
	if j.Counts != (jobs.Counts{Total: 100, Waiting: 3, Succeeded: 2, Failed: 5, Cancelled: 90}) || j.RunCounts() != (jobs.Counts{Total: 3, Waiting: 3}) {
		t.Errorf("%+v of it %+v", j.Counts, j.RunCounts())
	}
	if sum, err := s.Summary(t.Context()); err != nil || sum.Queues["cpu"].WaitingTasks != 3 {
		t.Errorf("%+v, %v", sum.Queues["cpu"], err)
	}
	if groups, err := s.FailureGroups(t.Context(), id, 10); err != nil || len(groups) != 1 || groups[0].Count != 5 || groups[0].FirstIndex != 0 {
		t.Errorf("%+v, %v", groups, err)
	}
	if ran := runAll(t, s, id, below(4)); !cmp.Equal(ran, []int64{3, 4, 7}) {
		t.Errorf("%v ran", ran)
	}
	j = read(t, s, admin, id)
	if j.State != jobs.Failed || j.Counts != (jobs.Counts{Total: 100, Succeeded: 4, Failed: 6, Cancelled: 90}) || j.Reason != "6 of 100 tasks failed" {
		t.Errorf("%+v", j)
	}
	if runs := runsOf(t, s, j); len(runs) != 2 || runs[1].Counts != (jobs.Counts{Total: 3, Succeeded: 2, Failed: 1}) {
		t.Errorf("%+v", runs)
	}
	// All tasks that are left run and succeed.
	if err := s.Retry(t.Context(), store.As(admin), id, nil, nil); err != nil {
		t.Fatal(err)
	}
	if ran := runAll(t, s, id, none); len(ran) != 96 {
		t.Errorf("%d ran", len(ran))
	}
	j = read(t, s, admin, id)
	if runs := runsOf(t, s, j); j.State != jobs.Succeeded || len(runs) != 3 || runs[2].Counts != (jobs.Counts{Total: 96, Succeeded: 96}) {
		t.Errorf("%+v, %+v", j, runs)
	}
	// A job with cancelled tasks left has not succeeded.
	id = insert(t, s, admin, spec)
	runAll(t, s, id, below(8))
	if err := s.Retry(t.Context(), store.As(admin), id, nil, func(int64, *jobs.TaskError) bool { return true }); err != nil {
		t.Fatal(err)
	}
	runAll(t, s, id, none)
	if j := read(t, s, admin, id); j.State != jobs.Cancelled || j.Counts.Cancelled != 90 {
		t.Errorf("%+v", j)
	}
}

// TestRetryOfAnOpenJob checks that a job that was cancelled before it was sealed
// takes inputs again.
func TestRetryOfAnOpenJob(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	v := store.As(admin)
	id := insert(t, s, admin, pythonSpec(jobs.Inputs{Open: true}))
	add := func(n int, seal bool) {
		t.Helper()
		values := func(yield func([]byte, error) bool) {
			for range n {
				if !yield([]byte("1"), nil) {
					return
				}
			}
		}
		if _, _, err := s.Append(t.Context(), store.AppendRequest{Viewer: v, Job: id, Values: values, Seal: seal}); err != nil {
			t.Fatal(err)
		}
	}
	add(20, false)
	l := claim(t, s, id, 10)
	record(t, s, store.Record{Job: id, Lease: l.ID, Count: l.Count, Outcomes: []outcomes.Encoded{outcomesOf(l.First, l.Count)}})
	if err := s.Cancel(t.Context(), v, id, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Retry(t.Context(), v, id, nil, nil); err != nil {
		t.Fatal(err)
	}
	if j := read(t, s, admin, id); j.State != jobs.Open {
		t.Errorf("%+v", j)
	}
	runAll(t, s, id, none)
	add(5, true)
	runAll(t, s, id, none)
	j := read(t, s, admin, id)
	if runs := runsOf(t, s, j); j.State != jobs.Succeeded || j.Counts.Succeeded != 25 || len(runs) != 2 || runs[0].State != jobs.Cancelled {
		t.Errorf("%+v, %+v", j, runs)
	}
}

// TestRunsOfAnOldDatabase migrates a database of the version before runs: a job that
// was never retried has one run, a retried job has its newest run apart.
func TestRunsOfAnOldDatabase(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	s, admin := openAt(t, url)
	register(t, s, node)
	plain, retried := insert(t, s, admin, pythonSpec(rangeOf(20))), insert(t, s, admin, pythonSpec(rangeOf(40)))
	runAll(t, s, plain, none)
	runAll(t, s, retried, below(5))
	exec(t, s, `update chunks set leased_at = leased_at - interval '1 min', started_at = started_at - interval '1 min', finished_at = finished_at - interval '1 min' where job_id = $1`, retried)
	if err := s.Retry(t.Context(), store.As(admin), retried, nil, nil); err != nil {
		t.Fatal(err)
	}
	runAll(t, s, retried, none)
	db := stdlib.OpenDBFromPool(s.Pool)
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.DownTo(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	if err := store.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s.Pool.Reset() // its statements are of the old tables
	if runs := runsOf(t, s, read(t, s, admin, plain)); len(runs) != 1 || runs[0].Counts.Succeeded != 20 {
		t.Errorf("%+v", runs)
	}
	j := read(t, s, admin, retried)
	runs := runsOf(t, s, j)
	if len(runs) != 2 || runs[0].Counts != (jobs.Counts{Total: 40, Succeeded: 35, Failed: 5}) || runs[1].Counts != (jobs.Counts{Total: 5, Succeeded: 5}) {
		t.Fatalf("%+v", runs)
	}
	if r, err := s.RunReport(t.Context(), j, 1); err != nil || r != nil {
		t.Errorf("a report that was not kept: %+v, %v", r, err)
	}
	if r, err := s.RunReport(t.Context(), j, 2); err != nil || r.Tasks.Count != 5 {
		t.Errorf("%+v, %v", r, err)
	}
}
