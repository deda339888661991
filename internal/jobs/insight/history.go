package insight

import (
	"math"
	"slices"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// Resolution and length of the history.
const (
	SampleEvery = 5 * time.Second
	HistoryKept = time.Hour

	historyStep = 30 * time.Second
	coarseStep  = 5 * time.Minute
	// rateOver is the time over which the rate is measured.
	rateOver = 3 * SampleEvery
)

// A QueueSample measures one node's work for a queue in SampleEvery.
type QueueSample struct {
	Queue, Node       string
	At                time.Time // its end
	Succeeded, Failed int64     // tasks with a final outcome
	Waits             ClassSpan // waits of turns for a slot
	Runs              ClassSpan // times of runs of tasks
}

// A NodeSample measures a node's cores and memory in SampleEvery.
type NodeSample struct {
	Node                string
	At                  time.Time // its end
	User, System, Other float64   // percent of the time of all cores
	Cores               []int16   // their numbers
	Busy                []int16   // percent of the time of each
	Load                float64
	Memory              int64 // bytes in use
}

// A QueueHistory is the last hour of a queue.
type QueueHistory struct {
	StepSeconds float64      `json:"step_seconds" doc:"Length of a point."`
	Points      []QueuePoint `json:"points" nullable:"false" doc:"Oldest first, without gaps; the last one is incomplete."`
	Rate        float64      `json:"rate" doc:"Tasks per second with a final outcome, over the last 15 seconds."`
	Succeeded   int64        `json:"succeeded"`
	Failed      int64        `json:"failed"`
	Wait        *Quantiles   `json:"wait,omitempty" doc:"Waits of turns for a slot, over the hour, to within 19 %; absent where no turn waited."`
	Run         *Quantiles   `json:"run,omitempty" doc:"Times of runs of tasks, retried ones included, to within 19 %."`

	// Coarse are points of five minutes.
	Coarse []QueuePoint `json:"-"`
}

// A QueuePoint is one step of a queue's history.
type QueuePoint struct {
	At        jobs.Time  `json:"at" format:"date-time" doc:"Its start."`
	Succeeded int64      `json:"succeeded" doc:"Tasks."`
	Failed    int64      `json:"failed" doc:"Tasks that failed in their last attempt."`
	Wait      *Quantiles `json:"wait,omitempty"`
	Run       *Quantiles `json:"run,omitempty"`
}

// A NodeHistory is the last hour of a node.
type NodeHistory struct {
	StepSeconds float64     `json:"step_seconds" doc:"Length of a point."`
	To          jobs.Time   `json:"to" format:"date-time" doc:"The end of the hour."`
	Points      []NodePoint `json:"points" nullable:"false" doc:"Oldest first; the last one is incomplete. Steps without a sample are absent."`
	Cores       []int       `json:"cores" nullable:"false" doc:"Numbers of the cores, in the order of busy_percent."`

	// Coarse are points of five minutes.
	Coarse []NodePoint `json:"-"`
}

// A NodePoint is the mean of a node's samples in one step of time.
type NodePoint struct {
	At     jobs.Time `json:"at" format:"date-time" doc:"Its start."`
	User   float64   `json:"user_percent" doc:"Share of the time of all cores in user mode."`
	System float64   `json:"system_percent" doc:"The same in the kernel."`
	Other  float64   `json:"other_percent" doc:"The same for other busy time."`
	Busy   []int     `json:"busy_percent" nullable:"false" doc:"Busy share of each core's time."`
	Load   float64   `json:"load"`
	Memory int64     `json:"memory_bytes" doc:"In use."`
}

// A sampleKey identifies a sample within a series.
type sampleKey struct {
	node string
	at   time.Time
}

// seenSamples are samples that a later read may return again.
type seenSamples map[sampleKey]struct{}

// add reports whether a sample is new.
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

// step returns the number of the step that contains a moment.
func step(at time.Time, of time.Duration) int64 { return at.UnixNano() / int64(of) }

// A QueueSeries sums up the samples of one queue. The zero value is empty.
type QueueSeries struct {
	steps  map[int64]*queueStep
	recent []QueueSample
	seen   seenSamples
}

type queueStep struct {
	succeeded, failed int64
	waits, runs       TimeClasses
	point             *QueuePoint // cached; nil when the fields above have changed
}

func (s *queueStep) add(o *queueStep) {
	s.succeeded += o.succeeded
	s.failed += o.failed
	s.waits.AddAll(&o.waits)
	s.runs.AddAll(&o.runs)
}

// Add adds samples, each once however often it is passed.
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

// History returns the hour before now, by the clock of the samples. It drops older
// samples; Add recognises samples of the last minute only.
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
			h.Coarse = append(h.Coarse, coarse.toPoint(at, coarseStep))
			at, coarse = now, queueStep{}
		}
		b := s.steps[n]
		if b == nil {
			h.Points = append(h.Points, QueuePoint{At: jobs.Time{Time: stepTime(n, historyStep)}})
			continue
		}
		if b.point == nil {
			p := b.toPoint(n, historyStep)
			b.point = &p
		}
		h.Points = append(h.Points, *b.point)
		coarse.add(b)
		hour.add(b)
	}
	h.Coarse = append(h.Coarse, coarse.toPoint(at, coarseStep))
	all := hour.toPoint(last, historyStep)
	h.Succeeded, h.Failed, h.Wait, h.Run = all.Succeeded, all.Failed, all.Wait, all.Run
	return h
}

func stepTime(n int64, of time.Duration) time.Time { return time.Unix(0, n*int64(of)).UTC() }

func (s *queueStep) toPoint(n int64, of time.Duration) QueuePoint {
	return QueuePoint{At: jobs.Time{Time: stepTime(n, of)}, Succeeded: s.succeeded, Failed: s.failed, Wait: s.waits.Quantiles(), Run: s.runs.Quantiles()}
}

// A NodeSeries averages the samples of one node. The zero value is empty.
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

// Add adds samples, each once however often it is passed.
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

// History returns the hour before now, as [QueueSeries.History].
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
			h.Coarse = coarse.appendMean(h.Coarse, at, coarseStep)
			at, coarse = now, nodeStep{}
		}
		if b := s.steps[n]; b != nil {
			h.Points = b.appendMean(h.Points, n, historyStep)
			coarse.samples += b.samples
			coarse.user += b.user
			coarse.system += b.system
			coarse.other += b.other
			coarse.load += b.load
			coarse.memory += b.memory
		}
	}
	h.Coarse = coarse.appendMean(h.Coarse, at, coarseStep)
	return h
}

// appendMean appends the mean to points, if it has samples.
func (s *nodeStep) appendMean(points []NodePoint, n int64, of time.Duration) []NodePoint {
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
