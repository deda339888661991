// Package process starts child processes and sees to it that none is left
// behind.
//
// Every child leads its own process group and carries, in its environment, a
// mark that no other process has. A child is killed as a tree: its group, its
// descendants by parent links, and (Linux) whatever carries its mark, so that
// grandchildren that made a session of their own or were forked twice die too.
// Killing the group alone would miss those; parent links alone would miss the
// orphans; the mark alone would miss programs that clean their environment.
//
// If this program dies, however it dies, the [guard] kills what it started and
// removes its scratch directory. The guard is one small process per program,
// started with the first child.
//
// A limit of memory is held by a control group of the child's own, in which it is
// from its first instruction, with all that it starts; see package cgroup. Where
// none can be made, each process has the limit by itself, as a resource limit.
//
// The package knows nothing of jobs and tasks.
package process
