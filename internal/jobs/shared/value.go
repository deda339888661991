package shared

import (
	"bytes"
	"encoding/json"
)

// neverWaits has the methods of objects without operations that wait.
type neverWaits struct{}

func (neverWaits) park(*Space, *Wait)        {}
func (neverWaits) dropped(*Space, *Wait)     {}
func (neverWaits) late(*Space, *Wait) result { return fails(ErrTimeout, "time is up") }

// A value is one JSON document.
type value struct {
	common
	neverWaits
	v json.RawMessage
}

func (v *value) fill(s *Space, initial json.RawMessage) *Error {
	if initial == nil {
		initial = json.RawMessage("0")
	}
	return v.set(s, bytes.Clone(initial))
}

func (v *value) set(s *Space, to json.RawMessage) *Error {
	if err := s.fits(to); err != nil {
		return err
	}
	if err := s.grow(&v.common, int64(len(to)-len(v.v)), 0); err != nil {
		return err
	}
	v.v = to
	return nil
}

func (v *value) do(a *act) result {
	args := a.call.Args
	switch a.call.Op {
	case "get":
		return result{value: v.v}
	case "set":
		if err := v.set(a.s, bytes.Clone(args[0])); err != nil {
			return refuses(err)
		}
		return done
	case "add":
		total, err := sum(v.v, args[0])
		if err == nil {
			err = v.set(a.s, total)
		}
		if err != nil {
			return refuses(err)
		}
		return result{value: total}
	default: // compare_exchange
		if !bytes.Equal(v.v, args[0]) {
			return result{value: no, read: true}
		}
		if err := v.set(a.s, bytes.Clone(args[1])); err != nil {
			return refuses(err)
		}
		return boolean(true)
	}
}

func (v *value) show() json.RawMessage { return v.v }
