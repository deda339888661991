//go:build !linux

package cores

// affinity is not to be had here.
func affinity() []int { return nil }
