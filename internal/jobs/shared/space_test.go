package shared_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/shared"
)

// args makes JSON arguments of texts.
func args(texts ...string) []json.RawMessage {
	var list []json.RawMessage
	for _, t := range texts {
		list = append(list, json.RawMessage(t))
	}
	return list
}

func call(kind shared.Kind, name, op string, a ...string) *shared.Call {
	return &shared.Call{Kind: kind, Name: name, Op: op, Args: args(a...), Timeout: shared.Forever}
}

func task(n, lease int64) *shared.Caller { return &shared.Caller{Job: "j", Task: n, Lease: lease} }

// a space with what was woken, by wait.
type space struct {
	*shared.Space
	t     testing.TB
	woken map[uint64]shared.Answer
}

func newSpace(t testing.TB) *space {
	return &space{shared.New(shared.DefaultBounds), t, make(map[uint64]shared.Answer)}
}

// do makes a call and returns its answer as text: the value, !kind, or "waits".
func (s *space) do(c *shared.Caller, l *shared.Call) (string, *shared.Wait) {
	answer, wait := s.Do(c, shared.NextOrdinal, l)
	s.take()
	if wait != nil {
		return "waits", wait
	}
	return text(answer), nil
}

func (s *space) take() {
	for _, w := range s.TakeWoken() {
		s.woken[w.Wait] = w.Answer
	}
}

func text(a shared.Answer) string {
	if a.Err != nil {
		return "!" + string(a.Err.Kind)
	}
	return string(a.Value)
}

func (s *space) expect(c *shared.Caller, want string, l *shared.Call) {
	s.t.Helper()
	if got, _ := s.do(c, l); got != want {
		s.t.Errorf("%s of %s %q: got %s, want %s", l.Op, l.Kind, l.Name, got, want)
	}
}

func (s *space) waits(c *shared.Caller, l *shared.Call) *shared.Wait {
	s.t.Helper()
	got, w := s.do(c, l)
	if w == nil {
		s.t.Fatalf("%s of %s %q does not wait: %s", l.Op, l.Kind, l.Name, got)
	}
	return w
}

func (s *space) answered(w *shared.Wait, want string) {
	s.t.Helper()
	s.take()
	a, ok := s.woken[w.ID]
	if !ok || text(a) != want {
		s.t.Errorf("%s of %s %q: answered %v with %s, want %s", w.Call.Op, w.Call.Kind, w.Call.Name, ok, text(a), want)
	}
}

// state is the whole of a space.
func state(s *shared.Space) []byte { return s.Snapshot(nil) }

