package shared

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// An itemList is items, first in first out.
type itemList struct {
	items []json.RawMessage
	bytes int64
}

func (l *itemList) push(item json.RawMessage) {
	l.items = append(l.items, bytes.Clone(item))
	l.bytes += int64(len(item))
}

func (l *itemList) pop() json.RawMessage {
	item := l.items[0]
	l.items[0] = nil
	if l.items = l.items[1:]; len(l.items) == 0 {
		l.items = nil
	}
	l.bytes -= int64(len(item))
	return item
}

func number(n int64) result { return result{value: strconv.AppendInt(nil, n, 10)} }

// A queue is first in, first out. A getter waits while it is empty, a putter while it
// has params.Size items.
type queue struct {
	common
	items      itemList
	unfinished int64 // put and not yet done: see task_done

	getters, putters, joiners waitList
}

func (q *queue) do(a *act) result {
	switch a.call.Op {
	case "put":
		if err := a.s.fits(a.call.Args[0]); err != nil {
			return refuses(err)
		}
		if q.isFull() || q.putters.first() != nil {
			q.putters.add(a.s, a.wait)
			return parks
		}
		return q.put(a.s, a.wait)
	case "get":
		if len(q.items.items) == 0 {
			q.getters.add(a.s, a.wait)
			return parks
		}
		return result{value: q.get(a.s)}
	case "size":
		return number(int64(len(q.items.items)))
	case "empty":
		return boolean(len(q.items.items) == 0)
	case "full":
		return boolean(q.isFull())
	case "task_done":
		if q.unfinished == 0 {
			return fails(ErrValue, "task_done() called too many times")
		}
		q.unfinished--
		q.releaseJoiners(a.s)
		return done
	default: // join
		if q.unfinished == 0 {
			return done
		}
		q.joiners.add(a.s, a.wait)
		return parks
	}
}

func (q *queue) isFull() bool { return q.params.Size > 0 && int64(len(q.items.items)) >= q.params.Size }

// put hands an item to the first getter, or keeps it.
func (q *queue) put(s *Space, w *Wait) result {
	item := w.Call.Args[0]
	if g := q.getters.first(); g != nil {
		q.unfinished++
		s.finish(g, result{value: bytes.Clone(item)})
		return done
	}
	if err := s.grow(&q.common, int64(len(item)), 1); err != nil {
		return refuses(err)
	}
	q.unfinished++
	q.items.push(item)
	return done
}

// get takes an item and lets the next putter put its.
func (q *queue) get(s *Space) json.RawMessage {
	item := q.items.pop()
	_ = s.grow(&q.common, -int64(len(item)), -1)
	q.admit(s)
	return item
}

// admit lets putters put while there is room.
func (q *queue) admit(s *Space) {
	for p := q.putters.first(); p != nil && !q.isFull(); p = q.putters.first() {
		s.finish(p, q.put(s, p))
	}
}

func (q *queue) releaseJoiners(s *Space) {
	for j := q.joiners.first(); j != nil && q.unfinished == 0; j = q.joiners.first() {
		s.finish(j, done)
	}
}

func (q *queue) park(s *Space, w *Wait) {
	switch w.Call.Op {
	case "put":
		q.putters.list = append(q.putters.list, w)
	case "get":
		q.getters.list = append(q.getters.list, w)
	default:
		q.joiners.list = append(q.joiners.list, w)
	}
}

func (q *queue) dropped(s *Space, w *Wait) {
	q.putters.drop(w)
	q.getters.drop(w)
	q.joiners.drop(w)
	q.admit(s)
}

func (q *queue) late(_ *Space, w *Wait) result {
	switch w.Call.Op {
	case "put":
		return fails(ErrFull, "the queue %q is full", q.name)
	case "get":
		return fails(ErrEmpty, "the queue %q is empty", q.name)
	}
	return fails(ErrTimeout, "%d items of the queue %q are not done", q.unfinished, q.name)
}

func (q *queue) show() json.RawMessage { return listOf(q.items.items) }

// listOf returns a JSON list.
func listOf(items []json.RawMessage) json.RawMessage {
	size := 2
	for _, item := range items {
		size += len(item) + 1
	}
	b := append(make([]byte, 0, size), '[')
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, item...)
	}
	return append(b, ']')
}
