package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// NodeLease is how long a node lives on one heartbeat, by the database's clock.
const NodeLease = 6 * time.Second

// A NewNode is a node's report at its start.
type NewNode struct {
	ID, Host string
	Machine  string // one boot of one machine or container; pids are comparable within it
	PID      int
	Version  string
	Role     string
	Cores    int      // that it may use; 0 for one that executes nothing
	Serves   []string // the queues that it serves; nil for all
}

// A NodeStatus is a node's report with each heartbeat.
type NodeStatus struct {
	Cores     []jobs.Core             `json:"cores"`
	Memory    jobs.Memory             `json:"memory"`
	Slots     map[string]jobs.SlotUse `json:"slots"`
	Load      float64                 `json:"load"`
	LowMemory bool                    `json:"low_memory"`
	Pins      bool                    `json:"pins"`
	Trouble   string                  `json:"trouble"`
	Unpinned  []jobs.CoreTurn         `json:"unpinned"` // turns without a core of their own
	Progress  []jobs.TaskProgress     `json:"progress,omitempty"`
}

// Register inserts a node as alive.
func (s *Store) Register(ctx context.Context, n NewNode) error {
	var now time.Time
	sent := time.Now()
	err := s.Pool.QueryRow(ctx, `
		insert into nodes (id, host, machine, pid, version, role, cores, serves)
		values (@id, @host, @machine, @pid, @version, @role, @cores, @serves)
		returning clock_timestamp()`, pgx.NamedArgs{
		"id": n.ID, "host": n.Host, "machine": n.Machine, "pid": n.PID,
		"version": n.Version, "role": n.Role, "cores": n.Cores, "serves": n.Serves,
	}).Scan(&now)
	if err != nil {
		return wrap("register node", err)
	}
	s.ids.read(sent, time.Now(), now)
	return nil
}

// Beat renews a node's lease. It reports false when the node was declared dead
// before. Its chunks are lost then: it must abandon them, then Revive itself.
func (s *Store) Beat(ctx context.Context, id string, status NodeStatus) (alive bool, err error) {
	text, err := json.Marshal(status)
	if err != nil {
		return false, fmt.Errorf("encode node's status: %w", err)
	}
	var now time.Time
	sent := time.Now()
	err = s.Pool.QueryRow(ctx, `
		update nodes set heartbeat_at = clock_timestamp(), status = $2 where id = $1 and state = 'alive'
		returning heartbeat_at`, id, text).Scan(&now)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case err != nil:
		return false, wrap("beat", err)
	}
	s.ids.read(sent, time.Now(), now)
	return true, nil
}

// Drain stops a living node from taking turns, or lets it take them again.
func (s *Store) Drain(ctx context.Context, id string, draining bool) error {
	if !ValidID(id) {
		return fmt.Errorf("drain node %q: %w", id, jobs.ErrNotFound)
	}
	var state string
	err := s.Pool.QueryRow(ctx, `
		with n as (
			update nodes set draining = $2 where id = $1 and state = 'alive' returning id
		)
		select state from nodes where id = $1 and (select count(pg_notify($3, $4)) from n) >= 0`,
		id, draining, channel, QueueNews).Scan(&state)
	if err == nil && state != "alive" {
		return fmt.Errorf("drain node: it is %s: %w", state, jobs.ErrConflict)
	}
	return wrap("drain node", err)
}

// Revive makes a node that was declared dead alive again.
func (s *Store) Revive(ctx context.Context, id string) error {
	_, err := s.Pool.Exec(ctx, `update nodes set state = 'alive', heartbeat_at = clock_timestamp() where id = $1`, id)
	return wrap("revive node", err)
}

// Unregister marks a node as stopped. It takes back the chunks and turns that the
// node did not know of and so did not return.
func (s *Store) Unregister(ctx context.Context, id string) error {
	return s.Tx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `update nodes set state = 'stopped' where id = $1`, id); err != nil {
			return wrap("unregister node", err)
		}
		if _, _, err := s.lose(ctx, tx, id, allChunks, nil); err != nil {
			return err
		}
		turns, err := s.discardTurns(ctx, tx, id)
		if err != nil {
			return err
		}
		return s.InsertTurns(ctx, tx, turns)
	})
}

// A Neighbour is another node that reports the same machine.
type Neighbour struct {
	ID  string
	PID int
}

