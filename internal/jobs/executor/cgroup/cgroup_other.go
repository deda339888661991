//go:build !linux

package cgroup

import "errors"

// A Tree makes groups: only on Linux.
type Tree struct{}

// Open returns the error that this system has no control groups.
func Open() (*Tree, error) { return nil, errors.New("only Linux has control groups") }

// Dir is the directory in which the groups are made.
func (t *Tree) Dir() string { return "" }

// A Group is a control group; none exists here.
type Group struct{}

// Counter returns no file.
func (g *Group) Counter() string { return "" }

// Kill has nothing to kill.
func (g *Group) Kill() {}

// Close has nothing to remove.
func (g *Group) Close() (exceeded bool, err error) { return false, nil }

// Tidy has nothing to remove.
func Tidy() error { return nil }
