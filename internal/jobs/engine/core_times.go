package engine

import (
	"os"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"

	"github.com/allcores/allcores/internal/jobs"
)

// coreTimes measures what this node's cores do. One goroutine uses it.
type coreTimes struct {
	cores []int
	last  map[int]cpu.TimesStat
}

// busy returns the share of time that each core was busy since the last call.
func (c *coreTimes) busy() []jobs.Core {
	cores := make([]jobs.Core, len(c.cores))
	now := make(map[int]cpu.TimesStat)
	times, err := cpu.Times(true)
	if err != nil {
		times = nil // not known on this platform: the cores have no figures
	}
	for _, t := range times {
		if n, err := strconv.Atoi(strings.TrimPrefix(t.CPU, "cpu")); err == nil {
			now[n] = t
		}
	}
	for i, core := range c.cores {
		cores[i] = jobs.Core{Core: core, Turns: []jobs.CoreTurn{}}
		t, ok := now[core]
		last, before := c.last[core]
		if !ok || !before {
			continue
		}
		idle := t.Idle + t.Iowait - last.Idle - last.Iowait
		total := t.User + t.System + t.Nice + t.Irq + t.Softirq + t.Steal + t.Idle + t.Iowait -
			(last.User + last.System + last.Nice + last.Irq + last.Softirq + last.Steal + last.Idle + last.Iowait)
		if total > 0 {
			percent := func(part float64) float64 { return float64(int(1000*min(max(part/total, 0), 1))) / 10 }
			cores[i].User = percent(t.User - last.User)
			cores[i].System = percent(t.System - last.System)
			cores[i].BusyPercent = percent(total - idle)
			cores[i].Other = max(float64(int(10*(cores[i].BusyPercent-cores[i].User-cores[i].System)))/10, 0)
		}
	}
	c.last = now
	return cores
}

// loadAverage returns that of the last minute, or 0 where it is not known.
func loadAverage() float64 {
	average, err := load.Avg()
	if err != nil {
		return 0
	}
	return average.Load1
}

func memory() jobs.Memory {
	m, err := mem.VirtualMemory()
	if err != nil {
		return jobs.Memory{} // not known on this platform
	}
	return jobs.Memory{Total: int64(m.Total), Available: int64(m.Available)}
}

// machine returns a name for one boot of one machine or container, within which
// process ids are comparable, or "" where it is not known.
func machine() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + " " + namespace
}
