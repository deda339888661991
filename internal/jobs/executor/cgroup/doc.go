// Package cgroup holds processes, with all that they start, to a limit of
// memory by control groups of Linux: see cgroups(7), and in the kernel's
// admin-guide cgroup-v2 and cgroup-v1/memory.
//
// A [Tree] is where groups may be made: below the group that this program is in
// itself, so that they stay within every limit that it has. [Open] finds out
// whether that is possible, by trying; often it is not, as in a container whose
// control groups are read-only, or for an ordinary user in a terminal. Who may
// make none limits each process by itself, see package process.
//
// Version 2 lets a group have processes or groups with limits below it, not
// both. So a server that is alone in its group with its own children, as in a
// service or scope of systemd with Delegate=yes, moves into a group of its own
// below, called home here, to make room for others. It moves nobody else.
//
// A [Group] that needs more than its limit, after what can be written back or
// dropped is, loses all its processes: so a task whose child takes too much ends
// like one that does so itself. In version 2 the kernel does that
// (memory.oom.group). In version 1 it kills one process only, and this package,
// which is woken before (cgroup.event_control), the others. That may come some
// microseconds too late for a parent to hear of its child's death; see
// [Group.Counter].
//
// A group's name says whose it is, by process id and start time. The owner
// removes it when its processes have ended; [Tidy] those of owners that died.
//
// The package knows nothing of jobs and tasks.
package cgroup