func TestOperations(t *testing.T) {
	t.Parallel()
	type step struct {
		call string // operation and arguments, separated by spaces
		want string
	}
	for _, c := range []struct {
		kind   shared.Kind
		params *shared.Params
		steps  []step
	}{
		{shared.Queue, nil, []step{{"put 1", "null"}, {`put "a"`, "null"}, {"size", "2"}, {"empty", "false"}, {"get", "1"}, {"task_done", "null"},
			{"get", `"a"`}, {"task_done", "null"}, {"task_done", "!value"}, {"join", "null"}, {"empty", "true"}, {"full", "false"}, {"put", "!argument"}, {"put {", "!argument"}}},
		{shared.Pipe, nil, []step{{"send 0 1", "null"}, {"poll 1", "true"}, {"recv 1", "1"}, {"send 1 2", "null"}, {"close 1", "null"}, {"recv 0", "2"},
			{"recv 0", "!eof"}, {"send 0 3", "!closed"}, {"recv 1", "!closed"}, {"poll 0", "true"}, {"send 2 2", "!argument"}}},
		{shared.Value, &shared.Params{Initial: json.RawMessage("5")}, []step{{"add 2", "7"}, {"add 0.5", "7.5"}, {"add 0.5", "8.0"}, {"compare_exchange 8 1", "false"},
			{"compare_exchange 8.0 1", "true"}, {"add 99999999999999999999", "100000000000000000000"}, {`set "x"`, "null"}, {"add 1", "!type"}, {"get", `"x"`}, {"pop", "!argument"}}},
		{shared.Array, &shared.Params{Type: "i", Size: 4}, []step{{"set 1 7", "null"}, {"get -3", "7"}, {"slice null null null", "[0,7,0,0]"}, {"set_slice 0 4 2 [1,2]", "null"},
			{"slice null null -1", "[0,2,7,1]"}, {"set 4 1", "!index"}, {"set 0 3000000000", "!overflow"}, {"set 0 1.5", "!type"}, {"add 0 5", "6"}, {"set_slice 0 4 1 [1]", "!value"}, {"len", "4"}}},
		{shared.Array, &shared.Params{Type: "d", Initial: json.RawMessage("[1,2.5]")}, []step{{"slice", "[1.0,2.5]"}, {`set 0 "NaN"`, "null"}, {"get 0", `"NaN"`}, {"len", "2"}}},
		{shared.Dict, nil, []step{{`set "a" 1`, "null"}, {`set 2 [3]`, "null"}, {`get "a"`, "[1]"}, {`get "b"`, "[]"}, {`items`, `[["a",1],[2,[3]]]`}, {`setdefault "a" 9`, "1"},
			{`setdefault "c" 9`, "9"}, {`add "c" 1`, "10"}, {`pop "a"`, "[1]"}, {`pop "a"`, "[]"}, {`delete "a"`, "!key"}, {"keys", `[2,"c"]`}, {`update [["z",1],[2,0]]`, "null"},
			{"values", "[0,10,1]"}, {"len", "3"}, {"contains 2", "true"}, {"popitem", `["z",1]`}, {"clear", "null"}, {"popitem", "!key"}, {"items", "[]"}}},
		{shared.List, &shared.Params{Initial: json.RawMessage("[1,2]")}, []step{{"append 3", "null"}, {"extend [4,5]", "null"}, {"slice 1 null 2", "[2,4]"}, {"insert 0 0", "null"}, {"pop", "5"},
			{"pop 0", "0"}, {"get -1", "4"}, {"set 0 9", "null"}, {"index 3", "2"}, {"remove 3", "null"}, {"remove 3", "!value"}, {"slice", "[9,2,4]"}, {"reverse", "null"}, {"del_slice 0 null 2", "null"},
			{"slice", "[2]"}, {"set_slice 0 0 1 [7,8]", "null"}, {"count 7", "1"}, {"contains 6", "false"}, {"assign [3]", "null"}, {"len", "1"}, {"get 3", "!index"}, {"delete 0", "null"}, {"pop", "!index"}, {"clear", "null"}}},
		{shared.Lock, nil, []step{{"acquire", "true"}, {"locked", "true"}, {"release", "null"}, {"release", "!value"}}},
		{shared.Lock, &shared.Params{Type: "reentrant"}, []step{{"acquire", "true"}, {"acquire", "true"}, {"release", "null"}, {"locked", "true"}, {"release", "null"}, {"release", "!owner"}}},
		{shared.Event, nil, []step{{"is_set", "false"}, {"set", "null"}, {"wait", "true"}, {"clear", "null"}, {"is_set", "false"}}},
		{shared.Semaphore, &shared.Params{Size: 2, Type: "bounded"}, []step{{"acquire", "true"}, {"value", "1"}, {"release", "null"}, {"release", "!value"}}},
		{shared.Condition, nil, []step{{"notify", "!owner"}, {"acquire", "true"}, {"notify_all", "null"}, {"release", "null"}, {"wait", "!owner"}}},
		{shared.Barrier, &shared.Params{Size: 1}, []step{{"wait", "0"}, {"abort", "null"}, {"wait", "!broken"}, {"reset", "null"}, {"state", `{"parties":1,"waiting":0,"broken":false}`}}},
	} {
		s := newSpace(t)
		for _, st := range c.steps {
			words := strings.Fields(st.call)
			l := call(c.kind, "o", words[0], words[1:]...)
			l.Params = c.params
			s.expect(task(0, 1), st.want, l)
		}
		if info, ok := s.Read("o"); !ok || !json.Valid(info.Value) {
			t.Errorf("%s reads as %s", c.kind, info.Value)
		}
		restored, err := shared.Restore(shared.DefaultBounds, state(s.Space))
		if err != nil || !bytes.Equal(state(restored), state(s.Space)) {
			t.Errorf("%s: restored otherwise (%v)", c.kind, err)
		}
	}
}

