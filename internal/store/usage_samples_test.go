package store_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/allcores/allcores/internal/jobs/insight"
	"github.com/allcores/allcores/internal/store"
)

func TestSamples(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	node, other := store.NewID(), store.NewID()
	sample := insight.NodeSample{Node: node, User: 12.5, System: 3, Other: 0.5, Cores: []int16{0, 7}, Busy: []int16{20, 100}, Load: 1.25, Memory: 1 << 40}
	queues := []insight.QueueSample{
		{Queue: "cpu", Succeeded: 10, Failed: 2, Waits: insight.ClassSpan{First: 90, Counts: []int32{1, 0, 3}}, Runs: insight.ClassSpan{First: 0, Counts: []int32{1}}},
		{Queue: "io", Succeeded: 1},
	}
	if err := s.AddSamples(t.Context(), sample, queues); err != nil {
		t.Fatal(err)
	}
	if err := s.AddSamples(t.Context(), insight.NodeSample{Node: other, Cores: []int16{}, Busy: []int16{}}, nil); err != nil {
		t.Fatal(err)
	}
	all, err := s.Samples(t.Context(), store.SampleQuery{Cores: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Nodes) != 2 || all.Nodes[0].Node != other || len(all.Queues) != 2 || time.Since(all.Now).Abs() > time.Minute {
		t.Fatalf("%+v", all)
	}
	sample.At = all.Nodes[1].At
	if diff := cmp.Diff(sample, all.Nodes[1]); diff != "" {
		t.Error(diff)
	}
	one, err := s.Samples(t.Context(), store.SampleQuery{Queue: "cpu"})
	if err != nil {
		t.Fatal(err)
	}
	if len(one.Queues) != 1 || one.Nodes != nil {
		t.Fatalf("%+v", one)
	}
	queues[0].Node, queues[0].At = node, one.Queues[0].At
	if diff := cmp.Diff(queues[0], one.Queues[0]); diff != "" {
		t.Error(diff)
	}
	if mine, err := s.Samples(t.Context(), store.SampleQuery{Node: node}); err != nil || len(mine.Nodes) != 1 || mine.Queues != nil || mine.Nodes[0].Busy != nil {
		t.Errorf("%+v, %v", mine, err)
	}
	if later, err := s.Samples(t.Context(), store.SampleQuery{After: all.Now}); err != nil || len(later.Nodes)+len(later.Queues) != 0 {
		t.Errorf("%+v, %v", later, err)
	}

	// Samples older than an hour are removed, in bounded steps.
	for _, table := range []string{"node_samples", "queue_samples"} {
		if _, err := s.Pool.Exec(t.Context(), `update `+table+` set at = at - interval '61 minutes' where node_id = $1`, node); err != nil {
			t.Fatal(err)
		}
	}
	if old, err := s.Samples(t.Context(), store.SampleQuery{}); err != nil || len(old.Nodes) != 1 || len(old.Queues) != 0 {
		t.Errorf("%+v, %v", old, err)
	}
	for i, want := range []int64{2, 1, 0} {
		if n, err := s.PruneSamples(t.Context(), 1); err != nil || n != want {
			t.Errorf("round %d deleted %d, want %d: %v", i, n, want, err)
		}
	}
	var left int
	if err := s.Pool.QueryRow(t.Context(), `select count(*) from node_samples`).Scan(&left); err != nil || left != 1 {
		t.Errorf("%d samples are left, %v", left, err)
	}
}

// TestCountsPassOverFinishedTurns has 100,000 turns that ended a moment ago.
func TestCountsPassOverFinishedTurns(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	_, err := s.Pool.Exec(t.Context(), `
		insert into river_job (state, args, kind, max_attempts, queue, priority, scheduled_at, finalized_at)
		select 'completed', '{}', 'turn', 3, 'cpu', 2, now(), now() from generate_series(1, 100000)`)
	if err == nil {
		_, err = s.Pool.Exec(t.Context(), `
			insert into river_job (state, args, kind, max_attempts, queue, priority, scheduled_at, finalized_at) values
				('available', '{}', 'turn', 3, 'cpu', 2, now() - interval '70 seconds', null),
				('available', '{}', 'turn', 3, 'cpu', 2, now() - interval '10 seconds', null),
				('scheduled', '{}', 'turn', 3, 'cpu', 2, now() - interval '5 minutes', null),
				('running', '{}', 'turn', 3, 'cpu', 2, now() - interval '9 minutes', null)`)
	}
	if err == nil {
		_, err = s.Pool.Exec(t.Context(), `analyze river_job`)
	}
	if err != nil {
		t.Fatal(err)
	}
	queues, err := s.Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queues {
		switch {
		case q.Name != "cpu":
			if q.OldestWaiting != nil {
				t.Errorf("%+v", q)
			}
		case q.WaitingTurns != 3 || q.RunningTurns != 1 || q.OldestWaiting == nil ||
			(time.Since(q.OldestWaiting.Time)-70*time.Second).Abs() > 30*time.Second:
			t.Errorf("%+v", q)
		}
	}
	var plan []byte
	if err := s.Pool.QueryRow(t.Context(), `explain (analyze, buffers, format json) `+store.ListQueues).Scan(&plan); err != nil {
		t.Fatal(err)
	}
	var explained []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	if err := json.Unmarshal(plan, &explained); err != nil {
		t.Fatal(err)
	}
	// The table of turns alone has more than 1,000.
	if n := explained[0].Plan.Hit + explained[0].Plan.Read; n > 200 {
		t.Errorf("%d blocks are looked at: %s", n, plan)
	} else {
		t.Logf("%d blocks", n)
	}
}
