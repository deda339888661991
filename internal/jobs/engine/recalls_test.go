package engine_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// TestCancelTasksOnAnotherNode cancels tasks at random from one node while another runs
// the job's short tasks: each task runs or is cancelled, never both, and the answers
// hold.
func TestCancelTasksOnAnotherNode(t *testing.T) {
	t.Parallel()
	url := template.New(t)
	web, worker := webNode(t, url), startReal(t, url)
	dir := t.TempDir()
	const n = 400
	spec := marked(dir, 2*time.Millisecond, n)
	spec.Policy.Processes = pointer(2)
	id := web.submit(t, spec)
	v := store.As(web.admin)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	cancelled, refused := map[int64]bool{}, map[int64]bool{}
	for job, err := web.store.Job(t.Context(), v, id); !job.State.Ended(); job, err = web.store.Job(t.Context(), v, id) {
		if err != nil {
			t.Fatal(err)
		}
		// Mostly tasks that are claimed or will be soon.
		at := job.Counts.Done()
		wanted := []int64{min(at+random.Int64N(20), n-1), random.Int64N(n)}
		began := time.Now()
		c, err := web.CancelTasks(t.Context(), store.CancelRequest{Viewer: v, Job: id, Tasks: jobs.SpansOf(wanted)})
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Recalled) > 0 {
			t.Errorf("seed %d: no answer within %v", seed, time.Since(began))
		}
		for _, i := range wanted {
			if c.Running.Has(i) || c.Ended.Has(i) {
				refused[i] = true
			} else {
				cancelled[i] = true
			}
		}
	}
	job := worker.end(t, id, 20*time.Second)
	if job.Counts.Cancelled != int64(len(cancelled)) || job.Counts.Succeeded != n-job.Counts.Cancelled || len(cancelled) == 0 || len(refused) == 0 {
		t.Errorf("seed %d: %+v; %d were cancelled, %d refused", seed, job.Counts, len(cancelled), len(refused))
	}
	for i := range int64(n) {
		task, err := worker.store.Task(t.Context(), job, i)
		if err != nil {
			t.Fatal(err)
		}
		_, err = os.Stat(fmt.Sprintf("%s/%d", dir, i))
		ran := err == nil
		if cancelled[i] != (task.State == jobs.TaskCancelled) || cancelled[i] == ran || cancelled[i] && refused[i] {
			t.Errorf("seed %d: task %d is %s, ran: %v, cancelled: %v, refused: %v", seed, i, task.State, ran, cancelled[i], refused[i])
		}
	}
}
