package store_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
	"github.com/allcores/allcores/internal/store"
)

// states reads the states of a job's tasks with an outcome, once by index and once in
// the order of completion.
func states(t *testing.T, s *store.Store, id string) map[int64]jobs.TaskState {
	t.Helper()
	byIndex, bySeq := map[int64]jobs.TaskState{}, map[int64]jobs.TaskState{}
	add := func(to map[int64]jobs.TaskState, blocks []store.Block) {
		for _, b := range blocks {
			for i, line := range outcomes.Lines(b.Outputs) {
				if _, twice := to[b.First+int64(i)]; twice {
					t.Errorf("task %d has two outcomes", b.First+int64(i))
				}
				to[b.First+int64(i)] = line.State()
			}
		}
	}
	for from := int64(0); ; {
		blocks, err := s.Outcomes(t.Context(), id, from, store.Pick{})
		if err != nil {
			t.Fatal(err)
		}
		if len(blocks) == 0 {
			break
		}
		add(byIndex, blocks)
		last := blocks[len(blocks)-1]
		from = last.First + int64(last.Count)
	}
	for seq := int64(0); ; {
		blocks, err := s.Completed(t.Context(), id, seq)
		if err != nil {
			t.Fatal(err)
		}
		if len(blocks) == 0 {
			break
		}
		add(bySeq, blocks)
		seq = blocks[len(blocks)-1].Seq
	}
	if diff := cmp.Diff(byIndex, bySeq); diff != "" {
		t.Errorf("by index and by completion (-+):\n%s", diff)
	}
	return byIndex
}

