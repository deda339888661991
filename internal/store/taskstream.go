package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// Bounds of a task stream. Whatever is asked for, it looks at no more than
// streamScanned chunks beside the few that are in hand or took long.
const (
	streamScanned = 200_000 // chunks that are looked at one by one; of more, a sample of so many
	streamRects   = 20_000  // rectangles that are answered
	streamRows    = 1000    // rows that are answered

	// longChunk is the condition of the index chunks_long.
	longChunk = `finished_at - leased_at > interval '10 seconds'`
	longLease = 10 * time.Second
	// longestSought is how long after a window of all jobs a chunk may end that
	// was in hand before and during it.
	longestSought = 24 * time.Hour
	// longestAhead is how far past now a window may reach: nothing is there, and
	// a span of centuries overflows a duration.
	longestAhead = time.Hour
	// streamSlack is how far the order of the ids may be off that of the times
	// of the leases: jobs that claim at the same moment do not wait for each other.
	streamSlack = time.Second
	// streamMargin is how long after a chunk's beginning its end may take to
	// be seen although it is not leased any more: a commit on its way.
	streamMargin = 5 * time.Second
)

// A StreamQuery says which part of a task stream is wanted.
type StreamQuery struct {
	Job   *jobs.Job     // whose chunks; nil for those of all jobs that the viewer may see
	From  time.Time     // zero: when the job started last, or Last before To
	To    time.Time     // zero: when the job ended, or now
	Last  time.Duration // of all jobs, where there is no From
	Width int           // rectangles that may stand side by side on a row, at least 1
	Since time.Time     // leaves out what began before; zero for nothing
}

// A streamWindow is a StreamQuery in the database's terms.
type streamWindow struct {
	job      string // empty for all
	viewer   Viewer
	now      time.Time
	from, to time.Time
	since    time.Time     // as it was asked for, down to a whole unit; zero without
	unit     time.Duration // what begins within one may be merged: 2^n µs
	first    time.Time     // when the job's first chunk was leased
	pending  *time.Time    // when the first of those in hand was leased
	until    time.Time     // no chunk of interest ended later

	lo, hi int64   // ids of all chunks that were leased in the window, or up to longLease before
	step   int64   // of so many ids one is looked at
	about  float64 // how many chunks these are, where step is not 1
}

// oneIn is what seen chunks stand for.
func (w *streamWindow) oneIn(seen int64) float64 {
	if w.step == 1 || seen == 0 {
		return 1
	}
	return max(w.about/float64(seen), 1)
}

// lower is from when on chunks are of interest.
func (w *streamWindow) lower() time.Time {
	if w.since.After(w.from) {
		return w.since
	}
	return w.from
}

// mine limits chunks c to the job's.
func (w *streamWindow) mine() string {
	if w.job == "" {
		return `true`
	}
	return `c.job_id = @job`
}