// Neighbours reads the other living nodes of a machine.
func (s *Store) Neighbours(ctx context.Context, machine, self string) ([]Neighbour, error) {
	rows, err := s.Pool.Query(ctx, `
		select id, pid from nodes where state = 'alive' and machine = $1 and id <> $2 limit 1000`, machine, self)
	if err != nil {
		return nil, wrap("read neighbours", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Neighbour])
	return list, wrap("read neighbours", err)
}

// Expire ends the lease of a node whose process is known to be gone.
func (s *Store) Expire(ctx context.Context, id string) error {
	_, err := s.Pool.Exec(ctx, `
		update nodes set heartbeat_at = least(heartbeat_at, clock_timestamp() - $2::bigint * interval '1 microsecond')
		where id = $1 and state = 'alive'`, id, NodeLease.Microseconds()+1)
	return wrap("expire node", err)
}

// Nodes reads the living nodes and those that ended within the last hour.
func (s *Store) Nodes(ctx context.Context) ([]jobs.Node, error) {
	rows, err := s.Pool.Query(ctx, `
		select id, host, version, role, pid, started_at, greatest(heartbeat_at, started_at), status,
			draining, serves, lost_chunks, lost_tasks,
			case when state = 'alive' and heartbeat_at < clock_timestamp() - $1::bigint * interval '1 microsecond' then 'silent' else state end
		from nodes where state = 'alive' or heartbeat_at > now() - interval '1 hour'
		order by state <> 'alive', started_at desc limit 1000`, NodeLease.Microseconds())
	if err != nil {
		return nil, wrap("list nodes", err)
	}
	nodes, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (n jobs.Node, err error) {
		var status []byte
		err = row.Scan(&n.ID, &n.Host, &n.Version, &n.Role, &n.PID, &n.StartedAt.Time, &n.HeartbeatAt.Time, &status,
			&n.Draining, &n.Serves, &n.TakenBack.Chunks, &n.TakenBack.Tasks, &n.State)
		if err != nil {
			return n, err
		}
		n.Alive = n.State == "alive"
		var reported NodeStatus
		if err := json.Unmarshal(status, &reported); err != nil {
			return n, fmt.Errorf("decode node's status: %w", err)
		}
		n.Cores, n.Memory, n.Slots, n.Load = reported.Cores, reported.Memory, reported.Slots, reported.Load
		n.LowMemory, n.Pins, n.Trouble, n.Unpinned = reported.LowMemory, reported.Pins, reported.Trouble, reported.Unpinned
		n.Progress = reported.Progress
		if n.Unpinned == nil {
			n.Unpinned = []jobs.CoreTurn{}
		}
		if n.Slots == nil {
			n.Slots = map[string]jobs.SlotUse{}
		}
		if n.Cores == nil {
			n.Cores = []jobs.Core{}
		}
		return n, nil
	})
	return nodes, wrap("list nodes", err)
}

// A Lost is the work that was taken back from a dead node.
type Lost struct {
	Node   string
	Chunks int
	Tasks  int
	Turns  []Turn // that it had; the caller must insert them again in the same transaction
}

// TakeBack declares dead one node whose lease has run out, as part of tx, and
// puts its chunks into the backlog. It returns nil when there is none.
//
// A dead or stopped node may still have work: chunks that it claimed after it was
// declared dead, before it learned of that, and turns that were fetched for it in
// an answer that it never received. TakeBack takes back from such a node again once
// it has been silent for as long as a lease lasts.
func (s *Store) TakeBack(ctx context.Context, tx pgx.Tx) (*Lost, error) {
	var lost Lost
	err := tx.QueryRow(ctx, `
		update nodes set state = case state when 'alive' then 'dead' else state end where id = (
			select id from nodes
			where heartbeat_at < clock_timestamp() - $1::bigint * interval '1 microsecond' and (state = 'alive'
				or id in (select node_id from chunks where state = 'leased')
				or id::text in (`+turnHolders+`))
			order by heartbeat_at limit 1 for update skip locked)
		returning id`, NodeLease.Microseconds()).Scan(&lost.Node)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap("find dead node", err)
	}
	if lost.Chunks, lost.Tasks, err = s.lose(ctx, tx, lost.Node, allChunks, nil); err != nil {
		return nil, err
	}
	if lost.Chunks > 0 {
		_, err = tx.Exec(ctx, `update nodes set lost_chunks = lost_chunks + $2, lost_tasks = lost_tasks + $3 where id = $1`, lost.Node, lost.Chunks, lost.Tasks)
		if err != nil {
			return nil, wrap("count lost chunks", err)
		}
	}
	lost.Turns, err = s.discardTurns(ctx, tx, lost.Node)
	return &lost, err
}