func TestWaiting(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	one, two, three := task(1, 1), task(2, 2), task(3, 3)
	q := &shared.Params{Size: 1}

	get := s.waits(one, call(shared.Queue, "q", "get"))
	put := call(shared.Queue, "q", "put", "1")
	put.Params = q
	s.expect(two, "!mismatch", put)
	put.Params = nil
	s.expect(two, "null", put)
	s.answered(get, "1")

	put.Params, put.Name = q, "r"
	s.expect(two, "null", put)
	full := s.waits(two, put)
	try := *put
	try.Timeout = 0
	s.expect(three, "!full", &try)
	s.expect(one, "1", call(shared.Queue, "r", "get"))
	s.answered(full, "null")

	s.expect(one, "true", call(shared.Lock, "l", "acquire"))
	second := s.waits(two, call(shared.Lock, "l", "acquire"))
	third := s.waits(three, call(shared.Lock, "l", "acquire"))
	s.TimeUp(third.ID)
	s.answered(third, "false")
	s.End("j", 1, 1)
	s.answered(second, "true")
	s.expect(task(1, 1), "!superseded", call(shared.Lock, "l", "locked"))

	e := s.waits(two, call(shared.Event, "e", "wait"))
	s.expect(three, "null", call(shared.Event, "e", "set"))
	s.answered(e, "true")
}

func TestCondition(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	one, two := task(1, 1), task(2, 2)
	s.expect(one, "true", call(shared.Condition, "c", "acquire"))
	s.expect(one, "true", call(shared.Condition, "c", "acquire"))
	w := s.waits(one, call(shared.Condition, "c", "wait"))
	s.expect(two, "true", call(shared.Condition, "c", "acquire"))
	s.expect(two, "null", call(shared.Condition, "c", "notify"))
	if s.take(); len(s.woken) > 0 {
		t.Error("a notified wait has the lock before it is released")
	}
	s.expect(two, "null", call(shared.Condition, "c", "release"))
	s.answered(w, "true")
	s.expect(one, "null", call(shared.Condition, "c", "release"))
	s.expect(one, "null", call(shared.Condition, "c", "release"))
	s.expect(one, "!owner", call(shared.Condition, "c", "release"))

	s.expect(one, "true", call(shared.Condition, "c", "acquire"))
	w = s.waits(one, call(shared.Condition, "c", "wait"))
	s.expect(two, "true", call(shared.Condition, "c", "acquire"))
	s.TimeUp(w.ID)
	s.expect(two, "null", call(shared.Condition, "c", "release"))
	s.answered(w, "false")
}

func TestBarrier(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	wait := call(shared.Barrier, "b", "wait")
	s.expect(task(0, 1), "!argument", wait)
	wait.Params = &shared.Params{Size: 3}
	a, b := s.waits(task(1, 1), wait), s.waits(task(2, 2), wait)
	s.expect(task(3, 3), "2", wait)
	s.answered(a, "0")
	s.answered(b, "1")

	a = s.waits(task(1, 1), wait)
	s.End("j", 2, 2) // it was in the last round
	s.answered(a, "!broken")
	s.expect(task(3, 3), "!broken", wait)
	s.expect(task(3, 3), "null", call(shared.Barrier, "b", "reset"))
	a = s.waits(task(1, 1), wait)
	s.waits(task(3, 3), wait)
	s.End("j", 3, 3) // it waits
	s.answered(a, "!broken")
}

