package http

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/shared"
)

// sharedWait is how long a call on a shared object waits without a preference.
const sharedWait = 20 * time.Second

// SharedJobPath is the address of the objects of a job; SharedScopePath that of the
// objects of a named scope of the caller.
type (
	SharedJobPath   struct{ JobPath }
	SharedScopePath struct {
		Scope string `path:"scope" doc:"The name of a scope of yours."`
	}
)

// sharedPath is the address of shared objects.
type sharedPath interface {
	scope(ctx context.Context, s *Site) (shared.Scope, error)
}

func (p *SharedJobPath) scope(ctx context.Context, s *Site) (shared.Scope, error) {
	job, err := s.one(ctx, p.ID)
	if err != nil {
		return shared.Scope{}, err
	}
	return shared.Scope{Job: job.ID}, nil
}

func (p *SharedScopePath) scope(ctx context.Context, _ *Site) (shared.Scope, error) {
	name, err := unescaped("scope", p.Scope)
	return shared.Scope{Owner: callOf(ctx).user.ID, Name: name}, err
}

// sharedInfo is an object in an answer.
type sharedInfo struct {
	Name    string          `json:"name"`
	Kind    shared.Kind     `json:"kind" enum:"queue,pipe,value,array,dict,list,lock,event,semaphore,condition,barrier"`
	Size    int64           `json:"size,omitempty" doc:"Most items of a queue, 0 for any number; permits of a semaphore; parties of a barrier; length of an array."`
	Type    string          `json:"type,omitempty" doc:"Typecode of an array; reentrant for a lock; bounded for a semaphore."`
	Items   int64           `json:"items" doc:"The object counts as one."`
	Bytes   int64           `json:"bytes"`
	Waiting int             `json:"waiting" doc:"Calls that wait for it."`
	Holder  string          `json:"holder,omitempty" doc:"Of a lock: who holds it."`
	Value   json.RawMessage `json:"value" doc:"In a list, null for a value longer than 4 KiB."`
}

type sharedList struct {
	Body struct {
		Items []sharedInfo `json:"items" nullable:"false"`
	}
}

// listShared lists the objects of a scope.
func listShared[P any, I interface {
	*P
	sharedPath
}](s *Site) func(context.Context, *P) (*sharedList, error) {
	return func(ctx context.Context, in *P) (*sharedList, error) {
		scope, err := I(in).scope(ctx, s)
		if err != nil {
			return nil, err
		}
		objects, err := s.engine.Shared().Snapshot(ctx, scope)
		if err != nil {
			return nil, err
		}
		out := &sharedList{}
		out.Body.Items = make([]sharedInfo, len(objects))
		for i, o := range objects {
			out.Body.Items[i] = sharedInfo(o)
		}
		return out, nil
	}
}

// SharedName is the last part of an object's address.
type SharedName struct {
	Name string `path:"name" doc:"The object's name, with / as %2F."`
}

type (
	jobObject struct {
		SharedJobPath
		SharedName
	}
	scopeObject struct {
		SharedScopePath
		SharedName
	}
)

func (n *SharedName) object() string { return n.Name }

// getShared reads one object with its whole value.
func getShared[P any, I interface {
	*P
	sharedPath
	object() string
}](s *Site) func(context.Context, *P) (*struct{ Body sharedInfo }, error) {
	return func(ctx context.Context, in *P) (*struct{ Body sharedInfo }, error) {
		scope, err := I(in).scope(ctx, s)
		if err != nil {
			return nil, err
		}
		name, err := unescaped("name", I(in).object())
		if err != nil {
			return nil, err
		}
		info, err := s.engine.Shared().Read(ctx, scope, name)
		if err != nil {
			return nil, explained(err, jobs.ErrNotFound, "There is no such shared object.")
		}
		return &struct{ Body sharedInfo }{sharedInfo(info)}, nil
	}
}

type sharedScopes struct {
	Body struct {
		Items []sharedScope `json:"items" nullable:"false"`
	}
}

type sharedScope struct {
	Scope string `json:"scope"`
}

// listScopes lists the caller's named scopes.
func (s *Site) listScopes(ctx context.Context, _ *struct{}) (*sharedScopes, error) {
	names, err := s.engine.Shared().Names(ctx, callOf(ctx).user.ID)
	out := &sharedScopes{}
	out.Body.Items = make([]sharedScope, len(names))
	for i, name := range names {
		out.Body.Items[i].Scope = name
	}
	return out, err
}

// deleteScope deletes a named scope of the caller. A scope that is not there is
// deleted already.
func (s *Site) deleteScope(ctx context.Context, in *SharedScopePath) (*struct{}, error) {
	scope, err := in.scope(ctx, s)
	if err == nil {
		err = s.engine.Shared().Delete(ctx, scope)
	}
	if errors.Is(err, jobs.ErrNotFound) {
		err = nil
	}
	return nil, err
}

// A sharedProblem is the error of a call on a shared object as its caller sees it.
type sharedProblem struct {
	huma.ErrorModel
	Kind shared.ErrorKind `json:"kind"`
}

func problemOf(e *shared.Error) *sharedProblem {
	status := e.Kind.Status()
	return &sharedProblem{huma.ErrorModel{Title: http.StatusText(status), Status: status, Detail: e.Message}, e.Kind}
}
