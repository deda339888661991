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

// A pipe has two ends. What is sent at one is received at the other.
type pipe struct {
	common
	ends [2]pipeEnd
}

// A pipeEnd has what was sent to it and not received.
type pipeEnd struct {
	items  itemList
	closed bool

	receivers, pollers waitList
}

func (p *pipe) end(a *act) (int, *Error) {
	end, err := integer(a.call.Args[0])
	if err == nil && end != 0 && end != 1 {
		err = errorf(ErrArgument, "a pipe has the ends 0 and 1, not %d", end)
	}
	return int(end), err
}

func (p *pipe) do(a *act) result {
	n, err := p.end(a)
	if err != nil {
		return refuses(err)
	}
	mine, other := &p.ends[n], &p.ends[1-n]
	if mine.closed && a.call.Op != "close" {
		return fails(ErrClosed, "end %d of the pipe %q is closed", n, p.name)
	}
	switch a.call.Op {
	case "send":
		return p.send(a, other)
	case "recv":
		switch {
		case len(mine.items.items) > 0:
			item := mine.items.pop()
			_ = a.s.grow(&p.common, -int64(len(item)), -1)
			return result{value: item}
		case other.closed:
			return fails(ErrEOF, "the other end of the pipe %q is closed", p.name)
		}
		mine.receivers.add(a.s, a.wait)
		return parks
	case "poll":
		if len(mine.items.items) > 0 || other.closed {
			return boolean(true)
		}
		mine.pollers.add(a.s, a.wait)
		return parks
	default:
		p.close(a.s, n)
		return done
	}
}

func (p *pipe) send(a *act, to *pipeEnd) result {
	item := a.call.Args[1]
	if to.closed {
		return fails(ErrClosed, "the other end of the pipe %q is closed: broken pipe", p.name)
	}
	if err := a.s.fits(item); err != nil {
		return refuses(err)
	}
	if r := to.receivers.first(); r != nil {
		a.s.finish(r, result{value: bytes.Clone(item)})
		return done
	}
	if err := a.s.grow(&p.common, int64(len(item)), 1); err != nil {
		return refuses(err)
	}
	to.items.push(item)
	to.pollers.finishAll(a.s, boolean(true))
	return done
}

// close closes an end: what was sent to it is dropped, and the other end finds the
// end of the file after what it has.
func (p *pipe) close(s *Space, n int) {
	mine, other := &p.ends[n], &p.ends[1-n]
	if mine.closed {
		return
	}
	mine.closed = true
	_ = s.grow(&p.common, -mine.items.bytes, -int64(len(mine.items.items)))
	mine.items = itemList{}
	closed := fails(ErrClosed, "end %d of the pipe %q is closed", n, p.name)
	mine.receivers.finishAll(s, closed)
	mine.pollers.finishAll(s, closed)
	other.receivers.finishAll(s, fails(ErrEOF, "the other end of the pipe %q is closed", p.name))
	other.pollers.finishAll(s, boolean(true))
}

// finishAll answers all waits of a list alike.
func (l *waitList) finishAll(s *Space, r result) {
	for w := l.first(); w != nil; w = l.first() {
		s.finish(w, r)
	}
}

func (p *pipe) park(_ *Space, w *Wait) {
	end := &p.ends[0]
	if string(w.Call.Args[0]) == "1" {
		end = &p.ends[1]
	}
	if w.Call.Op == "recv" {
		end.receivers.list = append(end.receivers.list, w)
	} else {
		end.pollers.list = append(end.pollers.list, w)
	}
}

func (p *pipe) dropped(_ *Space, w *Wait) {
	for i := range p.ends {
		p.ends[i].receivers.drop(w)
		p.ends[i].pollers.drop(w)
	}
}

func (p *pipe) late(_ *Space, w *Wait) result {
	if w.Call.Op == "poll" {
		return boolean(false)
	}
	return fails(ErrTimeout, "nothing came through the pipe %q in time", p.name)
}

func (p *pipe) show() json.RawMessage {
	return listOf([]json.RawMessage{listOf(p.ends[0].items.items), listOf(p.ends[1].items.items)})
}