func TestTaskRunsAgain(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	program := []struct {
		call *shared.Call
		want string
	}{
		{call(shared.Value, "v", "add", "1"), "1"},
		{call(shared.Queue, "q", "put", "7"), "null"},
		{call(shared.Lock, "l", "acquire"), "true"},
		{call(shared.Queue, "q", "get"), "7"},
		{call(shared.List, "a", "append", "1"), "null"},
		{call(shared.Lock, "l", "release"), "null"},
		{call(shared.Value, "v", "get"), "1"},
	}
	for lease := int64(1); lease <= int64(len(program)); lease++ {
		for _, step := range program[:lease] {
			s.expect(task(0, lease), step.want, step.call)
		}
		s.End("j", 0, lease)
		if free, _ := s.do(&shared.Caller{Client: "c"}, call(shared.Lock, "l", "locked")); free == "true" {
			t.Errorf("run %d has ended and holds the lock", lease)
		}
	}
	s.expect(task(0, 100), "1", program[0].call)
	s.expect(task(0, 100), "!differs", program[2].call)
	s.Recorded("j", 0, true)
	s.expect(task(1, 101), "1", call(shared.Value, "v", "get"))
	s.expect(task(1, 101), "[1]", call(shared.List, "a", "slice"))
	s.expect(task(1, 101), "0", call(shared.Queue, "q", "size"))
}

// A section under a lock that has only read begins anew when its task runs again.
func TestSectionBeginsAnew(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.expect(task(0, 1), "true", call(shared.Lock, "l", "acquire"))
	s.expect(task(0, 1), "0", call(shared.Value, "v", "get"))
	s.End("j", 0, 1)
	s.expect(task(1, 2), "5", call(shared.Value, "v", "add", "5"))
	s.expect(task(0, 3), "true", call(shared.Lock, "l", "acquire"))
	s.expect(task(0, 3), "5", call(shared.Value, "v", "get"))
}

func TestSemaphoreOfALostTask(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	acquire := call(shared.Semaphore, "s", "acquire")
	s.expect(task(0, 1), "true", acquire)
	w := s.waits(task(1, 2), acquire)
	s.End("j", 0, 1)
	s.expect(task(0, 3), "true", acquire) // it has it already
	s.Recorded("j", 0, false)
	s.answered(w, "true")
	s.Recorded("j", 1, true)
	s.expect(task(2, 4), "0", call(shared.Semaphore, "s", "value"))
}

func TestOutsideCallers(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	c := &shared.Caller{Client: "c", Key: "1"}
	s.expect(c, "1", call(shared.Value, "v", "add", "1"))
	s.expect(c, "1", call(shared.Value, "v", "add", "1"))
	s.expect(c, "!differs", call(shared.Value, "v", "add", "2"))
	c = &shared.Caller{Client: "c", Key: "2"}
	w := s.waits(c, call(shared.Queue, "q", "get"))
	if again := s.waits(c, call(shared.Queue, "q", "get")); again.ID != w.ID {
		t.Error("the same key waits twice")
	}
	s.expect(task(0, 1), "null", call(shared.Queue, "q", "put", "1"))
	s.answered(w, "1")
	s.expect(c, "1", call(shared.Queue, "q", "get"))
	s.expect(c, "!differs", call(shared.Value, "v", "get"))
	s.expect(&shared.Caller{Client: "d"}, "true", call(shared.Lock, "l", "acquire"))
	w = s.waits(task(0, 1), call(shared.Lock, "l", "acquire"))
	s.Lose("d")
	s.answered(w, "true")
	s.expect(&shared.Caller{Client: "d"}, "null", &shared.Call{Name: "v", Op: shared.OpRemove})
	s.expect(&shared.Caller{Client: "d"}, "!key", &shared.Call{Name: "v", Op: shared.OpRemove})
	s.expect(task(0, 1), "!argument", &shared.Call{Name: "l", Op: shared.OpRemove})
}

