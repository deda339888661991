package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
	"github.com/allcores/allcores/internal/store/storetest"
)

var template = storetest.Template{Fingerprint: store.SchemaFingerprint(), Migrate: store.Migrate}

// open returns a store on a fresh database and its admin.
func open(t testing.TB) (*store.Store, *jobs.User) {
	t.Helper()
	return openAt(t, template.New(t))
}

// openAt is open on the database at url.
func openAt(t testing.TB, url string) (*store.Store, *jobs.User) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{URL: url, MaxConns: 4, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.EnsureAdmin(t.Context(), "test", "secret"); err != nil {
		t.Fatal(err)
	}
	admin, err := s.UserByToken(t.Context(), "secret")
	if err != nil {
		t.Fatal(err)
	}
	return s, admin
}

// insert writes a job of spec and returns its id.
func insert(t testing.TB, s *store.Store, owner *jobs.User, spec jobs.Spec) string {
	t.Helper()
	if found := spec.Validate(); len(found) > 0 {
		t.Fatal(found)
	}
	spec = spec.WithDefaults()
	id := store.NewID()
	err := s.Tx(t.Context(), func(tx pgx.Tx) error {
		_, err := s.InsertJob(t.Context(), tx, store.NewJob{ID: id, OwnerID: owner.ID, Spec: spec, Lanes: 2, Turns: 2})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func pythonSpec(in jobs.Inputs) jobs.Spec {
	return jobs.Spec{Program: jobs.Program{Python: &jobs.Python{Source: "def f(x):\n    return x\n", Function: "f"}}, Inputs: in}
}

func rangeOf(n int64) jobs.Inputs { return jobs.Inputs{Range: &jobs.Range{Stop: n, Step: 1}} }

// outcomes makes a run of successes whose outputs are their indexes.
func outcomesOf(first int64, count int, failed ...int32) outcomes.Encoded {
	run := outcomes.Encoded{First: first, Count: count, Failed: failed, Durations: make([]byte, 2*count)}
	for i := range count {
		if len(failed) > 0 && failed[0] == int32(i) {
			run.Outputs = outcomes.AppendFailure(run.Outputs, &jobs.TaskError{Kind: jobs.KindException, Type: "ValueError", Message: "bad"})
			failed = failed[1:]
			continue
		}
		run.Outputs = fmt.Appendf(run.Outputs, "%d\n", first+int64(i))
	}
	return run
}

func claim(t *testing.T, s *store.Store, job string, want int) *store.Lease {
	t.Helper()
	w, err := s.Work(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Claim(t.Context(), store.Claim{Job: job, Node: node, Want: want, Floor: want, Fixed: true, First: true, Ranged: w.Inputs.Range != nil})
	if err != nil {
		t.Fatal(err)
	}
	return c.Lease
}

const node = "0192f0c8-0000-7000-8000-000000000001"

func register(t testing.TB, s *store.Store, id string) {
	t.Helper()
	if err := s.Register(t.Context(), store.NewNode{ID: id, Host: "here", Role: "all", Cores: 2}); err != nil {
		t.Fatal(err)
	}
}

func record(t *testing.T, s *store.Store, r store.Record) store.Progress {
	t.Helper()
	p, _, err := s.Record(t.Context(), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func read(t testing.TB, s *store.Store, u *jobs.User, id string) *jobs.Job {
	t.Helper()
	j, err := s.Job(t.Context(), store.As(u), id)
	if err != nil {
		t.Fatal(err)
	}
	c := j.Counts
	if c.Waiting+c.Running+c.Done() != c.Total {
		t.Errorf("counts do not add up: %+v", c)
	}
	return j
}

func TestJobFromSubmitToEnd(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	spec := pythonSpec(jobs.Inputs{})
	for i := range 10_000 {
		spec.Inputs.Items = append(spec.Inputs.Items, json.RawMessage(fmt.Sprint(i)))
	}
	id := insert(t, s, admin, spec)
	if j := read(t, s, admin, id); j.State != jobs.Queued || j.Counts.Waiting != 10_000 || j.Owner != "admin" || j.Inputs.Kind != "items" {
		t.Errorf("after submit: %+v", j)
	}
	seen := int64(0)
	for n := 1; ; n = n*3 + 1 {
		lease := claim(t, s, id, n)
		if lease == nil {
			break
		}
		lines := strings.Split(strings.TrimSpace(string(lease.Inputs)), "\n")
		if lease.First != seen || len(lines) != lease.Count || lines[0] != fmt.Sprint(seen) || lines[len(lines)-1] != fmt.Sprint(seen+int64(lease.Count)-1) {
			t.Fatalf("lease %+v has inputs %s … %s", lease.ID, lines[0], lines[len(lines)-1])
		}
		seen += int64(lease.Count)
		if j := read(t, s, admin, id); j.State != jobs.Running || j.Counts.Running != int64(lease.Count) || j.StartedAt == nil {
			t.Errorf("while leased: %+v", j)
		}
		p := record(t, s, store.Record{Job: id, Lease: lease.ID, Count: lease.Count, Runs: []outcomes.Encoded{outcomesOf(lease.First, lease.Count)}})
		if !p.Held || p.Ended != (seen == 10_000) || p.Succeeded != seen {
			t.Fatalf("recorded %d: %+v", seen, p)
		}
	}
	j := read(t, s, admin, id)
	if j.State != jobs.Succeeded || j.Counts.Succeeded != 10_000 || j.FinishedAt == nil || j.Reason != "" {
		t.Errorf("at the end: %+v", j)
	}
	next := int64(0)
	for {
		blocks, err := s.Outcomes(t.Context(), id, next, store.Pick{})
		if err != nil {
			t.Fatal(err)
		}
		if len(blocks) == 0 {
			break
		}
		for _, b := range blocks {
			if b.First != next {
				t.Fatalf("block begins at %d, want %d", b.First, next)
			}
			for i, line := range outcomes.Lines(b.Outputs) {
				if string(line) != fmt.Sprint(b.First+int64(i)) {
					t.Fatalf("output of %d is %s", b.First+int64(i), line)
				}
			}
			next += int64(b.Count)
		}
	}
	if next != 10_000 {
		t.Errorf("read %d outcomes", next)
	}
}

func TestFairShare(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(rangeOf(1000)))
	var got []int
	for range 4 {
		c, err := s.Claim(t.Context(), store.Claim{Job: id, Node: node, Want: 400, Floor: 10, Ranged: true})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, c.Lease.Count)
	}
	// A quarter of what is left each time: two lanes, twice.
	if diff := cmp.Diff([]int{250, 188, 141, 106}, got); diff != "" {
		t.Errorf("shares (-want +got):\n%s", diff)
	}
}

func TestLateRecordAfterLeaseMoved(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	id := insert(t, s, admin, pythonSpec(rangeOf(10)))
	late := claim(t, s, id, 10)
	if err := s.Expire(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	var lost *store.Lost
	err := s.Tx(t.Context(), func(tx pgx.Tx) (err error) { lost, err = s.TakeBack(t.Context(), tx); return err })
	if err != nil || lost == nil || lost.Chunks != 1 || lost.Node != node {
		t.Fatalf("took back %+v, %v", lost, err)
	}
	again := claim(t, s, id, 10)
	if again == nil || again.ID <= late.ID || again.First != 0 || again.Count != 10 || again.Losses != 1 {
		t.Fatalf("claimed again: %+v", again)
	}
	wrong := outcomes.Encoded{First: 0, Count: 10, Outputs: []byte(strings.Repeat("\"late\"\n", 10)), Durations: make([]byte, 20)}
	if p := record(t, s, store.Record{Job: id, Lease: late.ID, Count: 10, Runs: []outcomes.Encoded{wrong}}); p.Held || p.Ended {
		t.Errorf("a late record was taken: %+v", p)
	}
	if p, err := s.GiveBack(t.Context(), late.ID, 5, []jobs.Span{{First: 5, Count: 5}}); err != nil || p.Held {
		t.Errorf("a late return was taken: %+v, %v", p, err)
	}
	if j := read(t, s, admin, id); j.Counts.Running != 10 || j.Counts.Succeeded != 0 {
		t.Errorf("the late record changed counts: %+v", j.Counts)
	}
	if p := record(t, s, store.Record{Job: id, Lease: again.ID, Count: 10, Runs: []outcomes.Encoded{outcomesOf(0, 10)}}); !p.Held || !p.Ended {
		t.Errorf("the holder's record was refused: %+v", p)
	}
	if p := record(t, s, store.Record{Job: id, Lease: again.ID, Count: 10, Runs: []outcomes.Encoded{outcomesOf(0, 10)}}); p.Held {
		t.Error("the same record was taken twice")
	}
	if alive, err := s.Beat(t.Context(), node, store.NodeStatus{}); err != nil || alive {
		t.Errorf("a dead node's beat says alive=%v, %v", alive, err)
	}
}

func TestGivenBackTasksAreClaimedFirst(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(rangeOf(100)))
	lease := claim(t, s, id, 40)
	p, err := s.GiveBack(t.Context(), lease.ID, 15, []jobs.Span{{First: 15, Count: 25}})
	if err != nil || !p.Held {
		t.Fatal(p, err)
	}
	// Part of the piece, the rest of it, then the cursor.
	for _, want := range []jobs.Span{{First: 15, Count: 10}, {First: 25, Count: 10}, {First: 35, Count: 5}, {First: 40, Count: 10}} {
		got := claim(t, s, id, 10)
		if got.First != want.First || got.Count != want.Count {
			t.Errorf("claimed %d+%d, want %+v", got.First, got.Count, want)
		}
	}
	if j := read(t, s, admin, id); j.Counts.Running != 50 {
		t.Errorf("running %d, want 50", j.Counts.Running)
	}
}

func TestFailuresAreGroupedAndStopTheJob(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	spec := pythonSpec(rangeOf(100))
	limit := jobs.FailureLimit("2")
	spec.Policy.MaxFailures = &limit
	id := insert(t, s, admin, spec)
	first, second := claim(t, s, id, 10), claim(t, s, id, 10)
	p := record(t, s, store.Record{Job: id, Lease: second.ID, Count: 10, Runs: []outcomes.Encoded{outcomesOf(10, 10, 3, 4)}})
	if p.Halted != "" || p.Failed != 2 {
		t.Fatalf("after two failures: %+v", p)
	}
	p = record(t, s, store.Record{Job: id, Lease: first.ID, Count: 10, Runs: []outcomes.Encoded{outcomesOf(0, 10, 9)}})
	if p.Halted != "failed" || !p.Ended {
		t.Fatalf("after three failures: %+v", p)
	}
	j := read(t, s, admin, id)
	if j.State != jobs.Failed || j.Counts.Failed != 3 || j.Counts.Succeeded != 17 || j.Counts.Cancelled != 80 || !strings.Contains(j.Reason, "max_failures") {
		t.Errorf("the job: %+v", j)
	}
	groups, err := s.FailureGroups(t.Context(), id, 10)
	if err != nil || len(groups) != 1 || groups[0].Count != 3 || groups[0].FirstIndex != 9 || groups[0].Type != "ValueError" {
		t.Errorf("groups: %+v, %v", groups, err)
	}
	cells, err := s.Strip(t.Context(), j, 25)
	if err != nil || len(cells) != 25 || cells[2].Failed != 1 || cells[3].Failed != 2 || cells[3].Succeeded != 2 || cells[24].Cancelled != 4 {
		t.Errorf("strip: %+v, %v", cells, err)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(rangeOf(100)))
	lease := claim(t, s, id, 10)
	if err := s.Cancel(t.Context(), store.As(admin), id, nil); err != nil {
		t.Fatal(err)
	}
	if claim(t, s, id, 10) != nil {
		t.Error("a cancelled job's task was claimed")
	}
	p := record(t, s, store.Record{Job: id, Lease: lease.ID, Count: 10, Runs: []outcomes.Encoded{outcomesOf(0, 4)},
		Back: []store.Piece{{First: 4, Count: 6, Attempt: 1}}})
	if !p.Held || !p.Ended || p.Halted != "cancelled" {
		t.Errorf("recorded after cancel: %+v", p)
	}
	if j := read(t, s, admin, id); j.State != jobs.Cancelled || j.Counts.Succeeded != 4 || j.Counts.Cancelled != 96 {
		t.Errorf("the job: %+v", j)
	}
	if err := s.Cancel(t.Context(), store.As(admin), id, nil); err != nil {
		t.Errorf("cancelled again: %v", err)
	}
	if err := s.DeleteJob(t.Context(), store.As(admin), id); err != nil {
		t.Error(err)
	}
	if _, err := s.Job(t.Context(), store.As(admin), id); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("after delete: %v", err)
	}
}

func TestOthersJobsAreNotFound(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(rangeOf(1)))
	stranger := store.Viewer{UserID: store.NewID()}
	if _, err := s.Job(t.Context(), stranger, id); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("read: %v", err)
	}
	if err := s.Cancel(t.Context(), stranger, id, nil); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("cancel: %v", err)
	}
	if err := s.DeleteJob(t.Context(), stranger, id); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("delete: %v", err)
	}
	if list, err := s.Jobs(t.Context(), stranger, store.Filter{Limit: 10}); err != nil || len(list.Jobs) != 0 {
		t.Errorf("list: %v, %v", list, err)
	}
	// Who may look may still change nothing.
	viewer := store.As(&jobs.User{ID: store.NewID(), Role: jobs.Viewer})
	if list, err := s.Jobs(t.Context(), viewer, store.Filter{Limit: 10}); err != nil || len(list.Jobs) != 1 {
		t.Errorf("a viewer's list: %v, %v", list, err)
	}
	if _, err := s.Job(t.Context(), viewer, id); err != nil {
		t.Errorf("a viewer reads: %v", err)
	}
	for name, err := range map[string]error{
		"cancel": s.Cancel(t.Context(), viewer, id, nil), "pause": s.Pause(t.Context(), viewer, id, nil), "retry": s.Retry(t.Context(), viewer, id, nil, nil),
		"seal": s.Seal(t.Context(), viewer, id, nil), "delete": s.DeleteJob(t.Context(), viewer, id),
	} {
		if !errors.Is(err, jobs.ErrForbidden) {
			t.Errorf("a viewer may %s: %v", name, err)
		}
	}
}

