package store

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// A NewJob is a job to be inserted, with every default filled in.
type NewJob struct {
	ID      string
	OwnerID string
	Spec    jobs.Spec
	Given   *jobs.Policy // the policy as it was submitted, or nil
	Lanes   int          // of the job, where the policy does not say
	Turns   int          // to begin with, for the lanes from 0 on

	// Here are the first claims of those turns that the inserting node runs at
	// once, for the lanes from 0 on, as far as there are tasks for them. The other
	// turns wait in River's queue.
	Here []Claim
}

// A Begun is a turn that runs, from its insertion on, on the node which inserted
// it, and the chunk that was claimed with it.
type Begun struct {
	Turn    int64 // its id in River
	Lane    int
	Claimed Claimed
}

// InsertJob writes a job, its inputs and its first turns, as part of tx, or in
// one round trip and commit of its own where tx is nil. A job that has no task
// and is sealed is written as succeeded.
func (s *Store) InsertJob(ctx context.Context, tx pgx.Tx, n NewJob) ([]Begun, error) {
	var b pgx.Batch
	begun, rest, err := n.addTo(&b)
	if err != nil {
		return nil, err
	}
	if tx == nil && len(rest) == 0 && n.Spec.Inputs.Stored == nil {
		return begun, inserted(s.Pool.SendBatch(ctx, &b).Close())
	}
	write := func(tx pgx.Tx) error {
		if len(rest) > 0 {
			_, err := tx.CopyFrom(ctx, pgx.Identifier{"input_blocks"}, []string{"job_id", "first", "count", "data"}, pgx.CopyFromRows(rest))
			if err != nil {
				return wrap("insert inputs", err)
			}
		}
		return inserted(tx.SendBatch(ctx, &b).Close())
	}
	if tx == nil {
		return begun, s.Tx(ctx, write)
	}
	return begun, write(tx)
}

// inserted wraps the error of an insertion.
func inserted(err error) error {
	if isMissingQueue(err) {
		return jobs.Invalid{{Location: "queue", Message: "there is no such queue"}}
	}
	return wrap("insert job", err)
}

// insertJob inserts a job's rows in jobs and progress.
var (
	insertJob = newStatement(`
		insert into jobs (id, owner_id, name, state, queue, priority, tags, program, inputs, policy, started_at, finished_at, given_policy, created_at,
			folded_name, folded_program, folded_tags)
		values (@id, @owner, @name, @state, (select name from queues where name = @queue and not deleted for key share),
			@priority, @tags, @program, @inputs, @policy, case when @started then now() end, case when @ended then now() end, @given_policy, @created_at,
			@folded_name, @folded_program, @folded_tags)`,
		param[jobRow]{"id", func(r *jobRow) any { return r.ID }},
		param[jobRow]{"owner", func(r *jobRow) any { return r.OwnerID }},
		param[jobRow]{"name", func(r *jobRow) any { return r.Spec.Name }},
		param[jobRow]{"state", func(r *jobRow) any { return r.state }},
		param[jobRow]{"queue", func(r *jobRow) any { return r.Spec.Queue }},
		param[jobRow]{"priority", func(r *jobRow) any { return r.Spec.Priority }},
		param[jobRow]{"tags", func(r *jobRow) any { return r.Spec.Tags }},
		param[jobRow]{"program", func(r *jobRow) any { return r.program }},
		param[jobRow]{"inputs", func(r *jobRow) any { return r.inputs }},
		param[jobRow]{"policy", func(r *jobRow) any { return r.policy }},
		param[jobRow]{"started", func(r *jobRow) any { return r.started }},
		param[jobRow]{"ended", func(r *jobRow) any { return r.ended }},
		param[jobRow]{"given_policy", func(r *jobRow) any { return r.given }},
		param[jobRow]{"created_at", func(r *jobRow) any { return createdAt(r.ID) }},
		param[jobRow]{"folded_name", func(r *jobRow) any { return jobs.Fold(r.Spec.Name) }},
		param[jobRow]{"folded_program", func(r *jobRow) any { return jobs.Fold(r.Spec.Program.SearchText()) }},
		param[jobRow]{"folded_tags", func(r *jobRow) any { return jobs.FoldAll(r.Spec.Tags) }},
	)
	insertProgress = newStatement(`
		insert into progress (job_id, total, sealed, lanes, lanes_auto, turns, failures_allowed, ended, cursor, leased, newer_at, idle_us, input_at)
		values (@id, @total, @sealed, @lanes, @lanes_auto, @turns, @failures_allowed, @ended, @claimed::bigint, @claimed::bigint,
			case when @claimed::bigint > 0 then now() end, @idle::bigint, case when @idle::bigint is not null then clock_timestamp() end)`,
		param[jobRow]{"id", func(r *jobRow) any { return r.ID }},
		param[jobRow]{"total", func(r *jobRow) any { return r.shape.Count }},
		param[jobRow]{"sealed", func(r *jobRow) any { return !r.shape.Open }},
		param[jobRow]{"lanes", func(r *jobRow) any { return r.lanes }},
		param[jobRow]{"lanes_auto", func(r *jobRow) any { return r.Spec.Policy.Processes == nil }},
		param[jobRow]{"turns", func(r *jobRow) any { return r.Turns }},
		param[jobRow]{"failures_allowed", func(r *jobRow) any {
			return r.Spec.Policy.FailuresAllowed(r.shape.Count, !r.shape.Open)
		}},
		param[jobRow]{"ended", func(r *jobRow) any { return r.ended }},
		param[jobRow]{"claimed", func(r *jobRow) any { return r.claimed }},
		param[jobRow]{"idle", func(r *jobRow) any {
			if r.shape.IdleSeal == nil {
				return nil
			}
			return r.shape.IdleSeal.Value().Microseconds()
		}},
	)
)