func (w *streamWindow) args() pgx.NamedArgs {
	var job *string
	if w.job != "" {
		job = &w.job
	}
	var since *time.Time
	if !w.since.IsZero() {
		since = &w.since
	}
	return pgx.NamedArgs{
		"job": job, "all": w.viewer.All, "viewer": w.viewer.UserID,
		"now": w.now, "from": w.from, "to": w.to, "lower": w.lower(), "since": since, "unit": w.unit,
		"until": w.until, "lo": w.lo, "hi": w.hi, "step": w.step, "most": streamScanned,
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// window finds out when the window is and which ids the chunks in it have.
func (s *Store) window(ctx context.Context, v Viewer, q StreamQuery) (*streamWindow, error) {
	w := &streamWindow{viewer: v, from: q.From, to: q.To, step: 1}
	if q.Job != nil {
		w.job = q.Job.ID
	}
	var first *time.Time
	err := s.Pool.QueryRow(ctx, `
		select clock_timestamp(), (select leased_at from chunks c where `+w.mine()+` order by id limit 1)`, w.args()).
		Scan(&w.now, &first)
	if err != nil {
		return nil, wrap("read clock", err)
	}
	latest := w.now.Add(longestAhead)
	for _, at := range []*time.Time{&w.from, &w.to, &q.Since} {
		if at.After(latest) {
			*at = latest
		}
	}
	if w.to.IsZero() {
		w.to = w.now
		if q.Job != nil && q.Job.FinishedAt != nil {
			w.to = q.Job.FinishedAt.Time
		}
	}
	if w.from.IsZero() {
		switch {
		case q.Job == nil:
			w.from = w.to.Add(-q.Last)
		case q.Job.StartedAt != nil:
			w.from = q.Job.StartedAt.Time
		default:
			w.from = w.to
		}
	}
	if least := w.from.Add(time.Millisecond); w.to.Before(least) {
		w.to = least
	}
	switch {
	case q.Job == nil:
		w.until = w.to.Add(longestSought)
	case q.Job.FinishedAt != nil:
		w.until = q.Job.FinishedAt.Add(streamSlack)
	default:
		w.until = w.now.Add(time.Minute) // what is recorded while this is being asked counts too
	}
	w.first = w.from
	if q.Job != nil && first != nil {
		w.first = *first
	}
	w.unit = StreamUnit(w.to.Sub(w.from), q.Width)
	if !q.Since.IsZero() {
		w.since = time.UnixMicro(floor(q.Since.UnixMicro(), w.unit.Microseconds()))
	}
	if err := s.findChunks(ctx, w); err != nil {
		return nil, err
	}
	if q.Width > 0 && w.since.IsZero() && w.hi-w.lo > streamRects {
		rows, err := s.guessRows(ctx, w)
		if err != nil {
			return nil, err
		}
		w.unit = max(w.unit, StreamUnit(w.to.Sub(w.from), streamRects/max(rows, 1)))
	}
	return w, nil
}

// guessRows is how many rows the first chunks of a window have, so that no more
// rectangles are made than may be answered.
func (s *Store) guessRows(ctx context.Context, w *streamWindow) (rows int, err error) {
	err = s.Pool.QueryRow(ctx, `
		select count(distinct (node_id, core, case when core is null then lane end)) from (
			select node_id, core, lane from chunks c where `+w.mine()+` and id >= @lo and id < @hi order by id limit 4096
		) c`, w.args()).Scan(&rows)
	return rows, wrap("count rows of task stream", err)
}

// StreamUnit is the least power of two of microseconds of which a row of a
// window has no more than width.
func StreamUnit(window time.Duration, width int) time.Duration {
	least := max(window.Microseconds()/int64(max(width, 1)), 1)
	if least*int64(max(width, 1)) < window.Microseconds() {
		least++
	}
	return time.Microsecond << bits.Len64(uint64(least-1))
}

// floor is n down to a whole multiple of unit.
func floor(n, unit int64) int64 {
	rest := n % unit
	if rest < 0 {
		rest += unit
	}
	return n - rest
}

// findChunks fills in which ids are to be looked at. Ids grow with the time of
// the lease, so the bounds are found by bisection over the index: the window's
// place in a long history costs nothing.
func (s *Store) findChunks(ctx context.Context, w *streamWindow) error {
	args := w.args()
	args["goals"] = []time.Time{w.lower().Add(-longLease - streamSlack), w.to.Add(streamSlack)}
	err := s.Pool.QueryRow(ctx, `
		with recursive extent as (
			select min(id) as lo, max(id) + 1 as hi from chunks c where `+w.mine()+`
		), b as (
			select goal, n, lo, hi from extent, unnest(@goals::timestamptz[]) with ordinality as goals (goal, n)
			union all
			select b.goal, b.n,
				case when at.leased_at < b.goal then at.id + 1 else b.lo end,
				case when at.leased_at < b.goal then b.hi else (b.lo + b.hi) / 2 end
			from b, lateral (
				select id, leased_at from chunks c where `+w.mine()+` and id >= (b.lo + b.hi) / 2 order by id limit 1
			) at
			where b.lo < b.hi
		)
		select coalesce(max(lo) filter (where n = 1), 0), coalesce(max(lo) filter (where n = 2), 0) from b`, args).
		Scan(&w.lo, &w.hi)
	if err != nil || w.hi-w.lo <= streamScanned {
		return wrap("find chunks", err)
	}
	var count, last int64
	err = s.Pool.QueryRow(ctx, `
		select count(*), coalesce(max(id), 0) from (
			select id from chunks c where `+w.mine()+` and id >= @lo and id < @hi order by id limit @most + 1
		) c`, w.args()).Scan(&count, &last)
	if err != nil || count <= streamScanned {
		return wrap("count chunks", err)
	}
	w.step = (w.hi - w.lo + streamScanned - 1) / streamScanned
	// Other jobs take ids too: how many shows where the counting came to.
	w.about = float64(count) / float64(last-w.lo+1) * float64(w.hi-w.lo)
	return nil
}

// A streamPiece is one rectangle on its way: chunks of one job in one state
// that began within one unit on one row.
type streamPiece struct {
	host       string
	core, lane *int
	job        string
	state      string
	start, end time.Time
	busy       float64 // seconds
	first      int64
	last       int64
	count      int64
	chunks     int64
	failed     int64

	row int
}

// look reads the window: the chunks in hand first and by themselves, so that
// one that ends meanwhile is seen twice rather than never, then what has ended,
// in groups. columns are those of a group, with node_id, job_id and what it is
// grouped by among them, and told is what read gets of it.
func (s *Store) look(ctx context.Context, w *streamWindow, told, columns, by string, read func(pgx.Rows) error) ([]streamPiece, error) {
	// Those of the job, or of jobs that the viewer may see.
	const shown = ` join jobs j on j.id = g.job_id left join nodes n on n.id = g.node_id
		where j.id = @job or @job::uuid is null and (@all or j.owner_id = @viewer)`
	groups := func(chunks string) string {
		return `select coalesce(n.host, ''), ` + told + ` from (
			select node_id, job_id, ` + columns + ` from (
				select *, coalesce(started_at, leased_at) as s, finished_at as e from ` + chunks + `
			) c
			where s < @to and e >= @from and (e > s or count > 0) and (@since::timestamptz is null or s >= @since)
			group by ` + by + `
		) g` + shown
	}
	recent := `chunks c where ` + w.mine() + ` and id >= @lo and id < @hi and state <> 'leased'`
	if w.step > 1 {
		// At any place within each step: lanes take turns, so at the same place
		// the same lane might be met each time.
		recent = `generate_series(@lo::bigint, @hi::bigint - 1, @step::bigint) at cross join lateral (
			select * from chunks c where ` + w.mine() + ` and id >= at + (hashint8(at) & 2147483647) % @step::bigint and id < at + @step::bigint
			order by id limit 1) c where state <> 'leased'`
	}
	// Those that were leased in good time before the window and yet reach into
	// it. Nothing but their own index may be used to find them.
	long := `(
			select * from chunks
			where ` + longChunk + ` and finished_at > @lower and finished_at <= @until and leased_at < @lower::timestamptz - interval '10 seconds'
			offset 0
		) c where ` + w.mine() + ` and id < @lo`
	var b pgx.Batch
	var hand []streamPiece
	b.Queue(`
		select g.node_id::text, coalesce(n.host, ''), g.core, g.lane, g.job_id::text, g.state, g.leased_at, g.first, g.count, g.id
		from (select * from chunks where state = 'leased') g`+shown, w.args()).
		Query(func(rows pgx.Rows) (err error) {
			hand, err = w.inHand(rows)
			return err
		})
	// With a plan for these very bounds, which are all that matters. Sorting the
	// chunks to group them, for fear of too many groups, would go by the disk.
	b.Queue(`select set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_sort', 'off', true)`)
	b.Queue(groups(recent), w.args()).Query(read)
	b.Queue(groups(long), w.args()).Query(read)
	return hand, wrap("read task stream", s.Pool.SendBatch(ctx, &b).Close())
}

// inHand reads leased chunks. Only the first of a lane runs: since its lease,
// or since that of the lane's last, because a lane claims ahead whenever a
// chunk is done.
func (w *streamWindow) inHand(rows pgx.Rows) ([]streamPiece, error) {
	type lane struct {
		node, job string
		number    int
	}
	type holding struct {
		streamPiece
		id int64
	}
	lanes := make(map[lane]holding)
	for rows.Next() {
		var h holding
		var node string
		if err := rows.Scan(&node, &h.host, &h.core, &h.lane, &h.job, &h.state, &h.start, &h.first, &h.count, &h.id); err != nil {
			return nil, err
		}
		if w.pending == nil || h.start.Before(*w.pending) {
			pending := h.start
			w.pending = &pending
		}
		key := lane{node, h.job, *h.lane}
		if known, ok := lanes[key]; ok {
			begun := later(known.start, h.start)
			if known.id < h.id {
				h = known
			}
			h.start = begun
		}
		lanes[key] = h
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	var out []streamPiece
	for _, h := range lanes {
		if h.start.After(w.now) {
			h.start = w.now
		}
		if !h.start.Before(w.to) || w.now.Before(w.from) {
			continue
		}
		h.end, h.chunks, h.last = w.now, 1, h.first+max(h.count, 1)-1
		h.busy = h.end.Sub(h.start).Seconds()
		out = append(out, h.streamPiece)
	}
	return out, nil
}

// TaskStream reads what ran in a window. The caller has made sure that the
// viewer may see the job, where one is given.
func (s *Store) TaskStream(ctx context.Context, v Viewer, q StreamQuery) (*jobs.TaskStream, error) {
	w, err := s.window(ctx, v, q)
	if err != nil {
		return nil, err
	}
	var pieces []streamPiece
	hand, err := s.look(ctx, w,
		`core, lane, job_id::text, g.state, s, e, busy, first, last, count, chunks, failed`,
		`core, case when core is null then lane end as lane, state,
			min(s) as s, max(e) as e, extract(epoch from sum(e - s))::float8 as busy,
			min(first) as first, max(first + greatest(count, 1)) - 1 as last, sum(count) as count, count(*) as chunks, sum(failed) as failed`,
		`node_id, job_id, core, case when core is null then lane end, state, date_bin(@unit, s, 'epoch'::timestamptz)`,
		func(rows pgx.Rows) error {
			for rows.Next() {
				var p streamPiece
				if err := rows.Scan(&p.host, &p.core, &p.lane, &p.job, &p.state, &p.start, &p.end, &p.busy,
					&p.first, &p.last, &p.count, &p.chunks, &p.failed); err != nil {
					return err
				}
				pieces = append(pieces, p)
			}
			return rows.Err()
		})
	if err != nil {
		return nil, err
	}
	pieces = append(pieces, hand...)
	var cores []streamRow
	if q.Job == nil {
		if cores, err = s.livingCores(ctx); err != nil {
			return nil, err
		}
	}
	var seen int64
	for _, p := range pieces {
		seen += p.chunks
	}
	out := &jobs.TaskStream{OneIn: w.oneIn(seen)}
	out.Rows, out.RowsLeftOut = placeOnRows(pieces, q.Job == nil, cores)
	pieces = slices.DeleteFunc(pieces, func(p streamPiece) bool { return p.row >= len(out.Rows) })
	pieces, w.unit = mergePieces(pieces, w.unit)
	if out.Jobs, err = s.streamJobs(ctx, q.Job, pieces); err != nil {
		return nil, err
	}
	w.tell(out, pieces)
	return out, nil
}

// livingCores are the cores of the nodes that live, busy or not.
func (s *Store) livingCores(ctx context.Context) ([]streamRow, error) {
	nodes, err := s.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	var rows []streamRow
	for _, n := range nodes {
		for _, core := range n.Cores {
			if n.Alive {
				rows = append(rows, streamRow{n.Host, core.Core, -1})
			}
		}
	}
	return rows, nil
}

// streamJobs names the jobs of the pieces, in the order of their ids.
func (s *Store) streamJobs(ctx context.Context, job *jobs.Job, pieces []streamPiece) ([]jobs.StreamJob, error) {
	if job != nil {
		return []jobs.StreamJob{{ID: job.ID, Name: job.Name}}, nil
	}
	var ids []string
	for _, p := range pieces {
		ids = append(ids, p.job)
	}
	slices.Sort(ids)
	rows, err := s.Pool.Query(ctx, `select id::text, name from jobs where id = any($1::uuid[]) order by id`, slices.Compact(ids))
	if err != nil {
		return nil, wrap("read names of jobs", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[jobs.StreamJob])
	return list, wrap("read names of jobs", err)
}

// A streamRow is what tells rows apart. Cores are the hosts', whichever of its
// nodes uses them. Core and slot are -1 where there is none.
type streamRow struct {
	host       string
	core, slot int
}

// AnySlot is all slots of a host as one row, in the totals of all jobs.
const AnySlot = math.MaxInt

func (r streamRow) compare(o streamRow) int {
	return cmp.Or(cmp.Compare(r.host, o.host), cmp.Compare(r.slot, o.slot), cmp.Compare(r.core, o.core))
}

// placeOnRows gives each piece its row and returns the rows, those given too.
// Lanes are numbered by job: in a stream of all jobs each takes the lowest
// slot of its host that is free while it runs.
func placeOnRows(pieces []streamPiece, all bool, rows []streamRow) (out []jobs.StreamRow, leftOut int) {
	at := make([]streamRow, len(pieces))
	type lane struct {
		host, job string
		number    int
	}
	type span struct {
		lane
		start, end time.Time
	}
	lanes := make(map[lane]*span)
	for i, p := range pieces {
		at[i] = streamRow{p.host, -1, -1}
		switch {
		case p.core != nil:
			at[i].core = *p.core
		case !all:
			at[i].slot = *p.lane
		default:
			key := lane{p.host, p.job, *p.lane}
			if s := lanes[key]; s == nil {
				lanes[key] = &span{key, p.start, p.end}
			} else {
				s.end = later(s.end, p.end)
				if p.start.Before(s.start) {
					s.start = p.start
				}
			}
		}
	}
	spans := make([]*span, 0, len(lanes))
	for _, s := range lanes {
		spans = append(spans, s)
	}
	slices.SortFunc(spans, func(a, b *span) int {
		return cmp.Or(a.start.Compare(b.start), cmp.Compare(a.job, b.job), cmp.Compare(a.number, b.number), cmp.Compare(a.host, b.host))
	})
	free := make(map[string][]time.Time) // by host and slot: from when on
	slots := make(map[lane]int)
	for _, s := range spans {
		slot := slices.IndexFunc(free[s.host], func(t time.Time) bool { return !t.After(s.start) })
		if slot < 0 {
			slot = len(free[s.host])
			free[s.host] = append(free[s.host], time.Time{})
		}
		free[s.host][slot], slots[s.lane] = s.end, slot
	}
	for i, p := range pieces {
		if p.core == nil && all {
			at[i].slot = slots[lane{p.host, p.job, *p.lane}]
		}
	}

	rows = append(rows, at...)
	slices.SortFunc(rows, streamRow.compare)
	rows = slices.Compact(rows)
	for i := range pieces {
		pieces[i].row, _ = slices.BinarySearchFunc(rows, at[i], streamRow.compare)
	}
	if leftOut = max(len(rows)-streamRows, 0); leftOut > 0 {
		rows = rows[:streamRows]
	}
	return nameRows(rows, all), leftOut
}

// nameRows labels sorted rows, with their host only where there are several.
func nameRows(rows []streamRow, all bool) []jobs.StreamRow {
	out := make([]jobs.StreamRow, len(rows))
	for i, r := range rows {
		out[i].Host = r.host
		switch {
		case r.core >= 0:
			out[i].Core, out[i].Label = &rows[i].core, fmt.Sprintf("core %d", r.core)
		case r.slot == AnySlot:
			out[i].Slot, out[i].Label = &rows[i].slot, "not pinned"
		case all:
			out[i].Slot, out[i].Label = &rows[i].slot, fmt.Sprintf("slot %d", r.slot)
		default:
			out[i].Slot, out[i].Label = &rows[i].slot, fmt.Sprintf("lane %d", r.slot)
		}
		if rows[0].host != rows[len(rows)-1].host {
			out[i].Label = r.host + " " + out[i].Label
		}
	}
	return out
}

// mergePieces merges what belongs together: pieces of several nodes of one
// host, and, where there are more than streamRects, such as begin within a
// larger unit.
func mergePieces(pieces []streamPiece, unit time.Duration) ([]streamPiece, time.Duration) {
	type key struct {
		row        int
		state, job string
		begin      int64
	}
	for {
		merged := make([]streamPiece, 0, min(len(pieces), 2*streamRects))
		index := make(map[key]int, cap(merged))
		for _, p := range pieces {
			k := key{p.row, p.state, p.job, floor(p.start.UnixMicro(), unit.Microseconds())}
			i, known := index[k]
			if !known {
				index[k] = len(merged)
				merged = append(merged, p)
				continue
			}
			m := &merged[i]
			if p.start.Before(m.start) {
				m.start = p.start
			}
			m.end = later(m.end, p.end)
			m.first, m.last = min(m.first, p.first), max(m.last, p.last)
			m.busy += p.busy
			m.count += p.count
			m.chunks += p.chunks
			m.failed += p.failed
		}
		if pieces = merged; len(pieces) <= streamRects {
			slices.SortFunc(pieces, func(a, b streamPiece) int {
				return cmp.Or(cmp.Compare(a.row, b.row), a.start.Compare(b.start), cmp.Compare(a.job, b.job), cmp.Compare(a.state, b.state), cmp.Compare(a.first, b.first))
			})
			return pieces, unit
		}
		unit *= 2
	}
}

// streamStates are states of chunks in the order of their numbers in a
// jobs.TaskStream.
var streamStates = []string{jobs.StreamLeased: "leased", jobs.StreamDone: "done", jobs.StreamLost: "lost"}

// tell fills in the window and the rectangles.
func (w *streamWindow) tell(out *jobs.TaskStream, pieces []streamPiece) {
	base := w.from.Truncate(time.Millisecond)
	ms := func(t time.Time) float64 { return float64(t.Sub(base).Microseconds()) / 1000 }
	next := w.now.Add(-streamMargin)
	if w.pending != nil && w.pending.Before(next) {
		next = *w.pending
	}
	unit := w.unit.Microseconds()
	since := w.from
	if !w.since.IsZero() {
		since = w.since
	}
	out.Base = jobs.Time{Time: base}
	out.FromMS, out.ToMS, out.NowMS = ms(w.from), ms(w.to), ms(w.now)
	out.ResolutionMS = float64(unit) / 1000
	out.SinceMS = ms(since)
	out.NextSinceMS = ms(time.UnixMicro(floor(next.UnixMicro(), unit)))
	out.FirstMS = ms(w.first)
	n := len(pieces)
	r := jobs.StreamRects{
		Row: make([]int, n), Start: make([]float64, n), End: make([]float64, n), Busy: make([]float64, n), Job: make([]int, n),
		First: make([]int64, n), Last: make([]int64, n), Count: make([]int64, n), Chunks: make([]int64, n), Failed: make([]int64, n), State: make([]int, n),
	}
	for i, p := range pieces {
		r.Row[i], r.Start[i], r.End[i], r.Busy[i] = p.row, ms(p.start), ms(p.end), math.Round(p.busy*1e6)/1000
		r.Job[i], _ = slices.BinarySearchFunc(out.Jobs, p.job, func(j jobs.StreamJob, id string) int { return cmp.Compare(j.ID, id) })
		r.First[i], r.Last[i], r.Count[i], r.Chunks[i], r.Failed[i] = p.first, p.last, p.count, p.chunks, p.failed
		r.State[i] = slices.Index(streamStates, p.state)
	}
	out.Rects = r
}

// A StreamTotal is what one core or slot did within a window.
type StreamTotal struct {
	jobs.StreamRow
	Share                       float64 // of the window during which chunks ran that were not lost; more than 1 where several ran at once
	Chunks, Tasks, Failed, Lost int64   // Tasks with an outcome or in hand; Lost are chunks
	Longest                     LongChunk
}

// A LongChunk is the chunk of a row that took longest, lost ones aside. Without
// one Took is 0.
type LongChunk struct {
	Job   string
	First int64
	Count int64
	Took  time.Duration
}

// StreamTotals adds up a task stream row by row, all unpinned slots of a host
// together where it is of all jobs. oneIn is as in [jobs.TaskStream].
func (s *Store) StreamTotals(ctx context.Context, v Viewer, q StreamQuery) (totals []StreamTotal, oneIn float64, err error) {
	w, err := s.window(ctx, v, q)
	if err != nil {
		return nil, 0, err
	}
	sums := make(map[streamRow]*StreamTotal)
	window := w.to.Sub(w.from).Seconds()
	var seen int64
	add := func(host string, core, lane *int, t StreamTotal) {
		row := streamRow{host, -1, -1}
		switch {
		case core != nil:
			row.core = *core
		case q.Job != nil:
			row.slot = *lane
		default:
			row.slot = AnySlot
		}
		sum := sums[row]
		if sum == nil {
			sum = new(StreamTotal)
			sums[row] = sum
		}
		sum.Share += t.Share
		sum.Chunks += t.Chunks
		sum.Tasks += t.Tasks
		sum.Failed += t.Failed
		sum.Lost += t.Lost
		if t.Longest.Took >= sum.Longest.Took {
			sum.Longest = t.Longest
		}
	}
	hand, err := s.look(ctx, w,
		`core, lane, job_id::text, busy, chunks, tasks, failed, lost, longest`,
		`core, case when core is null then lane end as lane,
			coalesce(extract(epoch from sum(least(e, @to) - greatest(s, @from)) filter (where state <> 'lost'))::float8, 0) as busy,
			count(*) as chunks, coalesce(sum(count) filter (where state <> 'lost'), 0) as tasks, sum(failed) as failed,
			count(*) filter (where state = 'lost') as lost,
			max(array[extract(epoch from e - s) * 1000000, first, count]::bigint[]) filter (where state <> 'lost') as longest`,
		`node_id, job_id, core, case when core is null then lane end`,
		func(rows pgx.Rows) error {
			for rows.Next() {
				var (
					host       string
					core, lane *int
					longest    []int64
					t          StreamTotal
				)
				if err := rows.Scan(&host, &core, &lane, &t.Longest.Job, &t.Share, &t.Chunks, &t.Tasks, &t.Failed, &t.Lost, &longest); err != nil {
					return err
				}
				t.Share /= window
				seen += t.Chunks
				if longest != nil {
					t.Longest.Took = time.Duration(longest[0]) * time.Microsecond
					t.Longest.First, t.Longest.Count = longest[1], longest[2]
				}
				add(host, core, lane, t)
			}
			return rows.Err()
		})
	if err != nil {
		return nil, 0, err
	}
	for _, p := range hand {
		took := p.end.Sub(later(p.start, w.from))
		add(p.host, p.core, p.lane, StreamTotal{
			Share: took.Seconds() / window, Chunks: 1, Tasks: p.count,
			Longest: LongChunk{Job: p.job, First: p.first, Count: p.count, Took: p.end.Sub(p.start)},
		})
	}
	if q.Job == nil {
		cores, err := s.livingCores(ctx)
		if err != nil {
			return nil, 0, err
		}
		for _, core := range cores {
			if sums[core] == nil {
				sums[core] = new(StreamTotal)
			}
		}
	}
	oneIn = w.oneIn(seen)
	order := slices.SortedFunc(maps.Keys(sums), streamRow.compare)
	for i, row := range nameRows(order, q.Job == nil) {
		total := sums[order[i]]
		total.StreamRow = row
		total.Share *= oneIn
		totals = append(totals, *total)
	}
	return totals, oneIn, nil
}