func TestOldJobsAreDeleted(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	var ids []string
	for i := range 4 {
		id := insert(t, s, admin, pythonSpec(rangeOf(5)))
		if i < 3 {
			lease := claim(t, s, id, 5)
			record(t, s, store.Record{Job: id, Lease: lease.ID, Count: 5, Runs: []outcomes.Encoded{outcomesOf(0, 5)}})
		}
		ids = append(ids, id)
	}
	// The first two ended long ago, the third just now, the fourth has not ended.
	_, err := s.Pool.Exec(t.Context(), `update jobs set finished_at = now() - interval '2 hours' where id = any($1)`, ids[:2])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 1, 0} {
		if n, err := s.DeleteOld(t.Context(), time.Hour, 1); err != nil || n != want {
			t.Errorf("%d jobs were deleted, want %d (%v)", n, want, err)
		}
	}
	for i, id := range ids {
		_, err := s.Job(t.Context(), store.As(admin), id)
		if gone := errors.Is(err, jobs.ErrNotFound); gone != (i < 2) {
			t.Errorf("job %d: %v", i, err)
		}
	}
	var left int
	err = s.Pool.QueryRow(t.Context(), `select count(*) from outcomes where job_id = any($1)`, ids[:2]).Scan(&left)
	if err != nil || left != 0 {
		t.Errorf("%d outcomes are left (%v)", left, err)
	}
}

