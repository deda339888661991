package cores

import "golang.org/x/sys/unix"

// affinity reads the calling thread's mask, which all threads share unless one
// was pinned: see sched_getaffinity(2).
func affinity() []int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil
	}
	var cores []int
	for core := 0; len(cores) < set.Count(); core++ {
		if set.IsSet(core) {
			cores = append(cores, core)
		}
	}
	return cores
}
