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
	Given   *jobs.Policy // the policy as it was submitted; nil leaves it to be guessed
	Lanes   int          // turns that may live at once, where the policy does not say
	Turns   int          // to begin with, for the lanes from 0 on

	// Here are the first claims of those turns, for the lanes from 0 on, that
	// the inserting node runs at once, as far as there are tasks for them; the
	// others wait in River's line.
	Here []Claim
}

// A Begun is a turn that runs on the node which inserted it, from its insertion
// on, and the chunk that was claimed with it.
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

// inserted names what was wrong with an insertion.
func inserted(err error) error {
	if isMissingQueue(err) {
		return jobs.Invalid{{Location: "queue", Message: "there is no such queue"}}
	}
	return wrap("insert job", err)
}

// addTo adds the statements that write the job. The answer holds what they
// return once they were sent, and the rows of inputs that are too many for a
// batch.
func (n NewJob) addTo(b *pgx.Batch) (begun []Begun, rest [][]any, err error) {
	program, err := json.Marshal(n.Spec.Program)
	if err != nil {
		return nil, nil, fmt.Errorf("encode program: %w", err)
	}
	shape := n.Spec.Inputs.Shape()
	inputs, err := json.Marshal(shape)
	if err != nil {
		return nil, nil, fmt.Errorf("encode inputs: %w", err)
	}
	policy, err := json.Marshal(n.Spec.Policy)
	if err != nil {
		return nil, nil, fmt.Errorf("encode policy: %w", err)
	}
	var given []byte
	if n.Given != nil {
		if given, err = json.Marshal(n.Given); err != nil {
			return nil, nil, fmt.Errorf("encode policy: %w", err)
		}
	}
	state, started, ended := jobs.Queued, len(n.Here) > 0, false
	switch {
	case shape.Open:
		state = jobs.Open
	case shape.Count == 0:
		state, started, ended = jobs.Succeeded, true, true
	case started:
		state = jobs.Running
	}
	lanes, auto := n.Lanes, n.Spec.Policy.Processes == nil
	if !auto {
		lanes = *n.Spec.Policy.Processes
	}
	b.Queue(`
		insert into jobs (id, owner_id, name, state, queue, priority, tags, program, inputs, policy, started_at, finished_at, given_policy, created_at,
			folded_name, folded_program, folded_tags)
		values ($1, $2, $3, $4, (select name from queues where name = $5 and not deleted for key share),
			$6, $7, $8, $9, $10, case when $11 then now() end, case when $12 then now() end, $13, $14, $15, $16, $17)`,
		n.ID, n.OwnerID, n.Spec.Name, state, n.Spec.Queue, n.Spec.Priority, n.Spec.Tags, program, inputs, policy, started, ended, given, createdAt(n.ID),
		jobs.Fold(n.Spec.Name), jobs.Fold(n.Spec.Program.SearchText()), jobs.FoldAll(n.Spec.Tags))
	begun, claimed := n.claim(shape.Count, lanes)
	if claimed == shape.Count {
		n.Turns = len(begun)
	}
	b.Queue(`
		insert into progress (job_id, total, sealed, lanes, lanes_auto, turns, failures_allowed, ended, cursor, leased, newer_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9::bigint, $9::bigint, case when $9::bigint > 0 then now() end)`,
		n.ID, shape.Count, !shape.Open, lanes, auto, n.Turns, n.Spec.Policy.FailuresAllowed(shape.Count, !shape.Open), ended, claimed)
	turns := make([]Turn, n.Turns)
	for lane := range turns {
		turns[lane] = Turn{Job: n.ID, Lane: lane, Queue: n.Spec.Queue, Priority: n.Spec.Priority}
	}
	for i := range begun {
		begun[i].addTo(b, turns[i], n.Here[i])
	}
	queueTurns(b, turns[len(begun):])
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

// addTo adds the statements that insert the turn as one that its node has
// fetched, and its chunk as leased.
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
