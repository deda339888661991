package engine

import (
	"os"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/mem"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// load measures what this node's cores and memory do. It is used by one
// goroutine.
type load struct {
	cores []int
	last  map[int]cpu.TimesStat
}

func newLoad(cores []int) *load { return &load{cores: cores} }

// status is what this node tells of itself with a beat.
func (e *Engine) status() store.NodeStatus {
	s := store.NodeStatus{Cores: e.load.busy(), Memory: memory()}
	at := make(map[int]*jobs.Core, len(s.Cores))
	for i := range s.Cores {
		at[s.Cores[i].Core] = &s.Cores[i]
	}
	for _, l := range e.active.all() {
		turn := l.inHand()
		for i, core := range l.cores {
			if c := at[core]; c != nil && i == 0 {
				c.Turns = append(c.Turns, turn)
			}
		}
		if len(l.cores) == 0 && len(s.Cores) > 0 {
			s.Cores[0].Turns = append(s.Cores[0].Turns, turn)
		}
	}
	return s
}

// inHand is what the lane's process works on.
func (l *lane) inHand() jobs.CoreTurn {
	l.view.Lock()
	defer l.view.Unlock()
	turn := jobs.CoreTurn{Job: l.work.Job, Lane: l.number}
	var oldest int64
	for id, h := range l.leases {
		if oldest == 0 || id < oldest {
			oldest, turn.First, turn.Count = id, h.First, h.left
		}
	}
	return turn
}

// busy is the share of time that each core was busy since the last call.
func (l *load) busy() []jobs.Core {
	cores := make([]jobs.Core, len(l.cores))
	now := make(map[int]cpu.TimesStat)
	times, err := cpu.Times(true)
	if err != nil {
		times = nil // this platform does not tell: the cores stand without figures
	}
	for _, t := range times {
		if n, err := strconv.Atoi(strings.TrimPrefix(t.CPU, "cpu")); err == nil {
			now[n] = t
		}
	}
	for i, core := range l.cores {
		cores[i] = jobs.Core{Core: core, Turns: []jobs.CoreTurn{}}
		t, ok := now[core]
		last, before := l.last[core]
		if !ok || !before {
			continue
		}
		idle := t.Idle + t.Iowait - last.Idle - last.Iowait
		total := t.User + t.System + t.Nice + t.Irq + t.Softirq + t.Steal + t.Idle + t.Iowait -
			(last.User + last.System + last.Nice + last.Irq + last.Softirq + last.Steal + last.Idle + last.Iowait)
		if total > 0 {
			cores[i].BusyPercent = float64(int(1000*max(total-idle, 0)/total)) / 10
		}
	}
	l.last = now
	return cores
}

func memory() jobs.Memory {
	m, err := mem.VirtualMemory()
	if err != nil {
		return jobs.Memory{} // this platform does not tell
	}
	return jobs.Memory{Total: int64(m.Total), Available: int64(m.Available)}
}

// machine names one boot of one machine or container, within which process ids
// are comparable. It is empty where that cannot be known.
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