func TestLogs(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(rangeOf(10)))
	lease := claim(t, s, id, 10).ID
	at := jobs.Time{Time: time.Now()}
	for i := range int64(3) {
		err := s.AppendLogs(t.Context(), id, lease, []jobs.LogLine{{Task: i, Stream: "stdout", Line: "a<b", At: at}, {Task: i + 1, Stream: "stderr", Line: "e", At: at}})
		if err != nil {
			t.Fatal(err)
		}
	}
	one := int64(1)
	page, err := s.Logs(t.Context(), id, store.LogFilter{Task: &one}, 0)
	if err != nil || len(page.Lines) != 2 || page.Lines[0].Stream != "stderr" || page.Lines[1].Line != "a<b" || page.Cut {
		t.Errorf("task 1 printed %+v, %v", page, err)
	}
	big := jobs.LogLine{Task: 5, Stream: "stdout", Line: strings.Repeat("x", 1<<20), At: at}
	for range 17 {
		if err := s.AppendLogs(t.Context(), id, lease, []jobs.LogLine{big}); err != nil {
			t.Fatal(err)
		}
	}
	tail, err := s.LogWindow(t.Context(), id, store.LogFilter{}, store.LogsEnd, false, 2)
	cut, err2 := s.LogsCut(t.Context(), id)
	if err != nil || err2 != nil || len(tail.Lines) != 2 || !cut {
		t.Errorf("the tail has %d lines, cut %v, %v, %v", len(tail.Lines), cut, err, err2)
	}
	// All lines once, page by page on both sides.
	id = insert(t, s, admin, pythonSpec(rangeOf(10)))
	lease = claim(t, s, id, 10).ID
	var want []string
	for row := range 40 {
		var lines []jobs.LogLine
		for i := range row%4 + 1 {
			want = append(want, fmt.Sprintf("Line %d.%d", row, i))
			lines = append(lines, jobs.LogLine{Task: int64(row % 2), Stream: "stdout", Line: want[len(want)-1], At: at})
		}
		if err := s.AppendLogs(t.Context(), id, lease, lines); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"line", "line 3", ".0"} {
		chosen := slices.DeleteFunc(slices.Clone(want), func(l string) bool { return !strings.Contains(strings.ToLower(l), text) })
		for _, ahead := range []bool{false, true} {
			var got []string
			place := store.LogsEnd
			if ahead {
				place = store.LogPlace{Line: -1}
			}
			for more := true; more; {
				w, err := s.LogWindow(t.Context(), id, store.LogFilter{Text: text}, place, ahead, 7)
				if err != nil || len(w.Lines) > 7 {
					t.Fatal(len(w.Lines), err)
				}
				var part []string
				for _, l := range w.Lines {
					part = append(part, l.Line)
				}
				if ahead {
					got, place, more = append(got, part...), w.Last, w.Newer
				} else {
					got, place, more = append(part, got...), w.First, w.Older
				}
			}
			if diff := cmp.Diff(chosen, got); diff != "" {
				t.Errorf("lines with %q, ahead %v (-want +got):\n%s", text, ahead, diff)
			}
		}
	}
}

