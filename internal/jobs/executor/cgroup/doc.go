// Package cgroup holds processes, with all that they start, to a memory limit by
// control groups of Linux: see cgroups(7), and in the kernel's admin-guide cgroup-v2
// and cgroup-v1/memory.
//
// A [Tree] makes groups below the group of this program, so that they stay within
// every limit that it has. [Open] tries whether that is possible; often it is not, as
// in a container whose control groups are read-only, or for an ordinary user in a
// terminal. Without groups each process is limited by itself, see package process.
//
// Version 2 lets a group have processes or groups with limits below it, not
// both. So a server that is alone in its group with its own children, as in a
// service or scope of systemd with Delegate=yes, moves into a group of its own
// below, called home here, to make room for others. It moves no other process.
//
// All processes of a [Group] are killed when it needs more than its limit, after the
// kernel has written back or dropped what it can: so a task whose child takes too
// much ends like one that does so itself. In version 2 the kernel kills them all
// (memory.oom.group). In version 1 it kills only one, and this package, which is woken
// before (cgroup.event_control), kills the others. A parent may learn of its child's
// death some microseconds before that; see [Group.Counter].
//
// A group's name has the process id and start time of its owner. The owner removes
// it when its processes have ended; [Tidy] removes those of owners that died.
//
// The package knows nothing of jobs and tasks.
package cgroup
