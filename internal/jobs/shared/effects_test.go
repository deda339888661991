package shared_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"testing"

	"pgregory.net/rapid"

	"github.com/allcores/allcores/internal/jobs/shared"
)

// TestEffectsCountOnce runs tasks that die again and again, at random points and with
// other tasks between. The log, replayed, gives the same space.
func TestEffectsCountOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := shared.New(shared.DefaultBounds)
		replica := shared.New(shared.DefaultBounds)
		type program struct {
			calls   []*shared.Call
			at      int
			lease   int64
			wait    uint64
			done    bool
			answers map[int]string // of changes, from the first run
		}
		tasks := make([]*program, rapid.IntRange(1, 4).Draw(t, "tasks"))
		lease := int64(0)
		sum := 0
		var appended []string
		for i := range tasks {
			p := &program{answers: map[int]string{}}
			for k := range rapid.IntRange(1, 8).Draw(t, "calls") {
				item := fmt.Sprint(100*i + k)
				switch rapid.IntRange(0, 5).Draw(t, "call") {
				case 0:
					p.calls = append(p.calls, call(shared.Value, "v", "add", item))
					sum += 100*i + k
				case 1:
					p.calls = append(p.calls, call(shared.List, "l", "append", item))
					appended = append(appended, item)
				case 2:
					p.calls = append(p.calls, call(shared.Queue, "q", "put", item), call(shared.Queue, "q", "get"))
				case 3:
					p.calls = append(p.calls, call(shared.Lock, "m", "acquire"), call(shared.Value, "v", "add", "0"), call(shared.Lock, "m", "release"))
				case 4:
					p.calls = append(p.calls, call(shared.Value, "v", "get"))
				case 5:
					p.calls = append(p.calls, call(shared.Semaphore, "s", "acquire"), call(shared.Semaphore, "s", "release"))
				}
			}
			lease++
			p.lease = lease
			tasks[i] = p
		}
		woken := map[uint64]shared.Answer{}
		check := func(p *program, i int, a shared.Answer) {
			c := p.calls[p.at]
			if a.Err != nil {
				t.Fatalf("%s of %s: %v", c.Op, c.Name, a.Err)
			}
			if c.Op != "get" || c.Kind != shared.Value {
				if before, ok := p.answers[p.at]; ok && before != string(a.Value) {
					t.Fatalf("task %d: %s of %s answers %s, before %s", i, c.Op, c.Name, a.Value, before)
				}
				if c.Op != "get" || c.Kind == shared.Queue {
					p.answers[p.at] = string(a.Value)
				}
			}
			p.at, p.wait = p.at+1, 0
		}
		for range 600 {
			for _, w := range s.TakeWoken() {
				woken[w.Wait] = w.Answer
			}
			left := 0
			for _, p := range tasks {
				if !p.done {
					left++
				}
			}
			if left == 0 {
				break
			}
			i := rapid.IntRange(0, len(tasks)-1).Draw(t, "task")
			p := tasks[i]
			switch {
			case p.done:
			case rapid.IntRange(0, 9).Draw(t, "dies") == 0:
				s.End("j", int64(i), p.lease)
				lease++
				p.lease, p.at, p.wait = lease, 0, 0
			case p.wait != 0:
				if a, ok := woken[p.wait]; ok {
					check(p, i, a)
				}
			case p.at == len(p.calls):
				s.Recorded("j", int64(i), true)
				p.done = true
			default:
				a, w := s.Do(task(int64(i), p.lease), shared.NextOrdinal, p.calls[p.at])
				if w != nil {
					p.wait = w.ID
				} else {
					check(p, i, a)
				}
			}
			if rapid.IntRange(0, 19).Draw(t, "restores") == 0 {
				restored, err := shared.Restore(shared.DefaultBounds, state(s))
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(state(restored), state(s)) {
					t.Fatal("a restored space differs")
				}
			}
		}
		if err := replica.Replay(s.TakeLog(nil)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(state(replica), state(s)) {
			t.Fatal("a replayed space differs")
		}
		for _, p := range tasks {
			if !p.done {
				return // waiting for each other at the end of the schedule
			}
		}
		if info, ok := s.Read("v"); ok && string(info.Value) != fmt.Sprint(sum) {
			t.Fatalf("the value is %s, want %d", info.Value, sum)
		}
		if info, ok := s.Read("l"); ok {
			var got []json.RawMessage
			_ = json.Unmarshal(info.Value, &got)
			var texts []string
			for _, g := range got {
				texts = append(texts, string(g))
			}
			sort.Strings(texts)
			sort.Strings(appended)
			if !slices.Equal(texts, appended) {
				t.Fatalf("the list has %v, want %v", texts, appended)
			}
		}
		if info, ok := s.Read("q"); ok && string(info.Value) != "[]" {
			t.Fatalf("the queue has %s", info.Value)
		}
		if info, ok := s.Read("s"); ok && string(info.Value) != "1" {
			t.Fatalf("the semaphore has %s permits", info.Value)
		}
		if _, _, journals := s.Size(); journals != 0 {
			t.Fatalf("%d bytes of journals are left", journals)
		}
	})
}