func TestTask(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	text := "a\nb\nc\nd\n"
	id := insert(t, s, admin, pythonSpec(jobs.Inputs{Lines: &text}))
	lease := claim(t, s, id, 2)
	run := outcomesOf(0, 2, 1)
	code := outcomes.EncodeDuration(time.Second)
	run.Durations = []byte{byte(code), byte(code >> 8), byte(code), byte(code >> 8)}
	record(t, s, store.Record{Job: id, Lease: lease.ID, Count: 2, Runs: []outcomes.Encoded{run}, StartedAt: 2 * time.Second})
	claim(t, s, id, 1)
	job := read(t, s, admin, id)
	for index, want := range []jobs.TaskState{jobs.TaskSucceeded, jobs.TaskFailed, jobs.TaskRunning, jobs.TaskWaiting} {
		task, err := s.Task(t.Context(), job, int64(index))
		if err != nil || task.State != want || string(task.Input) != fmt.Sprintf("%q", "abcd"[index:index+1]) {
			t.Errorf("task %d: %+v, %v", index, task, err)
			continue
		}
		if index < 3 && task.Node != "here" {
			t.Errorf("task %d ran on %q", index, task.Node)
		}
	}
	task, _ := s.Task(t.Context(), job, 1)
	if task.Error == nil || task.Error.Type != "ValueError" || task.DurationMS == nil || *task.DurationMS < 999 || *task.DurationMS > 1001 {
		t.Errorf("the failed task: %+v", task)
	}
	if _, err := s.Task(t.Context(), job, 4); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("task past the end: %v", err)
	}
}

