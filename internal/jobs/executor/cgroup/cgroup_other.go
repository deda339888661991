//go:build !linux

package cgroup

import "errors"

// A Tree is where groups may be made: nowhere but on Linux.
type Tree struct{}

// Open says that there are no control groups.
func Open() (*Tree, error) { return nil, errors.New("only Linux has control groups") }

// Dir is the directory in which the groups are made.
func (t *Tree) Dir() string { return "" }

// A Group is a control group; there is none.
type Group struct{}

// Counter is no file.
func (g *Group) Counter() string { return "" }

// Kill has nothing to kill.
func (g *Group) Kill() {}

// Close has nothing to remove.
func (g *Group) Close() (exceeded bool, err error) { return false, nil }

// Tidy has nothing to remove.
func Tidy() error { return nil }
