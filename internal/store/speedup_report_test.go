package store_test

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// lasting returns outcomes of tasks that took as long as given.
func lasting(first int64, took ...time.Duration) outcomes.Encoded {
	run := outcomesOf(first, len(took))
	run.Durations = nil
	for _, d := range took {
		run.Durations = binary.LittleEndian.AppendUint16(run.Durations, outcomes.EncodeDuration(d))
	}
	return run
}

func report(t *testing.T, s *store.Store, u *jobs.User, id string) *insight.Report {
	t.Helper()
	r, err := s.Report(t.Context(), read(t, s, u, id))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func about(a, b float64) bool { return math.Abs(a-b) <= 0.002*max(1, math.Abs(b)) }

// claimOn claims five tasks for a lane on a core, or on none where it is
// negative.
func claimOn(t *testing.T, s *store.Store, job, node string, lane, core int, first bool, waited time.Duration) *store.Lease {
	t.Helper()
	w, err := s.Work(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	c := store.Claim{Job: job, Node: node, Lane: lane, Want: 5, Floor: 5, Fixed: true, First: first, Waited: waited, Ranged: w.Inputs.Range != nil}
	if core >= 0 {
		c.Core = &core
	}
	claimed, err := s.Claim(t.Context(), c)
	if err != nil || claimed.Lease == nil {
		t.Fatalf("claim: %+v, %v", claimed, err)
	}
	return claimed.Lease
}

func TestReport(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	other := store.NewID()
	register(t, s, node)
	register(t, s, other)
	spec := pythonSpec(jobs.Inputs{Items: slices.Repeat([]json.RawMessage{json.RawMessage(`"seven"`)}, 15)})
	id := insert(t, s, admin, spec)
	if r := report(t, s, admin, id); r.Verdict != nil || r.WallSeconds != 0 || r.Ended {
		t.Errorf("before it starts: %+v", r)
	}

	// The first lane has two chunks, the second has one after a queued turn.
	ms := time.Millisecond
	l := claimOn(t, s, id, node, 0, 1, true, 0)
	record(t, s, store.Record{Job: id, Lease: l.ID, Count: 5, Outcomes: []outcomes.Encoded{lasting(0, 100*ms, 100*ms, 100*ms, 100*ms, 600*ms)},
		Usage: store.Usage{User: 2 * time.Second, System: time.Second, Tasks: 4 * time.Second, Moving: 500 * ms, PeakMemory: 1000}})
	l = claimOn(t, s, id, node, 0, 0, true, 3*time.Second)
	record(t, s, store.Record{Job: id, Lease: l.ID, Count: 5, Outcomes: []outcomes.Encoded{lasting(5, 100*ms, 100*ms, 0, 100*ms, 100*ms)},
		Usage: store.Usage{User: time.Second, Tasks: 3 * time.Second, PeakMemory: 3000}})
	l = claimOn(t, s, id, other, 1, 0, true, time.Second)
	// A run of some milliseconds would be too short to judge.
	if _, err := s.Pool.Exec(t.Context(), `update jobs set started_at = started_at - interval '10 s' where id = $1`, id); err != nil {
		t.Fatal(err)
	}
	running := report(t, s, admin, id)
	if running.Ended || running.Chunks != 3 || running.Tasks.Count != 9 || running.Verdict == nil {
		t.Errorf("while it runs: %+v", running)
	}
	p := record(t, s, store.Record{Job: id, Lease: l.ID, Count: 5, Outcomes: []outcomes.Encoded{lasting(10, 700*ms, 100*ms, 100*ms, 100*ms, 100*ms)},
		Usage: store.Usage{User: 4 * time.Second, Tasks: 4 * time.Second, Moving: time.Second, PeakMemory: 2000}})
	if !p.Ended {
		t.Fatalf("%+v", p)
	}
	var marks []int64
	if err := s.Pool.QueryRow(t.Context(), `select array_agg(waiting_us order by id) from chunks where job_id = $1`, id).Scan(&marks); err != nil || !slices.Equal(marks, []int64{1, 3_000_000, 1_000_000}) {
		t.Errorf("waits are recorded as %v, %v", marks, err)
	}
	_, err := s.Pool.Exec(t.Context(), `update jobs set started_at = created_at, finished_at = created_at + interval '10 s' where id = $1`, id)
	if err != nil {
		t.Fatal(err)
	}
	// Lane 0 ran from 0 to 4 s and from 7.5 s on, lane 1 from 1 s to 9 s.
	_, err = s.Pool.Exec(t.Context(), `
		update chunks c set leased_at = j.created_at + x.leased, started_at = j.created_at + x.leased, finished_at = j.created_at + x.finished
		from jobs j, (values (0, 0, interval '0', interval '4 s'), (5, 0, '7.5 s', '10 s'), (10, 1, '1 s', '9 s')) as x (first, lane, leased, finished)
		where j.id = $1 and c.job_id = j.id and c.first = x.first`, id)
	if err != nil {
		t.Fatal(err)
	}
	r := report(t, s, admin, id)
	for _, c := range []struct {
		what      string
		got, want float64
	}{
		{"wall", r.WallSeconds, 10}, {"tasks", r.TaskSeconds, 11}, {"user", r.UserSeconds, 7}, {"system", r.SystemSeconds, 1},
		{"speed-up", r.SpeedUp, 1.1}, {"in tasks", r.Shares.Tasks, 11. / 20}, {"moving", r.Shares.Moving, 1.5 / 20},
		{"waiting", r.Shares.Waiting, 4. / 20}, {"tail", r.Shares.Tail, 1. / 20}, {"idle", r.Shares.Idle, .5 / 20},
		{"longest", r.Longest.Seconds, .7}, {"median", r.Tasks.P50MS, 100},
	} {
		if !about(c.got, c.want) {
			t.Errorf("%s is %v, want %v", c.what, c.got, c.want)
		}
	}
	if !r.Ended || r.Chunks != 3 || r.Lanes != 2 || r.AtOnce != 2 || r.Threads != 1 || r.Cores != 3 || r.PeakMemory != 3000 ||
		r.InputBytes != 15*8 || r.OutputBytes != 5*2+5*2+5*3 || r.Tasks.Count != 14 || r.Longest.Index != 10 {
		t.Errorf("%+v", r)
	}
	if _, err := s.Pool.Exec(t.Context(), `update chunks set core = null where job_id = $1 and node_id = $2`, id, node); err != nil {
		t.Fatal(err)
	}
	if r := report(t, s, admin, id); r.Cores != 2+1 {
		t.Errorf("%d cores; two are all cores of a node", r.Cores)
	}
}

// TestReportOfRetry counts the last run alone, and not what a lost node did.
func TestReportOfRetry(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	other := store.NewID()
	register(t, s, node)
	id := insert(t, s, admin, pythonSpec(rangeOf(10)))
	l := claimOn(t, s, id, node, 0, 0, true, 0)
	record(t, s, store.Record{Job: id, Lease: l.ID, Count: 5, Outcomes: []outcomes.Encoded{lasting(0, time.Hour, time.Hour, time.Hour, time.Hour, time.Hour)}, Usage: store.Usage{Tasks: 5 * time.Hour}})
	l = claimOn(t, s, id, node, 0, 0, false, 0)
	record(t, s, store.Record{Job: id, Lease: l.ID, Count: 5, Outcomes: []outcomes.Encoded{outcomesOf(5, 5, 0, 1, 2, 3, 4)}, Usage: store.Usage{User: time.Hour}})
	before := report(t, s, admin, id)
	if before.Chunks != 2 || before.Longest == nil || !about(before.Longest.Seconds, 3600) {
		t.Fatalf("%+v", before)
	}
	if err := s.Retry(t.Context(), store.As(admin), id, nil, nil); err != nil {
		t.Fatal(err)
	}
	if r := report(t, s, admin, id); r.WallSeconds != 0 || r.Chunks != 0 || r.Verdict != nil {
		t.Errorf("before the retry starts: %+v", r)
	}
	register(t, s, other)
	claimOn(t, s, id, other, 0, 1, true, 0)
	loseNode(t, s, other)
	l = claimOn(t, s, id, node, 0, 0, true, 0)
	record(t, s, store.Record{Job: id, Lease: l.ID, Count: 5, Outcomes: []outcomes.Encoded{lasting(5, 1, 2, 3, 4000, 5)}, Usage: store.Usage{Tasks: 4015}})
	r := report(t, s, admin, id)
	if !r.Ended || r.Chunks != 1 || r.Tasks.Count != 5 || r.Longest == nil || r.Longest.Index != 8 || r.UserSeconds != 0 || r.Cores != 1 || r.OutputBytes != 10 {
		t.Errorf("after it: %+v", r)
	}
}

// TestReportAtScale makes the report of a million tasks in 25,000 chunks. It logs the
// time, and fails where the report takes more than any machine should need, or holds
// the rows that it reads.
func TestReportAtScale(t *testing.T) {
	s, admin := open(t)
	register(t, s, node)
	id := insert(t, s, admin, pythonSpec(rangeOf(1_000_000)))
	for _, sql := range []string{
		`update jobs set state = 'succeeded', started_at = created_at, finished_at = created_at + interval '2000 s' where id = $1`,
		`update progress set ended = true, succeeded = total, cursor = total where job_id = $1`,
		`insert into chunks (job_id, first, count, state, attempt, losses, node_id, lane, core, leased_at, started_at, finished_at, tasks_us, user_us, waiting_us)
			select $1, 40 * i, 40, 'done', 1, 0, '` + node + `', i % 2, i % 2, created_at + (i / 2) * interval '160 ms', created_at + (i / 2) * interval '160 ms',
				created_at + (i / 2) * interval '160 ms' + interval '156 ms', 152000, 150000, case when i < 2 then 1 else 0 end
			from jobs, generate_series(0, 24999) i where id = $1 order by i`,
		`insert into outcomes (job_id, first, count, seq, chunk_id, failed, outputs, durations)
			select job_id, first, count, first + 1, id, '{}', convert_to(repeat(E'1\n', 40), 'UTF8'), decode(repeat('3456', 40), 'hex')
			from chunks where job_id = $1`,
		`vacuum analyze chunks`, `vacuum analyze outcomes`,
	} {
		args := []any{id}
		if sql[:6] == "vacuum" {
			args = nil
		}
		if _, err := s.Pool.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	job := read(t, s, admin, id)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	r, err := s.Report(t.Context(), job)
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v, %d KiB allocated", took, (after.TotalAlloc-before.TotalAlloc)>>10)
	if took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 4<<20 {
		t.Errorf("%d bytes were allocated", allocated)
	}
	if r.Chunks != 25_000 || r.Tasks.Count != 1_000_000 || r.Verdict == nil || r.Verdict.Kind != insight.WellSpread || !about(r.Shares.Tasks, .95) {
		t.Errorf("%+v, %+v", r, r.Verdict)
	}
}