func TestLeaveSeesWhatWasGivenBack(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(rangeOf(10)))
	lease := claim(t, s, id, 10)
	leave := func() bool {
		t.Helper()
		left, err := s.LeaveTurn(t.Context(), 0, id)
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	if !leave() {
		t.Error("a turn with nothing to claim stayed")
	}
	if _, err := s.GiveBack(t.Context(), lease.ID, 9, []jobs.Span{{First: 9, Count: 1}}); err != nil {
		t.Fatal(err)
	}
	if leave() {
		t.Error("a turn left a task behind")
	}
	idle, err := s.Idle(t.Context())
	if err != nil || !cmp.Equal(idle, []string{id}) {
		t.Errorf("idle jobs: %v, %v", idle, err)
	}
	var missing int
	err = s.Tx(t.Context(), func(tx pgx.Tx) (err error) { _, missing, err = s.Missing(t.Context(), tx, id); return err })
	if err != nil || missing != 1 {
		t.Errorf("missing %d turns, %v", missing, err)
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	take := func(request, job string) (earlier string, replayed bool, err error) {
		key := &store.Key{UserID: admin.ID, Key: "k", Request: []byte(request)}
		err = s.Tx(t.Context(), func(tx pgx.Tx) (err error) {
			earlier, err = s.ClaimKey(t.Context(), tx, key, job)
			return err
		})
		return earlier, key.Replayed, err
	}
	first := store.NewID()
	if earlier, replayed, err := take("a", first); earlier != "" || replayed || err != nil {
		t.Errorf("a fresh key stood for %q, %v, %v", earlier, replayed, err)
	}
	if earlier, replayed, err := take("a", store.NewID()); earlier != first || !replayed || err != nil {
		t.Errorf("the same request: %s, %v, %v", earlier, replayed, err)
	}
	if earlier, replayed, err := take("b", store.NewID()); earlier != "" || replayed || !errors.Is(err, store.ErrKeyReused) {
		t.Errorf("another request: %s, %v, %v", earlier, replayed, err)
	}
	if n, err := s.ForgetKeys(t.Context(), 10); err != nil || n != 0 {
		t.Errorf("%d keys were forgotten, %v", n, err)
	}
	if _, err := s.Pool.Exec(t.Context(), `update idempotency_keys set created_at = created_at - interval '25 hours'`); err != nil {
		t.Fatal(err)
	}
	if n, err := s.ForgetKeys(t.Context(), 10); err != nil || n != 1 {
		t.Errorf("%d keys were forgotten, want 1 (%v)", n, err)
	}
	if earlier, _, err := take("b", first); earlier != "" || err != nil {
		t.Errorf("a forgotten key stood for %q (%v)", earlier, err)
	}
}

func TestFeedWakesOtherNodes(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	var stores []*store.Store
	for range 2 {
		s, err := store.Open(t.Context(), store.Options{URL: url, MaxConns: 4, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		stores = append(stores, s)
	}
	job := store.NewID()
	sub := stores[1].Feed.Watch(job)
	defer sub.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for { // until its connection listens
		if err := stores[0].NotifyProgress(ctx, job); err != nil {
			t.Fatal("the news did not arrive: ", err)
		}
		select {
		case <-sub.C:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Who waits for a job's end is not woken by its progress.
func TestFeedOfStates(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	job := store.NewID()
	all, states := s.Feed.Watch(job), s.Feed.WatchStates(job)
	defer all.Close()
	defer states.Close()
	notify := func(payload string) {
		t.Helper()
		if _, err := s.Pool.Exec(t.Context(), `select pg_notify('allcores', $1)`, payload); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(sub *store.Sub, what string) {
		t.Helper()
		select {
		case <-sub.C:
		case <-time.After(20 * time.Second):
			t.Fatalf("no news of %s", what)
		}
	}
	// Until the feed listens nothing that the database says is heard. The news
	// of a job of its own comes after all that was said before.
	settle := func() {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; {
			mark := store.NewID()
			marked := s.Feed.Watch(mark)
			notify(mark)
			select {
			case <-marked.C:
				marked.Close()
				return
			case <-time.After(100 * time.Millisecond):
				marked.Close()
			}
			if time.Now().After(deadline) {
				t.Fatal("the feed does not listen")
			}
		}
	}
	settle()
	for _, sub := range []*store.Sub{all, states} {
		select {
		case <-sub.C: // it began to listen
		default:
		}
	}
	if err := s.NotifyProgress(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	hear(all, "progress")
	settle()
	select {
	case <-states.C:
		t.Error("woken by progress")
	default:
	}
	notify(job)
	hear(states, "the job's state")
	hear(all, "the job's state")
}

func TestForgetNodes(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	const busy, gone, late = "0192f0c8-0000-7000-8000-000000000011", "0192f0c8-0000-7000-8000-000000000012", "0192f0c8-0000-7000-8000-000000000013"
	for _, id := range []string{node, busy, gone, late} {
		register(t, s, id)
	}
	job := insert(t, s, admin, pythonSpec(rangeOf(10)))
	if c, err := s.Claim(t.Context(), store.Claim{Job: job, Node: busy, Want: 5, First: true, Ranged: true}); err != nil || c.Lease == nil {
		t.Fatal(c, err)
	}
	exec(t, s, `update nodes set state = 'dead', heartbeat_at = now() - interval '2 hours' where id in ($1, $2)`, busy, gone)
	exec(t, s, `update nodes set state = 'stopped', heartbeat_at = now() - interval '30 minutes' where id = $1`, late)
	if n, err := s.ForgetNodes(t.Context(), time.Hour, 10); err != nil || n != 1 {
		t.Errorf("%d nodes are forgotten, %v", n, err)
	}
	var left int
	if err := s.Pool.QueryRow(t.Context(), `select count(*) from nodes where id <> $1`, gone).Scan(&left); err != nil || left != 3 {
		t.Errorf("%d are left, %v", left, err)
	}
}

// Clients that send slowly wait for each other, not everyone for them.
func TestSlowUploadsLeaveConnections(t *testing.T) {
	t.Parallel()
	s, admin := open(t) // with 4 connections
	ctx, cancel := context.WithCancel(t.Context())
	began, ended := make(chan struct{}, 8), make(chan error, 8)
	for range 8 {
		id := insert(t, s, admin, pythonSpec(jobs.Inputs{Open: true}))
		go func() {
			_, _, err := s.Append(ctx, store.As(admin), id, func(yield func([]byte, error) bool) {
				began <- struct{}{}
				<-ctx.Done()
				yield(nil, ctx.Err())
			}, false)
			ended <- err
		}()
	}
	<-began
	<-began
	for range 20 { // others are served
		if _, err := s.Jobs(t.Context(), store.As(admin), store.Filter{Limit: 1}); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	for range 8 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("an upload ends with %v", err)
		}
	}
	if n := len(began); n != 0 {
		t.Errorf("%d uploads more than half of the connections", n)
	}
}

// A claim that waits for an append to end gets the inputs that it brought, as
// does one that is made together with a record.
func TestClaimDuringAppend(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(jobs.Inputs{Open: true}))
	next := store.Claim{Job: id, Node: node, Want: 2, Floor: 2, Fixed: true}
	appending := func(first int64, during func() error) {
		t.Helper()
		tx, err := s.Pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(t.Context()) }() // after a commit there is nothing to roll back
		var pid int32
		for _, sql := range []string{
			`select pg_backend_pid() from progress where job_id = $1 and total = $2 for update`,
			`insert into input_blocks (job_id, first, count, data) values ($1, $2::bigint, 2, convert_to(format(E'%s\n%s\n', $2::bigint, $2::bigint + 1), 'UTF8')) returning 0`,
			`update progress set total = $2 + 2 where job_id = $1 returning 0`,
		} {
			var n int32
			if err := tx.QueryRow(t.Context(), sql, id, first).Scan(&n); err != nil {
				t.Fatal(err)
			}
			pid = max(pid, n)
		}
		done := make(chan error, 1)
		go func() { done <- during() }()
		for deadline := time.Now().Add(10 * time.Second); ; {
			var waits bool
			if err := s.Pool.QueryRow(t.Context(), `select exists (select from pg_stat_activity where $1 = any(pg_blocking_pids(pid)))`, pid).Scan(&waits); err != nil {
				t.Fatal(err)
			}
			if waits {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the claim does not wait for the append")
			}
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	var c store.Claimed
	appending(0, func() (err error) {
		c, err = s.Claim(t.Context(), next)
		return err
	})
	if c.Lease == nil || string(c.Lease.Inputs) != "0\n1\n" {
		t.Fatalf("claimed %+v", c.Lease)
	}
	r := store.Record{Job: id, Lease: c.Lease.ID, Count: 2, Runs: []outcomes.Encoded{outcomesOf(0, 2)}}
	appending(2, func() error {
		p, claimed, err := s.Record(t.Context(), r, &next)
		if c = claimed; err == nil && !p.Held {
			err = errors.New("the lease is lost")
		}
		return err
	})
	if c.Lease == nil || string(c.Lease.Inputs) != "2\n3\n" {
		t.Fatalf("claimed %+v with a record", c.Lease)
	}
}

// A job whose inputs are not all there is not submitted.
func TestStoredInputs(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	lines := strings.Repeat("one\n", 10_000)
	from := insert(t, s, admin, pythonSpec(jobs.Inputs{Lines: &lines}))
	stored := func(count int64, from string) jobs.Spec {
		return pythonSpec(jobs.Inputs{Stored: &jobs.Stored{Kind: "lines", Count: count, From: from}})
	}
	id := insert(t, s, admin, stored(10_000, from))
	var same bool
	err := s.Pool.QueryRow(t.Context(), `
		select (select array_agg(row(first, count, data) order by first) from input_blocks where job_id = $1)
			= (select array_agg(row(first, count, data) order by first) from input_blocks where job_id = $2)`, from, id).Scan(&same)
	if j := read(t, s, admin, id); err != nil || !same || j.Counts.Total != 10_000 || j.Inputs.Kind != "lines" {
		t.Errorf("same %v, %v: %+v", same, err, j)
	}
	for _, spec := range []jobs.Spec{stored(10_001, from), stored(5, store.NewID()), stored(5, "")} {
		err := s.Tx(t.Context(), func(tx pgx.Tx) error {
			_, err := s.InsertJob(t.Context(), tx, store.NewJob{ID: store.NewID(), OwnerID: admin.ID, Spec: spec.WithDefaults(), Lanes: 1})
			return err
		})
		if !errors.Is(err, jobs.ErrNotFound) {
			t.Errorf("%+v: %v", spec.Inputs.Stored, err)
		}
	}
}

// A database whose server crashed may have forgotten how many migrations it has
// counted.
func TestMigrateCountsOn(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	exec(t, s, `select setval('goose_db_version_id_seq', 1)`)
	if err := store.Migrate(t.Context(), s.Pool.Config().ConnString()); err != nil {
		t.Fatal(err)
	}
	exec(t, s, `insert into goose_db_version (version_id, is_applied) values (1000, true)`)
}
