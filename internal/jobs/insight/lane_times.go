package insight

import (
	"math"
	"time"
)

// A ChunkTime is when a chunk ran. Times count from the job's start.
type ChunkTime struct {
	Lane   int
	First  int64
	Count  int
	InHand bool // it has not ended: of what follows, only Leased and Waited are known

	Leased, Started, Finished   time.Duration
	Waited                      time.Duration // of its turn for a slot; positive only on a turn's first chunk
	User, System, Tasks, Moving time.Duration
	PeakMemory                  int64 // bytes
}

// LaneTimes adds up what a job's lanes did. Its memory does not grow with the
// number of chunks.
//
// A lane runs from the first claim of a turn to the end of the turn's last
// chunk. When fewer lanes run than did at most, the others wait for a slot, as
// far as turns stood in the line; after the last claim there is nothing left for
// them; else the job was paused, or had nothing to claim.
type LaneTimes struct {
	wall   time.Duration
	lanes  map[int][]*track
	change [samples + 1]int32 // of the number of lanes that run, from one moment to the next

	chunks        int64
	user, system  time.Duration
	tasks, moving time.Duration
	waited        time.Duration
	ran, inHand   time.Duration // of all lanes; inHand is with chunks that have not ended
	starting      time.Duration // from the claim of a turn's first chunk to its first task
	lastClaim     time.Duration
	peakMemory    int64
	alone         time.Duration // longest that a chunk of one task is in hand,
	aloneIndex    int64         // and that task
}

// samples is at how many moments of a job its lanes are counted.
const samples = 1024

// A track is what is known of one lane. Two turns may carry the same number at
// the same time, as numbers are given again: each of them has a track of its own.
type track struct {
	until time.Duration
	last  ChunkTime
	ran   time.Duration // with its last chunk
}

// NewLaneTimes begins with a job that has run for wall.
func NewLaneTimes(wall time.Duration) *LaneTimes {
	return &LaneTimes{wall: max(wall, 0), lanes: make(map[int][]*track)}
}

// Add takes the next chunk, in the order of their claims.
func (l *LaneTimes) Add(c ChunkTime) {
	within := func(d time.Duration) time.Duration { return min(max(d, 0), l.wall) }
	c.Leased, c.Started, c.Finished = within(c.Leased), within(c.Started), within(c.Finished)
	if c.InHand {
		c.Finished = l.wall
	}
	t, fresh := l.track(c)
	begin := t.until
	if fresh || c.Waited > 0 {
		begin = max(c.Leased, t.until)
		l.waited += min(c.Waited, begin-t.until)
		if !c.InHand {
			l.starting += max(c.Started-begin, 0)
		}
	}
	end := max(c.Finished, begin)
	l.ran += end - begin
	l.change[l.moment(begin)]++
	l.change[l.moment(end)]--
	if c.InHand {
		from := max(begin, c.Leased)
		l.inHand += end - from
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

// track finds the lane that ran a chunk: for the first one of a turn a lane of
// that number whose turn is over, for another one the lane of its turn. Where
// several might be meant it does not matter much which one is taken.
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

// moment is the first sample at or after d. Sample i is in the middle of the
// i-th part of the job.
func (l *LaneTimes) moment(d time.Duration) int {
	if l.wall == 0 {
		return 0
	}
	return int(math.Ceil(float64(d)/float64(l.wall)*samples - 0.5))
}

// atOnce is the most lanes that ran at the same moment.
func (l *LaneTimes) atOnce() int {
	most, n := int32(0), int32(0)
	for _, change := range l.change {
		n += change
		most = max(most, n)
	}
	return int(most)
}

// tail is how much time the lanes, of which so many could run, were idle for
// after the last claim, and how long there was one that was.
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

// lineSoFar is how long lanes that do not run now have not.
func (l *LaneTimes) lineSoFar() time.Duration {
	sum := time.Duration(0)
	for _, tracks := range l.lanes {
		for _, t := range tracks {
			sum += l.wall - t.until
		}
	}
	return sum
}

// threadsIdle is how long threads, of which each lane has so many, found nothing
// left to do in the chunks that were running at the last claim or later. It
// cannot be longer than the longest task: that ends, too.
func (l *LaneTimes) threadsIdle(threads, longest float64) (seconds float64) {
	for _, tracks := range l.lanes {
		for _, t := range tracks {
			if t.until >= l.lastClaim && !t.last.InHand {
				idle := t.ran.Seconds()*threads - t.last.Tasks.Seconds() - t.last.Moving.Seconds()
				seconds += max(min(idle, (threads-1)*longest), 0)
			}
		}
	}
	return seconds
}

// endsWith reports whether a lane's last chunk has the task, and ended no sooner
// than so much before the last of all.
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