// ForgetNodes deletes at most limit nodes that have been silent for longer than keep
// and have no work, and returns their number.
func (s *Store) ForgetNodes(ctx context.Context, keep time.Duration, limit int) (int, error) {
	tag, err := s.Pool.Exec(ctx, `
		delete from nodes where id in (
			select id from nodes
			where state <> 'alive' and heartbeat_at < now() - $1::bigint * interval '1 microsecond'
				and id not in (select node_id from chunks where state = 'leased')
				and id::text not in (`+turnHolders+`)
			order by heartbeat_at limit $2 for update skip locked)`, keep.Microseconds(), limit)
	return int(tag.RowsAffected()), wrap("forget nodes", err)
}

// Strays puts back chunks, older than five seconds, that the database has as leased
// to a living node but that the node does not know: the answer to its claim was
// lost. It returns their number.
func (s *Store) Strays(ctx context.Context, node string, known []int64) (n int, err error) {
	err = s.Tx(ctx, func(tx pgx.Tx) error {
		n, _, err = s.lose(ctx, tx, node, strayChunks, known)
		return err
	})
	return n, err
}

// Which chunks of a node lose moves.
const (
	allChunks   = true
	strayChunks = false // older than five seconds and not known to the node
)

// lose moves chunks of a node from leased to lost and their tasks to the backlog,
// job by job in the order of their ids.
func (s *Store) lose(ctx context.Context, tx pgx.Tx, node string, all bool, known []int64) (chunks, tasks int, err error) {
	rows, err := tx.Query(ctx, `
		update chunks set state = 'lost', finished_at = clock_timestamp()
		where node_id = $1 and state = 'leased' and ($2 or leased_at < clock_timestamp() - interval '5 seconds' and id <> all($3::bigint[]))
		returning job_id, first, count, attempt, losses, recorded > 0, rest`, node, all, known)
	if err != nil {
		return 0, 0, wrap("lose chunks", err)
	}
	lost := make(map[string][]BacklogSpan)
	var job string
	var p BacklogSpan
	var others bool // of the chunk have ended
	var rest []int64
	_, err = pgx.ForEachRow(rows, []any{&job, &p.First, &p.Count, &p.Attempt, &p.Losses, &others, &rest}, func() error {
		chunks++
		tasks += p.Count
		p.Losses++
		lost[job] = append(lost[job], lostSpans(p, rest, others || p.Count > 1)...)
		return nil
	})
	if err != nil {
		return 0, 0, wrap("lose chunks", err)
	}
	for _, job := range sortedJobs(lost) {
		var b pgx.Batch
		of := 0
		for _, p := range lost[job] {
			of += p.Count
		}
		b.Queue(`update progress set leased = leased - $2 where job_id = $1`, job, of)
		for _, p := range lost[job] {
			if p.Count > 0 {
				b.Queue(`insert into backlog (job_id, first, count, attempt, losses) values ($1, $2, $3, $4, $5)`,
					job, p.First, p.Count, p.Attempt, p.Losses)
			}
		}
		var ended bool
		s.addFinish(&b, job, &ended)
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return 0, 0, wrap("put chunks back", err)
		}
	}
	return chunks, tasks, nil
}

// lostSpans returns what was left of a lost chunk: a span, or those in rest. The losses
// of a task count from when it is alone: others says that more tasks ran in the chunk,
// and one of them may have left behind what ended the node.
func lostSpans(whole BacklogSpan, rest []int64, others bool) []BacklogSpan {
	if rest == nil {
		rest = []int64{whole.First, int64(whole.Count)}
	}
	spans := make([]BacklogSpan, 0, len(rest)/2)
	for ; len(rest) > 1; rest = rest[2:] {
		p := whole
		p.First, p.Count = rest[0], int(rest[1])
		if p.Count == 1 && others {
			p.Losses = 0
		}
		spans = append(spans, p)
	}
	return spans
}

// sortedJobs returns the keys of m in the order in which progress rows are locked.
func sortedJobs[V any](m map[string]V) []string {
	ids := make([]string, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
