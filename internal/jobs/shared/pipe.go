package shared

import (
	"bytes"
	"encoding/json"
)

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
