package shared

import (
	"bytes"
	"encoding/json"
)

// A dict keeps the order in which its keys came. Keys are equal where their JSON texts
// are.
type dict struct {
	common
	neverWaits
	pairs []pair         // removed ones have no key
	at    map[string]int // place in pairs
}

type pair struct{ key, value json.RawMessage }

func (d *dict) fill(s *Space, initial json.RawMessage) *Error {
	if initial == nil {
		return nil
	}
	return d.update(s, initial)
}

// update sets all pairs, or none.
func (d *dict) update(s *Space, text json.RawMessage) *Error {
	items, err := itemsOf(text)
	if err != nil {
		return err
	}
	pairs := make([]pair, len(items))
	bytes, added := int64(0), int64(0)
	last := make(map[string]int, len(items)) // the pair that stands at the end
	for i, item := range items {
		kv, err := itemsOf(item)
		if err != nil || len(kv) != 2 {
			return errorf(ErrType, "%.40s is not a list of a key and a value", item)
		}
		if err := s.fits(kv...); err != nil {
			return err
		}
		pairs[i] = pair{kv[0], kv[1]}
		last[string(kv[0])] = i
	}
	for key, i := range last {
		bytes += int64(len(pairs[i].value))
		if at, ok := d.at[key]; ok {
			bytes -= int64(len(d.pairs[at].value))
		} else {
			bytes += int64(len(key))
			added++
		}
	}
	if err := s.grow(&d.common, bytes, added); err != nil {
		return err
	}
	for _, p := range pairs {
		d.put(p)
	}
	return nil
}

// put sets a pair whose size was counted.
func (d *dict) put(p pair) {
	p = pair{bytes.Clone(p.key), bytes.Clone(p.value)}
	if at, ok := d.at[string(p.key)]; ok {
		d.pairs[at].value = p.value
		return
	}
	d.at[string(p.key)] = len(d.pairs)
	d.pairs = append(d.pairs, p)
}

func (d *dict) set(s *Space, key, value json.RawMessage) *Error {
	if err := s.fits(key, value); err != nil {
		return err
	}
	size, added := int64(len(value)), int64(0)
	if at, ok := d.at[string(key)]; ok {
		size -= int64(len(d.pairs[at].value))
	} else {
		size, added = size+int64(len(key)), 1
	}
	if err := s.grow(&d.common, size, added); err != nil {
		return err
	}
	d.put(pair{key, value})
	return nil
}

// get returns the value of a key, or nil.
func (d *dict) get(key json.RawMessage) json.RawMessage {
	if at, ok := d.at[string(key)]; ok {
		return d.pairs[at].value
	}
	return nil
}

// delete removes a key that is in the dict.
func (d *dict) delete(s *Space, key json.RawMessage) {
	at := d.at[string(key)]
	_ = s.grow(&d.common, -int64(len(key)+len(d.pairs[at].value)), -1)
	d.pairs[at] = pair{}
	delete(d.at, string(key))
	if len(d.at) >= len(d.pairs)/2 {
		return
	}
	kept := make([]pair, 0, len(d.at))
	for _, p := range d.pairs {
		if p.key != nil {
			d.at[string(p.key)] = len(kept)
			kept = append(kept, p)
		}
	}
	d.pairs = kept
}

// orNothing returns a list of the value, or an empty one.
func orNothing(v json.RawMessage) result {
	if v == nil {
		return result{value: json.RawMessage("[]")}
	}
	return result{value: listOf([]json.RawMessage{v})}
}

func (d *dict) do(a *act) result {
	args := a.call.Args
	switch a.call.Op {
	case "keys", "values", "items":
		return d.all(a.call.Op)
	case "len":
		return number(int64(len(d.at)))
	case "update":
		if err := d.update(a.s, args[0]); err != nil {
			return refuses(err)
		}
		return done
	case "clear":
		_ = a.s.grow(&d.common, -(d.bytes - int64(len(d.name))), -int64(len(d.at)))
		d.pairs, d.at = nil, make(map[string]int)
		return done
	case "popitem":
		for i := len(d.pairs) - 1; i >= 0; i-- {
			if p := d.pairs[i]; p.key != nil {
				d.delete(a.s, p.key)
				return result{value: listOf([]json.RawMessage{p.key, p.value})}
			}
		}
		return fails(ErrKey, "popitem: the dict %q is empty", d.name)
	}
	return d.doKey(a, args[0])
}

// doKey makes the operations on one key.
func (d *dict) doKey(a *act, key json.RawMessage) result {
	old := d.get(key)
	switch a.call.Op {
	case "get":
		return orNothing(old)
	case "contains":
		return boolean(old != nil)
	case "pop":
		if old != nil {
			d.delete(a.s, key)
		}
		r := orNothing(old)
		r.read = old == nil
		return r
	case "delete":
		if old == nil {
			return fails(ErrKey, "%.80s is not in the dict %q", key, d.name)
		}
		d.delete(a.s, key)
		return done
	}
	to, answer := json.RawMessage(nil), null
	switch a.call.Op {
	case "set":
		to = a.call.Args[1]
	case "setdefault":
		if old != nil {
			return result{value: old, read: true}
		}
		to = a.call.Args[1]
		answer = bytes.Clone(to)
	case "add":
		if old == nil {
			return fails(ErrKey, "%.80s is not in the dict %q", key, d.name)
		}
		total, err := sum(old, a.call.Args[1])
		if err != nil {
			return refuses(err)
		}
		to, answer = total, total
	}
	if err := d.set(a.s, key, to); err != nil {
		return refuses(err)
	}
	return result{value: answer}
}

func (d *dict) all(what string) result {
	list := make([]json.RawMessage, 0, len(d.at))
	for _, p := range d.pairs {
		switch {
		case p.key == nil:
		case what == "keys":
			list = append(list, p.key)
		case what == "values":
			list = append(list, p.value)
		default:
			list = append(list, listOf([]json.RawMessage{p.key, p.value}))
		}
	}
	return result{value: listOf(list)}
}

// show is a JSON object where all keys are texts, else a list of pairs.
func (d *dict) show() json.RawMessage {
	b := []byte{'{'}
	for _, p := range d.pairs {
		if p.key == nil {
			continue
		}
		if p.key[0] != '"' {
			return d.all("items").value
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, p.key...), ':'), p.value...)
	}
	return append(b, '}')
}