func cancelTasks(t *testing.T, s *store.Store, u *jobs.User, id string, asked []int64, indexes ...int64) store.Cancellation {
	t.Helper()
	r := store.CancelRequest{Viewer: store.As(u), Job: id, Asked: asked}
	if indexes != nil {
		r.Tasks = jobs.SpansOf(indexes)
	}
	c, err := s.CancelTasks(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCancelTasks checks what becomes of tasks in each state, and how the job ends.
func TestCancelTasks(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	id := insert(t, s, admin, pythonSpec(rangeOf(20)))
	done, running := claim(t, s, id, 2), claim(t, s, id, 4) // 0-1, 2-5
	record(t, s, store.Record{Job: id, Lease: done.ID, Count: 2, Outcomes: []outcomes.Encoded{outcomesOf(0, 2)}})
	c := cancelTasks(t, s, admin, id, nil, 1, 3, 5, 8, 8, 12)
	if c.Cancelled != 2 || !slices.Equal(c.Ended, jobs.SpansOf([]int64{1})) || !slices.Equal(c.Running, jobs.SpansOf([]int64{3, 5})) || len(c.Recalled) == 0 || c.Recalled[0] != running.ID {
		t.Errorf("%+v", c)
	}
	recalls, err := s.Recalls(t.Context(), []int64{running.ID})
	if err != nil || len(recalls) != 1 || recalls[0].First != 3 {
		t.Errorf("recalls %+v, %v", recalls, err)
	}
	if waiting, err := s.Recalling(t.Context(), c.Recalled); err != nil || !waiting {
		t.Error("no lane has to answer", err)
	}
	// The lane runs 2 and 3 and gives 4 and 5 back.
	p, err := s.AnswerRecalls(t.Context(), id, running.ID, []jobs.Span{{First: 2, Count: 2}}, []jobs.Span{{First: 4, Count: 2}})
	if err != nil || !p.Held || p.Ended {
		t.Fatalf("%+v, %v", p, err)
	}
	if waiting, err := s.Recalling(t.Context(), c.Recalled); err != nil || waiting {
		t.Error("a lane has yet to answer", err)
	}
	c = cancelTasks(t, s, admin, id, c.Recalled, 1, 3, 5, 8, 12)
	if c.Cancelled != 3 || !slices.Equal(c.Ended, jobs.SpansOf([]int64{1})) || !slices.Equal(c.Running, jobs.SpansOf([]int64{3})) || len(c.Recalled) > 0 {
		t.Errorf("%+v", c)
	}
	job := read(t, s, admin, id)
	if job.Counts != (jobs.Counts{Total: 20, Waiting: 13, Running: 2, Succeeded: 2, Cancelled: 3}) || job.State != jobs.Running {
		t.Errorf("%+v, %s", job.Counts, job.State)
	}
	for index, want := range map[int64]jobs.TaskState{0: jobs.TaskSucceeded, 3: jobs.TaskRunning, 4: jobs.TaskWaiting, 5: jobs.TaskCancelled, 12: jobs.TaskCancelled, 13: jobs.TaskWaiting} {
		if task, err := s.Task(t.Context(), job, index); err != nil || task.State != want || want == jobs.TaskCancelled && (task.Attempts != 0 || task.DurationMS != nil) {
			t.Errorf("task %d is %+v, want %s: %v", index, task, want, err)
		}
	}
	checkCancelledShown(t, s, job)
	// All that wait are cancelled; the job ends after the running ones.
	cancelTasks(t, s, admin, id, []int64{running.ID})
	record(t, s, store.Record{Job: id, Lease: running.ID, Count: 2, Outcomes: []outcomes.Encoded{outcomesOf(2, 2)}})
	job = read(t, s, admin, id)
	if job.State != jobs.Cancelled || job.Counts != (jobs.Counts{Total: 20, Succeeded: 4, Cancelled: 16}) || job.Reason != "16 of 20 tasks were cancelled" {
		t.Errorf("%s %+v %q", job.State, job.Counts, job.Reason)
	}
	// A retry runs them.
	if err := s.Retry(t.Context(), store.As(admin), id, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, admin, id); got.Counts != (jobs.Counts{Total: 20, Waiting: 16, Succeeded: 4}) || len(states(t, s, id)) != 4 {
		t.Errorf("after a retry: %+v", got.Counts)
	}
}

// checkCancelledShown checks the progress bar and the lists of the running job of
// TestCancelTasks.
func checkCancelledShown(t *testing.T, s *store.Store, job *jobs.Job) {
	t.Helper()
	cells, err := s.Strip(t.Context(), job, 4)
	if err != nil || len(cells) != 4 || cells[0].Succeeded != 2 || cells[0].Cancelled != 0 || cells[1].Cancelled != 2 || cells[2].Cancelled != 1 {
		t.Errorf("progress bar: %+v, %v", cells, err)
	}
	for state, want := range map[jobs.TaskState][]int64{"": {0, 1, 5, 8, 12}, jobs.TaskCancelled: {5, 8, 12}, jobs.TaskSucceeded: {0, 1}} {
		for _, back := range []bool{false, true} {
			page, err := s.TaskPage(t.Context(), job, store.TaskQuery{State: state, Limit: 50, Bytes: 1 << 20, Back: back, From: map[bool]int64{true: 20}[back]})
			var got []int64
			for _, row := range page.Rows {
				got = append(got, row.Index)
				if (row.State == jobs.TaskCancelled) != (row.Index >= 5) {
					t.Errorf("task %d is listed as %s", row.Index, row.State)
				}
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("tasks that are %q, back %v: %v, want %v: %v", state, back, got, want, err)
			}
		}
	}
}

func TestCancelTasksErrors(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	id := insert(t, s, admin, pythonSpec(rangeOf(3)))
	request := func(v store.Viewer, indexes ...int64) error {
		r := store.CancelRequest{Viewer: v, Job: id}
		if indexes != nil {
			r.Tasks = jobs.SpansOf(indexes)
		}
		_, err := s.CancelTasks(t.Context(), r)
		return err
	}
	v := store.As(admin)
	for name, test := range map[string]struct{ got, want error }{
		"past the end":  {request(v, 1, 3), jobs.ErrNotFound},
		"before first":  {request(v, -1), jobs.ErrNotFound},
		"another's job": {request(store.Viewer{UserID: store.NewID()}, 1), jobs.ErrNotFound},
		"a viewer":      {request(store.Viewer{All: true, ReadOnly: true}, 1), jobs.ErrForbidden},
	} {
		if !errors.Is(test.got, test.want) {
			t.Errorf("%s: %v", name, test.got)
		}
	}
	// The job whose tasks are all cancelled ends.
	if err := request(v); err != nil {
		t.Fatal(err)
	}
	if job := read(t, s, admin, id); job.State != jobs.Cancelled || job.Counts.Cancelled != 3 {
		t.Errorf("%s %+v", job.State, job.Counts)
	}
	if err := request(v); err != nil {
		t.Error("cancel again:", err)
	}
	if c := cancelTasks(t, s, admin, id, nil, 0, 2); c.Cancelled != 2 {
		t.Errorf("%+v", c)
	}
	id = insert(t, s, admin, pythonSpec(rangeOf(1)))
	lease := claim(t, s, id, 1)
	record(t, s, store.Record{Job: id, Lease: lease.ID, Count: 1, Outcomes: []outcomes.Encoded{outcomesOf(0, 1)}})
	if err := request(v); !errors.Is(err, jobs.ErrConflict) {
		t.Error("cancel the waiting tasks of a job that has succeeded:", err)
	}
}

// TestCancelOpenJob checks that an open job goes on after a cancellation and ends as
// its other tasks did, and that a paused one stays paused.
func TestCancelOpenJob(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	id := insert(t, s, admin, pythonSpec(jobs.Inputs{Open: true}))
	add := func(values ...string) {
		t.Helper()
		if _, _, err := s.Append(t.Context(), store.AppendRequest{Viewer: store.As(admin), Job: id, Values: appended(values...)}); err != nil {
			t.Fatal(err)
		}
	}
	add("0", "1", "2")
	if err := s.Pause(t.Context(), store.As(admin), id, nil); err != nil {
		t.Fatal(err)
	}
	cancelTasks(t, s, admin, id, nil)
	if job := read(t, s, admin, id); job.State != jobs.Paused || job.Counts != (jobs.Counts{Total: 3, Cancelled: 3}) {
		t.Errorf("%s %+v", job.State, job.Counts)
	}
	if err := s.Resume(t.Context(), store.As(admin), id, nil); err != nil {
		t.Fatal(err)
	}
	add("3", "4")
	lease := claim(t, s, id, 2)
	if lease == nil || lease.First != 3 || lease.Count != 2 {
		t.Fatalf("claimed %+v", lease)
	}
	record(t, s, store.Record{Job: id, Lease: lease.ID, Count: 2, Outcomes: []outcomes.Encoded{outcomesOf(3, 2, 1)}})
	if err := s.Seal(t.Context(), store.As(admin), id, nil); err != nil {
		t.Fatal(err)
	}
	if job := read(t, s, admin, id); job.State != jobs.Failed || job.Counts != (jobs.Counts{Total: 5, Succeeded: 1, Failed: 1, Cancelled: 3}) {
		t.Errorf("%s %+v", job.State, job.Counts)
	}
	// A retry of the failure alone leaves the cancelled tasks out.
	if err := s.Retry(t.Context(), store.As(admin), id, nil, func(int64, *jobs.TaskError) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if job := read(t, s, admin, id); job.Counts != (jobs.Counts{Total: 5, Waiting: 1, Succeeded: 1, Cancelled: 3}) {
		t.Errorf("%+v", job.Counts)
	}
	if c := cancelTasks(t, s, admin, id, nil, 0, 4); c.Cancelled != 2 {
		t.Errorf("%+v", c)
	}
	if job := read(t, s, admin, id); job.State != jobs.Cancelled || job.Counts.Cancelled != 4 {
		t.Errorf("%s %+v", job.State, job.Counts)
	}
}

// TestCancelTasksAtRandom cancels tasks at random while others are claimed, recorded
// and given back, and compares the job with a model.
func TestCancelTasksAtRandom(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	register(t, s, node)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	const n = 60
	id := insert(t, s, admin, pythonSpec(rangeOf(n)))
	model := make([]jobs.TaskState, n)
	for i := range model {
		model[i] = jobs.TaskWaiting
	}
	held := map[int64]*store.Lease{}
	var log []string
	lease := func() *store.Lease {
		for _, l := range held {
			return l
		}
		return nil
	}
	for range 150 {
		switch l := lease(); random.IntN(5) {
		case 0, 1:
			got := claim(t, s, id, 1+random.IntN(8))
			if got == nil {
				if slices.Contains(model, jobs.TaskWaiting) {
					t.Fatalf("seed %d: nothing to claim of %v after %v", seed, model, log)
				}
				continue
			}
			log = append(log, "claim")
			for i := range got.Count {
				if model[got.First+int64(i)] != jobs.TaskWaiting {
					t.Fatalf("seed %d: claimed task %d, which is %s", seed, got.First+int64(i), model[got.First+int64(i)])
				}
				model[got.First+int64(i)] = jobs.TaskRunning
			}
			held[got.ID] = got
		case 2:
			if l == nil {
				continue
			}
			log = append(log, "record")
			record(t, s, store.Record{Job: id, Lease: l.ID, Count: l.Count, Outcomes: []outcomes.Encoded{outcomesOf(l.First, l.Count)}})
			for i := range l.Count {
				model[l.First+int64(i)] = jobs.TaskSucceeded
			}
			delete(held, l.ID)
		case 3:
			if l == nil {
				continue
			}
			log = append(log, "answer")
			keep := 1 + random.IntN(l.Count)
			recalls, _ := s.Recalls(t.Context(), []int64{l.ID})
			back := []jobs.Span{{First: l.First + int64(keep), Count: l.Count - keep}}
			if keep == l.Count {
				back = nil
			}
			if p, err := s.AnswerRecalls(t.Context(), id, l.ID, []jobs.Span{{First: l.First, Count: keep}}, back); err != nil || !p.Held {
				t.Fatal(p, err)
			}
			l.Count = keep
			for _, span := range back {
				job := read(t, s, admin, id)
				for i := span.First; i < span.End(); i++ {
					task, err := s.Task(t.Context(), job, i)
					if err != nil || task.State != jobs.TaskWaiting && (task.State != jobs.TaskCancelled || len(recalls) == 0) {
						t.Fatalf("seed %d: task %d was given back and is %s, %v", seed, i, task.State, err)
					}
					model[i] = task.State
				}
			}
		case 4:
			var wanted []int64
			for range 1 + random.IntN(4) {
				wanted = append(wanted, random.Int64N(n))
			}
			log = append(log, "cancel")
			c := cancelTasks(t, s, admin, id, nil, wanted...)
			for _, i := range wanted {
				want := c.Ended
				switch model[i] {
				case jobs.TaskRunning:
					want = c.Running
				case jobs.TaskSucceeded:
				default:
					model[i] = jobs.TaskCancelled
					continue
				}
				if !want.Has(i) {
					t.Fatalf("seed %d: task %d is %s, but %+v", seed, i, model[i], c)
				}
			}
		}
		checkModel(t, s, read(t, s, admin, id), model)
		if t.Failed() {
			t.Fatalf("seed %d, after %v", seed, log)
		}
	}
}

// checkModel compares the counts and outcomes of a job with its model.
func checkModel(t *testing.T, s *store.Store, job *jobs.Job, model []jobs.TaskState) {
	t.Helper()
	want := jobs.Counts{Total: int64(len(model))}
	ended := map[int64]jobs.TaskState{}
	for i, state := range model {
		switch state {
		case jobs.TaskWaiting:
			want.Waiting++
			continue
		case jobs.TaskRunning:
			want.Running++
			continue
		case jobs.TaskSucceeded:
			want.Succeeded++
		default:
			want.Cancelled++
		}
		ended[int64(i)] = state
	}
	if job.Counts != want || job.State.Ended() != (len(ended) == len(model)) {
		t.Errorf("the job is %s with %+v, want %+v", job.State, job.Counts, want)
	}
	if diff := cmp.Diff(ended, states(t, s, job.ID)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}
