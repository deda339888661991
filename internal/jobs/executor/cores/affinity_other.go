//go:build !linux

package cores

// affinity is unknown here.
func affinity() []int { return nil }