// A jobRow holds the parameters of insertJob and insertProgress for a NewJob.
type jobRow struct {
	*NewJob
	encodedSpec
	shape          jobs.InputsShape
	state          jobs.State
	started, ended bool
	lanes          int
	claimed        int64 // tasks, with the insertion
}

// An encodedSpec is the JSON of a submission.
type encodedSpec struct{ program, inputs, policy, given []byte }

func (n *NewJob) encode(shape jobs.InputsShape) (e encodedSpec, err error) {
	if e.program, err = json.Marshal(n.Spec.Program); err != nil {
		return e, fmt.Errorf("encode program: %w", err)
	}
	if e.inputs, err = json.Marshal(shape); err != nil {
		return e, fmt.Errorf("encode inputs: %w", err)
	}
	if e.policy, err = json.Marshal(n.Spec.Policy); err == nil && n.Given != nil {
		e.given, err = json.Marshal(n.Given)
	}
	if err != nil {
		return e, fmt.Errorf("encode policy: %w", err)
	}
	return e, nil
}

// addTo adds the statements that write the job. begun is filled in when they have
// been sent. rest are rows of inputs that are too many for a batch.
func (n NewJob) addTo(b *pgx.Batch) (begun []Begun, rest [][]any, err error) {
	row := &jobRow{NewJob: &n, shape: n.Spec.Inputs.Shape(), state: jobs.Queued, started: len(n.Here) > 0, lanes: n.Lanes}
	if row.encodedSpec, err = n.encode(row.shape); err != nil {
		return nil, nil, err
	}
	switch {
	case row.shape.Open:
		row.state = jobs.Open
	case row.shape.Count == 0:
		row.state, row.started, row.ended = jobs.Succeeded, true, true
	case row.started:
		row.state = jobs.Running
	}
	if processes := n.Spec.Policy.Processes; processes != nil {
		row.lanes = *processes
	}
	insertJob.addTo(b, row)
	begun, row.claimed = n.claim(row.shape.Count, row.lanes)
	if row.claimed == row.shape.Count {
		n.Turns = len(begun)
	}
	insertProgress.addTo(b, row)
	turns := make([]Turn, n.Turns)
	for lane := range turns {
		turns[lane] = Turn{Job: n.ID, Lane: lane, Queue: n.Spec.Queue, Priority: n.Spec.Priority}
	}
	for i := range begun {
		begun[i].addTo(b, turns[i], n.Here[i])
	}
	addTurns(b, turns[len(begun):])
	blocks := 0
	for block := range inputBlocks(n.Spec.Inputs.Values(), 0) {
		if blocks++; blocks <= 4 {
			b.Queue(`insert into input_blocks (job_id, first, count, data) values ($1, $2, $3, $4)`,
				n.ID, block.first, block.count, block.data)
			continue
		}
		rest = append(rest, []any{n.ID, block.first, block.count, block.data})
	}
	if stored := n.Spec.Inputs.Stored; stored != nil {
		addStored(b, n.ID, *stored)
	}
	return begun, rest, nil
}

// claim makes the chunks with which turns begin, and returns how many tasks they
// have.
func (n NewJob) claim(total int64, lanes int) (begun []Begun, claimed int64) {
	next, stop := iter.Pull(n.Spec.Inputs.Values())
	defer stop()
	for lane, c := range n.Here {
		left := total - claimed
		if left == 0 {
			break
		}
		count := c.share(left, min(lanes, n.Turns))
		lease := &Lease{First: claimed, Count: int(count), Attempt: 1}
		if !c.Ranged {
			for range count {
				value, _ := next()
				lease.Inputs = append(append(lease.Inputs, value...), '\n')
			}
		}
		claimed += count
		begun = append(begun, Begun{Lane: lane, Claimed: Claimed{Lease: lease, Lanes: lanes}})
	}
	for i := range begun {
		begun[i].Claimed.Unclaimed = total - claimed
	}
	return begun, claimed
}

// addTo adds the statement that inserts the turn as fetched by its node, and its chunk
// as leased.
func (u *Begun) addTo(b *pgx.Batch, t Turn, c Claim) {
	lease := u.Claimed.Lease
	b.Queue(`
		with t as (`+insertFetchedTurn+`), c as (
			insert into chunks (job_id, first, count, state, attempt, losses, node_id, lane, core, leased_at)
			values ($3::text::uuid, $8, $9, 'leased', 1, 0, $7::text::uuid, $4, $10, clock_timestamp())
			returning id
		)
		select t.id, c.id from t, c`,
		TurnKind, maxTurnAttempts, t.Job, t.Lane, t.Queue, t.Priority, c.Node, lease.First, lease.Count, c.Core).
		QueryRow(func(row pgx.Row) error { return row.Scan(&u.Turn, &lease.ID) })
}
