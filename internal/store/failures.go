package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// Bounds of the groups of failures that are kept of one job.
const (
	maxPlaces        = 100 // kinds, types and frames; failures at further ones are one group
	maxPatterns      = 20  // at each place; failures there with further messages are one group
	maxMessages      = 5   // different messages of a group
	otherMessages    = "(other messages)"
	otherFailures    = "(other failures)"
	maxGroupMessage  = 500 // bytes of a message
	exampleTraceback = 16 << 10
)

// A failures holds the failures of a record, by group.
type failures struct {
	kinds  map[jobs.ErrorKind]int64
	groups map[jobs.GroupID]*failureGroup
	places map[jobs.GroupID]int // number of groups with an example, by place
}

// A failureGroup is a group in a record, in the form that addGroups takes.
type failureGroup struct {
	ID       int64           `json:"id"`
	Pattern  string          `json:"pattern"`
	Frame    *jobs.Frame     `json:"frame"`
	Count    int64           `json:"count"`
	First    int64           `json:"first_index"`
	Example  *jobs.TaskError `json:"example"` // the first failure; nil in a group that will be counted with others
	Messages []jobs.Message  `json:"messages"`
}

func newFailures() *failures {
	return &failures{
		kinds:  make(map[jobs.ErrorKind]int64),
		groups: make(map[jobs.GroupID]*failureGroup),
		places: make(map[jobs.GroupID]int),
	}
}

// add counts the failures among outcomes and returns the group of each.
func (f *failures) add(o outcomes.Encoded) []jobs.GroupID {
	if len(o.Failed) == 0 {
		return nil
	}
	ids := make([]jobs.GroupID, 0, len(o.Failed))
	for i, line := range outcomes.Lines(o.Outputs) {
		if !line.Failed() {
			continue
		}
		e := readFailure(line)
		grouping := jobs.Group(e)
		f.kinds[e.Kind]++
		f.count(e, grouping, o.First+int64(i))
		ids = append(ids, grouping.ID)
	}
	return ids
}

// readFailure decodes the line of a failed task.
func readFailure(line outcomes.Line) *jobs.TaskError {
	var e jobs.TaskError
	if err := json.Unmarshal(line.Value(), &e); err != nil {
		return &jobs.TaskError{Kind: jobs.KindCrash, Message: "its error could not be read: " + err.Error()}
	}
	return &e
}

// readCutFailure decodes a line of a failed task that may be cut. It leaves the members
// behind the cut empty.
func readCutFailure(line outcomes.Line) *jobs.TaskError {
	value := line.Value()
	if json.Valid(value) {
		return readFailure(line)
	}
	members := map[string]string{}
	decoder := json.NewDecoder(bytes.NewReader(value))
	if _, err := decoder.Token(); err == nil {
		for {
			name, err := decoder.Token()
			if err != nil {
				break
			}
			text, err := decoder.Token()
			if err != nil {
				break
			}
			key, _ := name.(string)
			members[key], _ = text.(string)
		}
	}
	if members["kind"] == "" {
		return readFailure(line)
	}
	return &jobs.TaskError{Kind: jobs.ErrorKind(members["kind"]), Type: members["type"], Message: members["message"], Traceback: members["traceback"]}
}

func (f *failures) count(e *jobs.TaskError, grouping jobs.Grouping, index int64) {
	g := f.groups[grouping.ID]
	if g == nil {
		g = &failureGroup{ID: int64(grouping.ID), Pattern: cut(grouping.Pattern, maxGroupMessage), Frame: grouping.Frame, First: index, Messages: []jobs.Message{}}
		f.groups[grouping.ID] = g
		// A few more than are kept serve as examples of the others.
		if place := grouping.ID.Other(); f.places[place] < maxPatterns+maxMessages {
			f.places[place]++
			g.Example = example(e)
		}
	}
	g.Count++
	if index < g.First { // spans come in any order
		g.First = index
		if g.Example != nil {
			g.Example = example(e)
		}
	}
	if g.Example == nil || len(g.Messages) == maxMessages {
		return
	}
	text := cut(e.Message, maxGroupMessage)
	if !slices.ContainsFunc(g.Messages, func(m jobs.Message) bool { return m.Text == text }) {
		g.Messages = append(g.Messages, jobs.Message{Index: index, Text: text})
	}
}

// example returns e cut to what is kept with its group.
func example(e *jobs.TaskError) *jobs.TaskError {
	return &jobs.TaskError{Kind: e.Kind, Type: cut(e.Type, maxGroupMessage), Message: cut(e.Message, maxGroupMessage), Traceback: cut(e.Traceback, exampleTraceback)}
}

