// Package process starts child processes and ensures that none of them, nor of
// what they start, is left.
//
// Every child leads its own process group and carries, in its environment, a
// mark that no other process has. A child is killed as a tree: its group, its
// descendants by parent links, and (Linux) every process with its mark, so that
// grandchildren that made a session of their own or were forked twice die too.
// Killing the group alone would miss those; parent links alone would miss the
// orphans; the mark alone would miss programs that clean their environment.
//
// When this program ends, whatever ends it, the [guard] kills what it started and
// removes its scratch directory. The guard is one small process per program,
// started with the first child.
//
// A control group of the child's own holds its memory limit. The child is in it from
// its first instruction, with all that it starts; see package cgroup. Where none can
// be made, each process has the limit by itself, as a resource limit.
//
// The package knows nothing of jobs and tasks.
package process
