package insight

import (
	"math"
	"slices"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// What is kept of the past of queues and nodes.
const (
	SampleEvery = 5 * time.Second
	HistoryKept = time.Hour

	historyStep = 30 * time.Second
	coarseStep  = 5 * time.Minute
	// rateOver is the time over which the present rate is measured.
	rateOver = 3 * SampleEvery
)

// A QueueSample is what one node did for a queue in SampleEvery.
type QueueSample struct {
	Queue, Node       string
	At                time.Time // its end
	Succeeded, Failed int64     // tasks with a final outcome
	Waits             ClassSpan // turns by their wait for a slot
	Runs              ClassSpan // runs of tasks by the time they took
}

// A NodeSample is what a node's cores and memory did in SampleEvery.
type NodeSample struct {
	Node                string
	At                  time.Time // its end
	User, System, Other float64   // percent of the time of all cores
	Cores               []int16   // their numbers
	Busy                []int16   // percent of the time of each of them
	Load                float64
	Memory              int64 // bytes in use
}

// A QueueHistory is what was done in a queue in the last hour.
type QueueHistory struct {
	StepSeconds float64      `json:"step_seconds" doc:"Of each point."`
	Points      []QueuePoint `json:"points" nullable:"false" doc:"Oldest first, without gaps; the last one is not over yet."`
	Rate        float64      `json:"rate" doc:"Tasks a second with a final outcome, over the last 15 seconds."`
	Succeeded   int64        `json:"succeeded"`
	Failed      int64        `json:"failed"`
	Wait        *Quantiles   `json:"wait,omitempty" doc:"Of turns for a slot, over the hour; to within 19 %. Left out where there was none."`
	Run         *Quantiles   `json:"run,omitempty" doc:"Time that runs of tasks took, those that are tried again included; to within 19 %."`

	// Coarse are points of five minutes.
	Coarse []QueuePoint `json:"-"`
}

// A QueuePoint is what was done in a queue in one step of time.
type QueuePoint struct {
	At        jobs.Time  `json:"at" format:"date-time" doc:"Its beginning."`
	Succeeded int64      `json:"succeeded" doc:"Tasks."`
	Failed    int64      `json:"failed" doc:"Tasks that failed for good."`
	Wait      *Quantiles `json:"wait,omitempty"`
	Run       *Quantiles `json:"run,omitempty"`
}

// A NodeHistory is what a node did in the last hour.
type NodeHistory struct {
	StepSeconds float64     `json:"step_seconds" doc:"Of each point."`
	To          jobs.Time   `json:"to" format:"date-time" doc:"The end of the hour."`
	Points      []NodePoint `json:"points" nullable:"false" doc:"Oldest first; the last one is not over yet. Steps without a sample are left out."`
	Cores       []int       `json:"cores" nullable:"false" doc:"The cores' numbers, in the order of each point's busy_percent."`

	// Coarse are points of five minutes.
	Coarse []NodePoint `json:"-"`
}

// A NodePoint is the mean of a node's samples in one step of time.
type NodePoint struct {
	At     jobs.Time `json:"at" format:"date-time" doc:"Its beginning."`
	User   float64   `json:"user_percent" doc:"Of the time of all cores, in user mode."`
	System float64   `json:"system_percent" doc:"In the kernel."`
	Other  float64   `json:"other_percent" doc:"Otherwise busy."`
	Busy   []int     `json:"busy_percent" nullable:"false" doc:"Of each core's time."`
	Load   float64   `json:"load"`
	Memory int64     `json:"memory_bytes" doc:"In use."`
}

// A sampleKey tells samples of a series apart.
type sampleKey struct {
	node string
	at   time.Time
}

// seenSamples are samples that may be read again.
type seenSamples map[sampleKey]struct{}

// add reports whether a sample was not seen before.
func (s seenSamples) add(node string, at time.Time) bool {
	key := sampleKey{node, at}
	if _, known := s[key]; known {
		return false
	}
	s[key] = struct{}{}
	return true
}

func (s seenSamples) forget(before time.Time) {
	for key := range s {
		if key.at.Before(before) {
			delete(s, key)
		}
	}
}

// step is the number of the step that a moment is in.
func step(at time.Time, of time.Duration) int64 { return at.UnixNano() / int64(of) }

// A QueueSeries adds the samples of one queue up. The zero value has none.
type QueueSeries struct {
	steps  map[int64]*queueStep
	recent []QueueSample
	seen   seenSamples
}

type queueStep struct {
	succeeded, failed int64
	waits, runs       TimeClasses
	point             *QueuePoint // made of the above; nil when they have changed
}

func (s *queueStep) add(o *queueStep) {
	s.succeeded += o.succeeded
	s.failed += o.failed
	s.waits.AddAll(&o.waits)
	s.runs.AddAll(&o.runs)
}

// Add adds samples; those that it has already do not count again.
func (s *QueueSeries) Add(samples ...QueueSample) {
	if s.steps == nil {
		s.steps, s.seen = make(map[int64]*queueStep), make(seenSamples)
	}
	for _, sample := range samples {
		if !s.seen.add(sample.Node, sample.At) {
			continue
		}
		n := step(sample.At, historyStep)
		b := s.steps[n]
		if b == nil {
			b = new(queueStep)
			s.steps[n] = b
		}
		b.point = nil
		b.succeeded += sample.Succeeded
		b.failed += sample.Failed
		b.waits.Add(sample.Waits)
		b.runs.Add(sample.Runs)
		s.recent = append(s.recent, sample)
	}
}

// History is the hour before now, by the clock of the samples. What is older is
// forgotten, and that of the last minute is known again when it is added again.
func (s *QueueSeries) History(now time.Time) QueueHistory {
	last := step(now, historyStep)
	first := last - int64(HistoryKept/historyStep) + 1
	s.seen.forget(now.Add(-time.Minute))
	s.recent = slices.DeleteFunc(s.recent, func(sample QueueSample) bool { return now.Sub(sample.At) > rateOver })
	for n := range s.steps {
		if n < first {
			delete(s.steps, n)
		}
	}
	h := QueueHistory{StepSeconds: historyStep.Seconds(), Points: make([]QueuePoint, 0, last-first+1)}
	for _, sample := range s.recent {
		h.Rate += float64(sample.Succeeded+sample.Failed) / rateOver.Seconds()
	}
	var hour, coarse queueStep
	at := step(stepTime(first, historyStep), coarseStep)
	for n := first; n <= last; n++ {
		if now := step(stepTime(n, historyStep), coarseStep); now != at {
			h.Coarse = append(h.Coarse, coarse.tell(at, coarseStep))
			at, coarse = now, queueStep{}
		}
		b := s.steps[n]
		if b == nil {
			h.Points = append(h.Points, QueuePoint{At: jobs.Time{Time: stepTime(n, historyStep)}})
			continue
		}
		if b.point == nil {
			p := b.tell(n, historyStep)
			b.point = &p
		}
		h.Points = append(h.Points, *b.point)
		coarse.add(b)
		hour.add(b)
	}
	h.Coarse = append(h.Coarse, coarse.tell(at, coarseStep))
	all := hour.tell(last, historyStep)
	h.Succeeded, h.Failed, h.Wait, h.Run = all.Succeeded, all.Failed, all.Wait, all.Run
	return h
}

func stepTime(n int64, of time.Duration) time.Time { return time.Unix(0, n*int64(of)).UTC() }

func (s *queueStep) tell(n int64, of time.Duration) QueuePoint {
	return QueuePoint{At: jobs.Time{Time: stepTime(n, of)}, Succeeded: s.succeeded, Failed: s.failed, Wait: s.waits.Quantiles(), Run: s.runs.Quantiles()}
}

// A NodeSeries averages the samples of one node. The zero value has none.
type NodeSeries struct {
	steps map[int64]*nodeStep
	seen  seenSamples
	cores []int16
}

type nodeStep struct {
	samples                   float64
	user, system, other, load float64
	memory                    float64
	busy                      []float64
}

// Add adds samples; those that it has already do not count again.
func (s *NodeSeries) Add(samples ...NodeSample) {
	if s.steps == nil {
		s.steps, s.seen = make(map[int64]*nodeStep), make(seenSamples)
	}
	for _, sample := range samples {
		if !s.seen.add(sample.Node, sample.At) {
			continue
		}
		if sample.Cores != nil {
			s.cores = sample.Cores
		}
		n := step(sample.At, historyStep)
		b := s.steps[n]
		if b == nil {
			b = &nodeStep{busy: make([]float64, len(sample.Busy))}
			s.steps[n] = b
		}
		b.samples++
		b.user += sample.User
		b.system += sample.System
		b.other += sample.Other
		b.load += sample.Load
		b.memory += float64(sample.Memory)
		for i := range min(len(b.busy), len(sample.Busy)) { // a node's cores never change
			b.busy[i] += float64(sample.Busy[i])
		}
	}
}

// History is as [QueueSeries.History].
func (s *NodeSeries) History(now time.Time) NodeHistory {
	last := step(now, historyStep)
	first := last - int64(HistoryKept/historyStep) + 1
	s.seen.forget(now.Add(-time.Minute))
	for n := range s.steps {
		if n < first {
			delete(s.steps, n)
		}
	}
	h := NodeHistory{StepSeconds: historyStep.Seconds(), To: jobs.Time{Time: now}, Points: []NodePoint{}, Cores: make([]int, len(s.cores))}
	for i, core := range s.cores {
		h.Cores[i] = int(core)
	}
	var coarse nodeStep
	at := step(stepTime(first, historyStep), coarseStep)
	for n := first; n <= last; n++ {
		if now := step(stepTime(n, historyStep), coarseStep); now != at {
			h.Coarse = coarse.tell(h.Coarse, at, coarseStep)
			at, coarse = now, nodeStep{}
		}
		if b := s.steps[n]; b != nil {
			h.Points = b.tell(h.Points, n, historyStep)
			coarse.samples += b.samples
			coarse.user += b.user
			coarse.system += b.system
			coarse.other += b.other
			coarse.load += b.load
			coarse.memory += b.memory
		}
	}
	h.Coarse = coarse.tell(h.Coarse, at, coarseStep)
	return h
}

// tell appends the mean to points, if there is one.
func (s *nodeStep) tell(points []NodePoint, n int64, of time.Duration) []NodePoint {
	if s.samples == 0 {
		return points
	}
	mean := func(sum float64) float64 { return math.Round(10*sum/s.samples) / 10 }
	p := NodePoint{
		At: jobs.Time{Time: stepTime(n, of)}, User: mean(s.user), System: mean(s.system), Other: mean(s.other),
		Load: math.Round(100*s.load/s.samples) / 100, Memory: int64(s.memory / s.samples), Busy: make([]int, len(s.busy)),
	}
	for i, sum := range s.busy {
		p.Busy[i] = int(math.Round(sum / s.samples))
	}
	return append(points, p)
}