// addGroups counts failures in the groups of a job, if this transaction has just
// recorded the lease. A failure belongs to the group of its id if that exists, else
// to the others at its place if those exist, else to all others, as in [Groups.Of].
// So a new group never has failures that are counted with others already. This
// transaction holds the lock of the job's progress, so nobody else adds groups
// meanwhile.
var addGroups = newStatement(`
with have as (
	select id >> 32 as place, count(*) filter (where id <> id >> 32 << 32) as patterns, bool_or(id = id >> 32 << 32) as other
	from failure_groups where job_id = @job group by 1
), f as (
	select f.*, f.id >> 32 as place, g.id is not null as known
	from jsonb_to_recordset(@groups::jsonb) as f (id bigint, pattern text, frame jsonb, count bigint, first_index bigint, example jsonb, messages jsonb)
	left join failure_groups g on g.job_id = @job and g.id = f.id
	where @lease::bigint = 0 or exists (select from chunks c where c.id = @lease::bigint and c.xmin = pg_current_xact_id()::xid)
), numbered as (
	select f.*, coalesce(h.patterns, 0) as patterns, coalesce(h.other, false) as other, h.place is null as new_place,
		row_number() over (partition by f.place, f.known order by f.example is null, f.first_index) as pattern_number,
		dense_rank() over (partition by h.place is null order by f.place) as place_number
	from f left join have h on h.place = f.place
), placed as (
	select *, case
		when known then id
		when new_place and (select count(*) from have) + place_number > @max_places then 0
		when not other and patterns + pattern_number <= @max_patterns then id
		else place << 32 end as target
	from numbered
), g as (
	select target, bool_and(id = target) as own, sum(count) as count, min(first_index) as first_index,
		(array_agg(example order by example is null, first_index))[1] as example,
		(array_agg(pattern))[1] as pattern,
		(array_agg(frame order by example is null))[1] as frame,
		(array_agg(messages))[1] as messages,
		jsonb_path_query_array(jsonb_agg(messages order by first_index), '$[*][0]') as first_messages
	from placed group by target
)
insert into failure_groups as old (job_id, id, version, kind, type, message, pattern, frame, count, first_index, example, messages)
select @job, target, @version, coalesce(example ->> 'kind', ''), case when target = 0 then '' else coalesce(example ->> 'type', '') end,
	case when target = 0 then @other_failures when own then coalesce(example ->> 'message', '') else @other_messages end,
	case when target = 0 then @other_failures when own then pattern else @other_messages end,
	case when target <> 0 then frame end, count, first_index, coalesce(example, '{}'),
	case when own then messages else jsonb_path_query_array(first_messages, '$[0 to 4]') end
from g
on conflict (job_id, id) do update set
	count = old.count + excluded.count,
	example = case when excluded.first_index < old.first_index and excluded.example <> '{}' then excluded.example else old.example end,
	message = case when excluded.first_index < old.first_index and excluded.example <> '{}' then excluded.message else old.message end,
	messages = case when jsonb_array_length(old.messages) >= @max_messages then old.messages else (
		select jsonb_agg(m order by n) from (
			select m, n from (
				select distinct on (m ->> 'text') m, n from jsonb_array_elements(old.messages || excluded.messages) with ordinality as e (m, n)
				order by m ->> 'text', n) d
			order by n limit @max_messages) l) end,
	first_index = least(old.first_index, excluded.first_index)`,
	param[groupRows]{"job", func(r *groupRows) any { return r.job }},
	param[groupRows]{"groups", func(r *groupRows) any { return r.groups }},
	param[groupRows]{"lease", func(r *groupRows) any { return r.lease }},
	param[groupRows]{"max_patterns", func(*groupRows) any { return maxPatterns }},
	param[groupRows]{"max_places", func(*groupRows) any { return maxPlaces }},
	param[groupRows]{"max_messages", func(*groupRows) any { return maxMessages }},
	param[groupRows]{"version", func(*groupRows) any { return jobs.GroupingVersion }},
	param[groupRows]{"other_messages", func(*groupRows) any { return otherMessages }},
	param[groupRows]{"other_failures", func(*groupRows) any { return otherFailures }},
)

// groupRows are the parameters of addGroups for the failures of a record.
type groupRows struct {
	job    string
	groups []byte // JSON
	lease  int64  // 0 for no condition
}

// addTo adds the statement that counts the failures in the groups of a job if this
// transaction has recorded the lease; lease 0 means no condition.
func (f *failures) addTo(b *pgx.Batch, job string, lease int64) error {
	rows := make([]*failureGroup, 0, len(f.groups))
	for _, g := range f.groups {
		rows = append(rows, g)
	}
	text, err := json.Marshal(rows)
	if err != nil {
		return fmt.Errorf("encode groups of failures: %w", err)
	}
	addGroups.addTo(b, &groupRows{job, escapeNUL(text), lease})
	return nil
}

// signed converts ids to the signed form that Postgres stores.
func signed(ids []jobs.GroupID) []int64 {
	out := make([]int64, len(ids))
	for i, id := range ids {
		out[i] = int64(id)
	}
	return out
}