func TestBounds(t *testing.T) {
	t.Parallel()
	s := &space{shared.New(shared.Bounds{Name: 4, Item: 10, Bytes: 50, Items: 5, Journal: 1 << 20, Waiting: 1}), t, map[uint64]shared.Answer{}}
	c := task(0, 1)
	s.expect(c, "!bounds", call(shared.Value, "names", "get"))
	s.expect(c, "!bounds", call(shared.Queue, "q", "put", `"123456789"`))
	s.expect(c, "null", call(shared.Queue, "q", "put", `"12345678"`))
	s.expect(c, "!bounds", call(shared.List, "l", "extend", `[1,2,3,4]`))
	s.expect(c, "0", call(shared.List, "l", "len"))
	s.expect(c, "null", call(shared.List, "l", "extend", `["12345678","12345678"]`))
	s.expect(c, "!bounds", call(shared.List, "l", "append", `"12345678901234"`))
	s.expect(c, "!bounds", call(shared.List, "l", "append", `1`))
	s.expect(c, `"12345678"`, call(shared.Queue, "q", "get"))
	s.waits(c, call(shared.Queue, "q", "get"))
	s.expect(task(1, 2), "!bounds", call(shared.Queue, "q", "get"))
}

func TestDeadlockNamesWhoWaits(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.expect(task(3, 1), "true", call(shared.Lock, "a", "acquire"))
	one := s.waits(task(3, 1), call(shared.Queue, "jobs", "get"))
	two := s.waits(task(4, 2), call(shared.Lock, "a", "acquire"))
	timed := call(shared.Queue, "jobs", "get")
	timed.Timeout = time.Hour
	s.waits(task(5, 3), timed)
	blocked := s.Blocked("j")
	if len(blocked) != 2 || blocked[0].Task != 3 || blocked[1].Task != 4 {
		t.Fatalf("blocked: %+v", blocked)
	}
	s.Deadlock(blocked, "no task is unclaimed")
	s.answered(one, "!deadlock")
	s.answered(two, "!deadlock")
	want := `deadlock: task 3 waits to get from queue "jobs"; task 4 waits for lock "a", held by task 3; no task is unclaimed`
	if got := s.woken[one.ID].Err.Message; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// The call that failed is made anew when the task runs again.
	s.End("j", 3, 1)
	s.expect(task(3, 9), "true", call(shared.Lock, "a", "acquire"))
	s.waits(task(3, 9), call(shared.Queue, "jobs", "get"))
}

func TestParseWhatIsNoCall(t *testing.T) {
	t.Parallel()
	whole := call(shared.Queue, "q", "put", "1")
	whole.Params, whole.Timeout = &shared.Params{Size: 3, Type: "x", Initial: json.RawMessage("1")}, time.Second
	b := whole.Append(nil)
	if c, err := shared.ParseCall(b); err != nil || fmt.Sprint(c) == "" || c.Timeout != time.Second || c.Params.Size != 3 {
		t.Errorf("%+v, %v", c, err)
	}
	for i := range b {
		if _, err := shared.ParseCall(b[:i]); err == nil {
			t.Errorf("%d bytes of %d are a call", i, len(b))
		}
	}
	if err := shared.New(shared.DefaultBounds).Replay([]byte{2, 1, 0, 0}); err == nil {
		t.Error("a log without its beginning is replayed")
	}
}

func BenchmarkAdd(b *testing.B) {
	s := shared.New(shared.DefaultBounds)
	c, l := task(0, 1), call(shared.Value, "v", "add", "1")
	var log []byte
	for i := range b.N {
		if i%100_000 == 0 {
			s.Recorded("j", 0, true)
			c.Lease++
		}
		s.Do(c, shared.NextOrdinal, l)
		log = s.TakeLog(log)
	}
}
