// Package cores lists the processor cores that this process may run on.
package cores

import (
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Available returns the operating system's numbers of the cores that tasks may run
// on: those of this process's affinity mask, as many of them as its control
// groups' CPU quota allows, rounded up, and at least one. Where the affinity mask is
// unknown, they are numbered from 0.
//
// A quota names no cores, so they are chosen at random: containers of one machine
// that cannot see each other must not all pin their tasks to its first cores. To
// separate them for certain, give each a cpuset.
func Available() []int {
	cores := affinity()
	if len(cores) == 0 {
		cores = make([]int, runtime.NumCPU())
		for i := range cores {
			cores[i] = i
		}
	}
	if quota := quota(os.DirFS("/")); quota < float64(len(cores)) {
		cores = neighbours(cores, max(int(math.Ceil(quota)), 1), rand.N(len(cores)))
	}
	return cores
}

// neighbours returns n of the cores, ascending: from an index on, and after the last
// the first.
func neighbours(cores []int, n, from int) []int {
	some := slices.Concat(cores[from:], cores[:from])[:n]
	slices.Sort(some)
	return some
}

// quota returns the CPU time per second that the control groups of this process allow,
// in seconds: the least of its own and its ancestors'. It is +Inf without a limit.
// See cgroups(7), and the kernel's admin-guide/cgroup-v2 (cpu.max) and
// scheduler/sched-bwc (cpu.cfs_quota_us).
func quota(root fs.FS) float64 {
	least := math.Inf(1)
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return least
	}
	for line := range strings.Lines(string(groups)) {
		// hierarchy-ID:controller-list:cgroup-path
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		read, mounts := quotaV2, []string{"sys/fs/cgroup", "sys/fs/cgroup/unified"}
		if fields[1] != "" {
			if !hasController(fields[1], "cpu") {
				continue
			}
			read, mounts = quotaV1, []string{"sys/fs/cgroup/cpu", "sys/fs/cgroup/" + fields[1]}
		}
		for _, mount := range mounts {
			for group := path.Clean("/" + fields[2]); ; group = path.Dir(group) {
				least = min(least, read(root, path.Join(mount, group)))
				if group == "/" {
					break
				}
			}
		}
	}
	return least
}

func hasController(list, name string) bool {
	for controller := range strings.SplitSeq(list, ",") {
		if controller == name {
			return true
		}
	}
	return false
}

// quotaV2 reads "$MAX $PERIOD" in microseconds, where $MAX may be "max".
func quotaV2(root fs.FS, group string) float64 {
	text, err := fs.ReadFile(root, path.Join(group, "cpu.max"))
	if err != nil {
		return math.Inf(1)
	}
	fields := strings.Fields(string(text))
	if len(fields) != 2 {
		return math.Inf(1)
	}
	return ratio(fields[0], fields[1])
}

// quotaV1 reads microseconds from two files; the quota is -1 without a limit.
func quotaV1(root fs.FS, group string) float64 {
	allowed, err := fs.ReadFile(root, path.Join(group, "cpu.cfs_quota_us"))
	if err != nil {
		return math.Inf(1)
	}
	period, err := fs.ReadFile(root, path.Join(group, "cpu.cfs_period_us"))
	if err != nil {
		return math.Inf(1)
	}
	return ratio(strings.TrimSpace(string(allowed)), strings.TrimSpace(string(period)))
}

func ratio(allowed, period string) float64 {
	a, err := strconv.ParseFloat(allowed, 64)
	p, err2 := strconv.ParseFloat(period, 64)
	if err != nil || err2 != nil || a <= 0 || p <= 0 {
		return math.Inf(1)
	}
	return a / p
}
