package store_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// TestPackedOutcomes checks that packed outcomes read as if they were not packed.
func TestPackedOutcomes(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	const n = outcomes.MaxPacked + 1000
	id := insert(t, s, admin, pythonSpec(rangeOf(n)))
	lease := claim(t, s, id, n)
	code := outcomes.EncodeDuration(3 * time.Second)
	var runs []outcomes.Encoded
	for _, run := range []outcomes.Encoded{{Count: outcomes.MaxPacked}, {First: outcomes.MaxPacked, Count: 1000}} {
		var data []byte
		for i := range run.Count {
			x := run.First + int64(i)
			data = binary.LittleEndian.AppendUint64(data, uint64(x*x))
			run.Durations = binary.LittleEndian.AppendUint16(run.Durations, code)
		}
		run.Outputs, _ = outcomes.PackInts(nil, 0, data)
		runs = append(runs, run)
	}
	record(t, s, store.Record{Job: id, Lease: lease.ID, Count: n, Outcomes: runs})
	var size int
	err := s.Pool.QueryRow(t.Context(), `select sum(octet_length(outputs) + octet_length(durations)) from outcomes where job_id = $1`, id).Scan(&size)
	if err != nil || size > 4*n {
		t.Errorf("%d tasks take %d bytes, %v", n, size, err)
	}
	check := func(blocks []store.Block, err error) (next int64) {
		t.Helper()
		if err != nil || len(blocks) == 0 {
			t.Fatal(blocks, err)
		}
		for _, b := range blocks {
			if b.Size != int64(len(b.Outputs)) || bytes.Count(b.Outputs, []byte("\n")) != b.Count {
				t.Fatalf("block of %d tasks: %d of %d bytes", b.Count, len(b.Outputs), b.Size)
			}
			for i, line := range outcomes.Lines(b.Outputs) {
				x := b.First + int64(i)
				took, known := b.Duration(i)
				if want := fmt.Sprint(x * x); string(line) != want || !known || took.Round(time.Second) != 3*time.Second {
					t.Fatalf("task %d: %s after %v, want %s", x, line, took, want)
				}
			}
			next = b.First + int64(b.Count)
		}
		return next
	}
	blocks, err := s.Outcomes(t.Context(), id, 10, store.Pick{})
	next := check(blocks, err)
	if next < n {
		blocks, err = s.Outcomes(t.Context(), id, next, store.Pick{})
		next = check(blocks, err)
	}
	if next != n {
		t.Errorf("outcomes end at %d", next)
	}
	blocks, err = s.Completed(t.Context(), id, 1)
	check(blocks, err)
	job := read(t, s, admin, id)
	page, err := s.TaskPage(t.Context(), job, store.TaskQuery{From: n, Back: true, Limit: 100, Bytes: 1 << 20})
	if err != nil || len(page.Rows) != 100 || string(page.Rows[99].Output) != fmt.Sprint((n-1)*(n-1)) || page.More != n-100 {
		t.Errorf("the last page: %+v, %v", page, err)
	}
	for _, x := range []int64{0, 77, n - 1} {
		task, err := s.Task(t.Context(), job, x)
		if err != nil || string(task.Output) != fmt.Sprint(x*x) || task.DurationMS == nil || *task.DurationMS < 2990 || *task.DurationMS > 3010 {
			t.Errorf("task %d: %+v, %v", x, task, err)
		}
	}
	r := report(t, s, admin, id)
	if r.OutputBytes < n || r.Tasks.P50MS < 2900 {
		t.Errorf("report: %d bytes, %+v", r.OutputBytes, r.Tasks)
	}
}

// TestRetryOfPackedDurations checks that successes keep their durations when the
// failures beside them run again.
func TestRetryOfPackedDurations(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	id := insert(t, s, admin, pythonSpec(rangeOf(100)))
	lease := claim(t, s, id, 100)
	run := outcomesOf(0, 100, 50)
	run.Durations = nil
	for range 100 {
		run.Durations = binary.LittleEndian.AppendUint16(run.Durations, outcomes.EncodeDuration(2*time.Second))
	}
	record(t, s, store.Record{Job: id, Lease: lease.ID, Count: 100, Outcomes: []outcomes.Encoded{run}})
	if err := s.Retry(t.Context(), store.As(admin), id, nil, nil); err != nil {
		t.Fatal(err)
	}
	blocks, err := s.Outcomes(t.Context(), id, 0, store.Pick{})
	if err != nil || len(blocks) != 2 {
		t.Fatal(blocks, err)
	}
	for _, b := range blocks {
		for i := range b.Count {
			if took, known := b.Duration(i); !known || took.Round(time.Second) != 2*time.Second {
				t.Errorf("task %d took %v", b.First+int64(i), took)
			}
		}
	}
}
