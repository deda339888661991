package shared

import (
	"bytes"
	"encoding/json"
	"slices"
)

// A list is a list of JSON documents.
type list struct {
	common
	neverWaits
	items []json.RawMessage
}

func (l *list) fill(s *Space, initial json.RawMessage) *Error {
	if initial == nil {
		return nil
	}
	items, err := itemsOf(initial)
	if err != nil {
		return err
	}
	return l.splice(s, 0, 0, items)
}

// itemsOf returns the items of a JSON list.
func itemsOf(text json.RawMessage) ([]json.RawMessage, *Error) {
	var items []json.RawMessage
	if json.Unmarshal(text, &items) != nil || items == nil {
		return nil, errorf(ErrType, "%.40s is not a list", text)
	}
	return items, nil
}

func sizeOf(items []json.RawMessage) (n int64) {
	for _, item := range items {
		n += int64(len(item))
	}
	return n
}

// splice replaces n items from at on.
func (l *list) splice(s *Space, at, n int, with []json.RawMessage) *Error {
	if err := s.fits(with...); err != nil {
		return err
	}
	if err := s.grow(&l.common, sizeOf(with)-sizeOf(l.items[at:at+n]), int64(len(with)-n)); err != nil {
		return err
	}
	own := make([]json.RawMessage, len(with))
	for i, item := range with {
		own[i] = bytes.Clone(item)
	}
	if n == 0 && at == len(l.items) {
		l.items = append(l.items, own...)
	} else {
		l.items = slices.Replace(l.items, at, at+n, own...)
	}
	return nil
}

func (l *list) do(a *act) result {
	args := a.call.Args
	spliced := func(at, n int, with ...json.RawMessage) result {
		if err := l.splice(a.s, at, n, with); err != nil {
			return refuses(err)
		}
		return done
	}
	switch a.call.Op {
	case "append":
		return spliced(len(l.items), 0, args[0])
	case "extend", "assign":
		items, err := itemsOf(args[0])
		if err != nil {
			return refuses(err)
		}
		if a.call.Op == "assign" {
			return spliced(0, len(l.items), items...)
		}
		return spliced(len(l.items), 0, items...)
	case "insert":
		i, err := integer(args[0])
		if err != nil {
			return refuses(err)
		}
		if n := int64(len(l.items)); i < 0 {
			i = max(i+n, 0)
		} else {
			i = min(i, n)
		}
		return spliced(int(i), 0, args[1])
	case "clear":
		return spliced(0, len(l.items))
	case "reverse":
		slices.Reverse(l.items)
		return done
	case "len":
		return number(int64(len(l.items)))
	case "slice", "set_slice", "del_slice":
		return l.slice(a)
	case "index", "count", "contains", "remove":
		return l.find(a)
	}
	at := json.RawMessage("-1")
	if len(args) > 0 {
		at = args[0]
	}
	i, err := index(at, len(l.items))
	if err != nil {
		return refuses(err)
	}
	item := l.items[i]
	switch a.call.Op {
	case "set":
		return spliced(i, 1, args[1])
	case "delete":
		return spliced(i, 1)
	case "pop":
		spliced(i, 1)
	}
	return result{value: item}
}

// find makes the operations that look for an item.
func (l *list) find(a *act) result {
	args := a.call.Args
	from := slice{step: 1, count: len(l.items)}
	if a.call.Op == "index" && len(args) > 1 {
		var err *Error
		if from, err = sliceOf(args[1:], len(l.items)); err != nil {
			return refuses(err)
		}
	}
	at, n := -1, int64(0)
	for i := range from.count {
		if bytes.Equal(l.items[from.at(i)], args[0]) {
			if n++; at < 0 {
				at = from.at(i)
			}
		}
	}
	switch a.call.Op {
	case "count":
		return number(n)
	case "contains":
		return boolean(n > 0)
	}
	if at < 0 {
		return fails(ErrValue, "%.80s is not in the list %q", args[0], l.name)
	}
	if a.call.Op == "index" {
		return number(int64(at))
	}
	if err := l.splice(a.s, at, 1, nil); err != nil {
		return refuses(err)
	}
	return done
}

// slice makes the operations on slices.
func (l *list) slice(a *act) result {
	args := a.call.Args
	p, err := sliceOf(args[:min(len(args), 3)], len(l.items))
	if err != nil {
		return refuses(err)
	}
	picked := make([]json.RawMessage, p.count)
	for i := range picked {
		picked[i] = l.items[p.at(i)]
	}
	switch a.call.Op {
	case "slice":
		return result{value: listOf(picked)}
	case "del_slice":
		gone := make(map[int]bool, p.count)
		for i := range p.count {
			gone[p.at(i)] = true
		}
		_ = a.s.grow(&l.common, -sizeOf(picked), -int64(p.count))
		kept := l.items[:0]
		for i, item := range l.items {
			if !gone[i] {
				kept = append(kept, item)
			}
		}
		clear(l.items[len(kept):])
		l.items = kept
		return done
	}
	with, err := itemsOf(args[3])
	if err == nil && p.step == 1 {
		err = l.splice(a.s, p.start, p.count, with)
	} else if err == nil {
		err = l.replace(a.s, p, with)
	}
	if err != nil {
		return refuses(err)
	}
	return done
}

// replace sets the items of a slice with a step.
func (l *list) replace(s *Space, p slice, with []json.RawMessage) *Error {
	if len(with) != p.count {
		return errorf(ErrValue, "a slice of %d items with a step cannot be set to %d", p.count, len(with))
	}
	if err := s.fits(with...); err != nil {
		return err
	}
	change := sizeOf(with)
	for i := range p.count {
		change -= int64(len(l.items[p.at(i)]))
	}
	if err := s.grow(&l.common, change, 0); err != nil {
		return err
	}
	for i, item := range with {
		l.items[p.at(i)] = bytes.Clone(item)
	}
	return nil
}

func (l *list) show() json.RawMessage { return listOf(l.items) }
