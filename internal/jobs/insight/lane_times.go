package insight

import (
	"math"
	"time"
)

// A ChunkTime is when a chunk ran. Times count from the job's start.
type ChunkTime struct {
	Lane    int
	First   int64
	Count   int
	Claimed bool // it has not ended: of the fields below only Leased and Waited are known

	Leased, Started, Finished   time.Duration
	Waited                      time.Duration // of its turn for a slot; positive only on the first chunk of a turn
	User, System, Tasks, Moving time.Duration
	PeakMemory                  int64 // bytes
}

// LaneTimes sums up the times of a job's lanes. Its memory does not grow with the
// number of chunks.
//
// A lane runs from the first claim of a turn to the end of the turn's last chunk.
// While fewer lanes run than the most at once, the others wait for a slot, as far
// as turns were in line. After the last claim nothing is left for them. Else the
// job was paused or had nothing to claim.
type LaneTimes struct {
	wall   time.Duration
	lanes  map[int][]*track
	change [samples + 1]int32 // of the number of running lanes, from one sample to the next

	chunks        int64
	user, system  time.Duration
	tasks, moving time.Duration
	waited        time.Duration
	ran, claimed  time.Duration // of all lanes; claimed includes chunks that have not ended
	starting      time.Duration // from the claim of a turn's first chunk to its first task
	lastClaim     time.Duration
	peakMemory    int64
	alone         time.Duration // longest time of a running chunk of one task,
	aloneIndex    int64         // and that task
}

// samples is the number of moments at which a job's lanes are counted.
const samples = 1024

// A track holds the times of one lane. Numbers of lanes are reused, so two turns may
// have the same number at the same time: each has its own track.
type track struct {
	until time.Duration
	last  ChunkTime
	ran   time.Duration // with its last chunk
}

// NewLaneTimes returns empty times for a job that has run for wall.
func NewLaneTimes(wall time.Duration) *LaneTimes {
	return &LaneTimes{wall: max(wall, 0), lanes: make(map[int][]*track)}
}

// Add adds the next chunk, in the order of the claims.
func (l *LaneTimes) Add(c ChunkTime) {
	within := func(d time.Duration) time.Duration { return min(max(d, 0), l.wall) }
	c.Leased, c.Started, c.Finished = within(c.Leased), within(c.Started), within(c.Finished)
	if c.Claimed {
		c.Finished = l.wall
	}
	t, fresh := l.track(c)
	begin := t.until
	if fresh || c.Waited > 0 {
		begin = max(c.Leased, t.until)
		l.waited += min(c.Waited, begin-t.until)
		if !c.Claimed {
			l.starting += max(c.Started-begin, 0)
		}
	}
	end := max(c.Finished, begin)
	l.ran += end - begin
	l.change[l.moment(begin)]++
	l.change[l.moment(end)]--
	if c.Claimed {
		from := max(begin, c.Leased)
		l.claimed += end - from
		if c.Count == 1 && end-from > l.alone {
			l.alone, l.aloneIndex = end-from, c.First
		}
	}
	*t = track{until: end, last: c, ran: end - begin}
	l.lastClaim = max(l.lastClaim, c.Leased)
	l.chunks++
	l.user += c.User
	l.system += c.System
	l.tasks += c.Tasks
	l.moving += c.Moving
	l.peakMemory = max(l.peakMemory, c.PeakMemory)
}

// track returns the track of the lane that ran a chunk: for the first chunk of a
// turn one of that number whose turn is over, for another chunk the one of its
// turn. Where several fit, the choice hardly changes the sums.
func (l *LaneTimes) track(c ChunkTime) (t *track, fresh bool) {
	near := func(t *track) time.Duration { return (c.Leased - t.until).Abs() }
	for _, other := range l.lanes[c.Lane] {
		if c.Waited > 0 && other.until > c.Leased {
			continue
		}
		if t == nil || near(other) < near(t) {
			t = other
		}
	}
	if t != nil {
		return t, false
	}
	t = new(track)
	l.lanes[c.Lane] = append(l.lanes[c.Lane], t)
	return t, true
}

// moment returns the first sample at or after d. Sample i is the middle of the i-th
// part of the job.
func (l *LaneTimes) moment(d time.Duration) int {
	if l.wall == 0 {
		return 0
	}
	return int(math.Ceil(float64(d)/float64(l.wall)*samples - 0.5))
}

// atOnce returns the most lanes that ran at the same moment.
func (l *LaneTimes) atOnce() int {
	most, n := int32(0), int32(0)
	for _, change := range l.change {
		n += change
		most = max(most, n)
	}
	return int(most)
}

// tail returns how long lanes were idle after the last claim, of as many as could
// run: idle summed over them, dry while any was.
func (l *LaneTimes) tail(lanes int) (idle, dry time.Duration) {
	each := l.wall / samples
	n := 0
	for i, change := range l.change[:samples] {
		n += int(change)
		if i >= l.moment(l.lastClaim) && n < lanes {
			idle += time.Duration(lanes-n) * each
			dry += each
		}
	}
	return idle, dry
}

// lineSoFar returns how long lanes have not run that do not run now.
func (l *LaneTimes) lineSoFar() time.Duration {
	sum := time.Duration(0)
	for _, tracks := range l.lanes {
		for _, t := range tracks {
			sum += l.wall - t.until
		}
	}
	return sum
}

// threadsIdle returns how long threads, so many per lane, had nothing left to do in
// the chunks that ran at the last claim or later. It is bounded by the longest
// task, after which its chunk ends.
func (l *LaneTimes) threadsIdle(threads, longest float64) (seconds float64) {
	for _, tracks := range l.lanes {
		for _, t := range tracks {
			if t.until >= l.lastClaim && !t.last.Claimed {
				idle := t.ran.Seconds()*threads - t.last.Tasks.Seconds() - t.last.Moving.Seconds()
				seconds += max(min(idle, (threads-1)*longest), 0)
			}
		}
	}
	return seconds
}

// endsWith reports whether the task is in the last chunk of a lane that ended at
// most that time before the last lane.
func (l *LaneTimes) endsWith(index int64, before time.Duration) bool {
	var latest, ended time.Duration
	found := false
	for _, tracks := range l.lanes {
		for _, t := range tracks {
			latest = max(latest, t.until)
			if first := t.last.First; index >= first && index < first+int64(t.last.Count) {
				found, ended = true, max(ended, t.until)
			}
		}
	}
	return found && ended >= latest-before
}
