package insight_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

func ptr[T any](v T) *T { return &v }

var noon = time.Date(2025, 3, 14, 12, 0, 0, 0, time.UTC)

// facts are those of a job of 100 tasks on one node of 4 cores, on which nothing
// runs.
func facts() *insight.WaitFacts {
	j := &jobs.Job{State: jobs.Queued, Queue: "cpu", Counts: jobs.Counts{Total: 100, Waiting: 100}}
	return &insight.WaitFacts{
		Job:   j,
		Queue: &insight.WaitQueue{Name: "cpu", QueueLimits: jobs.QueueLimits{PerCore: 1}},
		Nodes: []insight.WaitNode{{Host: "a", Cores: 4}},
		Line:  &insight.WaitLine{Ready: 100, Lanes: 4, Turns: 4},
	}
}

// TestOneReasonOfMany begins with every reason for a job to wait, and removes them
// in the order in which they are reported.
func TestOneReasonOfMany(t *testing.T) {
	t.Parallel()
	f := facts()
	f.Halt = "cancelled"
	f.Job.Counts = jobs.Counts{Total: 100, Succeeded: 100}
	f.Job.Inputs.Open = true
	f.Queue.Paused, f.Queue.Deleted = true, true
	f.Nodes = []insight.WaitNode{{Host: "a", Cores: 4, Draining: true, LowMemory: true}}
	*f.Line = insight.WaitLine{
		Later: 3, Due: noon, Suspects: 2, Lanes: 4, Failing: 1, Error: "no interpreter",
		Used: 4, Ahead: 1, Turned: 1, Waiters: 2, Before: 2,
	}
	for i, step := range []struct {
		undo func()
		want jobs.WaitKind
	}{
		{func() {}, jobs.WaitEnding},
		{func() { f.Halt = "failed" }, jobs.WaitEnding},
		{func() { f.Halt = "paused" }, jobs.WaitJobPaused},
		{func() { f.Halt = "" }, jobs.WaitInputs},
		{func() { f.Job.Counts.Total, f.Job.Counts.Waiting = 200, 100 }, jobs.WaitNoQueue},
		{func() { f.Queue.Deleted = false }, jobs.WaitQueuePaused},
		{func() { f.Queue.Paused = false }, jobs.WaitNoNode},
		{func() { f.Nodes[0].Draining = false }, jobs.WaitMemory},
		{func() { f.Nodes[0].LowMemory = false }, jobs.WaitRetry},
		{func() { f.Line.Later = 0 }, jobs.WaitSuspects},
		{func() { f.Line.Ready = 100 }, jobs.WaitTrouble},
		{func() { f.Line.Failing = 0 }, jobs.WaitTurns},
		{func() { f.Line.Turns, f.Queue.MaxProcesses = 1, ptr(2) }, jobs.WaitLimit},
		{func() { f.Queue.MaxProcesses = nil }, jobs.WaitBusy},
		{func() { f.Line.Used, f.Line.Ahead = 0, 0 }, jobs.WaitStarting},
		{func() { f.Line.Running, f.Line.Lanes, f.Line.Used, f.Line.Fixed = 2, 2, 2, true }, jobs.WaitLimit},
		{func() { f.Line.Lanes, f.Line.Running, f.Line.Used = 4, 4, 4 }, jobs.WaitBusy}, // others wait for its slots
		{func() { f.Line.Waiters = 0 }, ""},
		{func() { f.Line.Running, f.Line.Ready, f.Line.Suspects = 1, 0, 0 }, ""},
		{func() { f.Job.State = jobs.Failed }, ""},
	} {
		step.undo()
		var got jobs.WaitKind
		if w := f.Waiting(); w != nil {
			got = w.Kind
			if !strings.HasSuffix(w.Message, ".") && got != jobs.WaitTrouble || strings.Contains(w.Message, "%!") {
				t.Errorf("step %d: %q", i, w.Message)
			}
		}
		if got != step.want {
			t.Fatalf("step %d: %q, want %q", i, got, step.want)
		}
	}
}

// A wordingTest changes facts and names the reason that follows.
type wordingTest struct {
	change func(f *insight.WaitFacts)
	kind   jobs.WaitKind
	want   string
	short  string
}

// run makes the job of f run with a number of claimed tasks.
func run(f *insight.WaitFacts, claimed int64) {
	f.Job.State, f.Job.StartedAt = jobs.Running, &jobs.Time{Time: noon}
	f.Job.Counts.Running, f.Job.Counts.Waiting = claimed, f.Job.Counts.Total-claimed
}

// wordings are the reasons that lie in the job, its queue, its nodes or its tasks.
var wordings = map[string]wordingTest{
	"paused with claimed tasks": {func(f *insight.WaitFacts) { f.Halt = "paused"; run(f, 1) }, jobs.WaitJobPaused,
		"The job is paused; 1 claimed task still runs.", ""},
	"no input": {func(f *insight.WaitFacts) { f.Job.Counts = jobs.Counts{}; f.Job.Inputs.Open = true }, jobs.WaitInputs,
		"The job waits for its first input.", "needs inputs"},
	"no more inputs": {func(f *insight.WaitFacts) {
		f.Job.Counts = jobs.Counts{Total: 5, Succeeded: 5}
		f.Job.Inputs.Open = true
	}, jobs.WaitInputs, "All inputs so far are done: the job waits for more, or to be sealed.", "needs inputs"},
	"queue paused with claimed tasks": {func(f *insight.WaitFacts) { f.Queue.Paused = true; run(f, 7) }, jobs.WaitQueuePaused,
		"Queue cpu is paused; 7 claimed tasks still run.", "queue paused"},
	"no node serves the queue": {func(f *insight.WaitFacts) {
		f.Nodes = nil
		for _, host := range []string{"a", "b", "c", "d", "e"} {
			f.Nodes = append(f.Nodes, insight.WaitNode{Host: host, Cores: 1, Serves: []string{"io", "gpu"}})
		}
		f.Nodes[1].Serves = []string{}
	}, jobs.WaitNoNode, "No living node serves queue cpu: a serves io, gpu; b serves none; c serves io, gpu; and 2 more.", "no node"},
	"some drain, others serve something else": {func(f *insight.WaitFacts) {
		f.Nodes = []insight.WaitNode{{Host: "a", Cores: 1, Serves: []string{"io"}}, {Host: "b", Cores: 1, Draining: true}}
	}, jobs.WaitNoNode, "Every node that serves queue cpu is being drained: b.", "no node"},
	"memory": {func(f *insight.WaitFacts) {
		f.Nodes[0].LowMemory = true
		f.Nodes[0].Memory = jobs.Memory{Total: 16 << 30, Available: 1 << 29}
	}, jobs.WaitMemory, "Memory is short on every node that serves queue cpu: a has 0.5 of 16.0 GiB free. No turn begins until more is free.", "low memory"},
	"one retry": {func(f *insight.WaitFacts) { f.Line.Ready, f.Line.Later, f.Line.Due = 0, 1, noon }, jobs.WaitRetry,
		"1 task waits for its next attempt; the first is due at 12:00:00 UTC.", "retries later"},
	"many retries": {func(f *insight.WaitFacts) {
		f.Line.Ready, f.Line.Later, f.Line.More, f.Line.Due = 0, 10_000, true, noon
	}, jobs.WaitRetry,
		"At least 10000 tasks wait for their next attempt; the first is due at 12:00:00 UTC.", "retries later"},
	"trouble": {func(f *insight.WaitFacts) {
		f.Line.Turns, f.Line.Failing, f.Line.Error = 0, 2, "execute: "+strings.Repeat("x", 400)+"\nsecond line"
	}, jobs.WaitTrouble, "The job's turns fail on their node and are tried again: execute: " + strings.Repeat("x", 290) + "…", "trouble"},
}

// lineWordings are the reasons that lie in the queue's slots and its line.
var lineWordings = map[string]wordingTest{
	"memory on one of two nodes": {func(f *insight.WaitFacts) {
		f.Nodes = append(f.Nodes, insight.WaitNode{Host: "b", Cores: 2, LowMemory: true})
		f.Line.Used, f.Line.Before, f.Line.Waiters = 4, 1, 1
	}, jobs.WaitBusy, "The job is next in line for the 4 slots of queue cpu: 1 other job runs or comes first. It starts within a second or so.", "next in line"},
	"trouble on one node only": {func(f *insight.WaitFacts) { f.Line.Failing = 2 }, jobs.WaitStarting,
		"A slot of queue cpu is free: the job gets it in a moment.", "starting"},
	"its own limit": {func(f *insight.WaitFacts) {
		run(f, 10)
		f.Line.Fixed, f.Line.Lanes, f.Line.Running, f.Line.Used, f.Line.Ready, f.Line.Turns = true, 1, 1, 1, 90, 0
	}, jobs.WaitLimit, "The job runs in 1 process, which is all that its policy allows, though queue cpu has 3 slots free.", "at its limit"},
	"the queue's limit": {func(f *insight.WaitFacts) {
		f.Queue.MaxProcesses = ptr(1)
		f.Line.Used, f.Line.Ahead, f.Line.Turned, f.Line.Before = 1, 2, 5, 3
	}, jobs.WaitLimit, "The job is 3rd in line for the 1 process that queue cpu allows at once: 3 other jobs run or come first. It starts in about 5 s.", "3rd in line"},
	"shared": {func(f *insight.WaitFacts) {
		run(f, 10)
		f.Line.Ready, f.Line.Running, f.Line.Used, f.Line.Before, f.Line.Waiters = 90, 1, 4, 2, 1
	}, jobs.WaitBusy, "The job shares the 4 slots of queue cpu with 2 other jobs: 1 of its 4 processes runs now.", "shares slots"},
	"shared one after the other": {func(f *insight.WaitFacts) {
		run(f, 1)
		f.Nodes[0].Cores, f.Line.Lanes = 1, 1
		f.Line.Running, f.Line.Used, f.Line.Before, f.Line.Waiters = 1, 1, 1, 1
	}, jobs.WaitBusy, "The job shares the 1 slot of queue cpu with 1 other job: it runs now.", "shares slots"},
	"behind the more urgent": {func(f *insight.WaitFacts) {
		f.Line.Used, f.Line.Before, f.Line.Rivals = 4, 2, []insight.WaitRival{{Urgent: true, Lanes: 2}, {Lanes: 2}}
	}, jobs.WaitBusy, "The job is next in line for the 4 slots of queue cpu: 2 other jobs run or come first, 1 of them more urgent. How long the tasks before it take is not known yet.", "next in line"},
	"behind the more urgent only": {func(f *insight.WaitFacts) {
		run(f, 10)
		f.Line.Ready, f.Line.Used, f.Line.Before, f.Line.Rivals = 90, 4, 1, []insight.WaitRival{{Urgent: true, Lanes: 4}}
	}, jobs.WaitBusy, "The job shares the 4 slots of queue cpu with 1 more urgent job: none of its 4 processes runs now.", "next in line"},
	"more processes than slots": {func(f *insight.WaitFacts) {
		run(f, 10)
		f.Line.Ready, f.Line.Running, f.Line.Lanes, f.Line.Used = 90, 4, 9, 4
	}, jobs.WaitBusy, "The job has the 4 slots of queue cpu to itself, and may run in 9.", "at its limit"},
	"a long line": {func(f *insight.WaitFacts) {
		f.Line.Turns, f.Line.Used, f.Line.Beyond, f.Line.Ahead, f.Line.Turned, f.Line.Before = 0, 4, true, 111, 5000, 112
	}, jobs.WaitBusy, "The job is at least 112th in line for the 4 slots of queue cpu: at least 112 other jobs run or come first.", "at least 112th in line"},
	"wide, one slot short": {func(f *insight.WaitFacts) {
		f.Job.Policy.CoresPerProcess = ptr(2)
		f.Line.Used, f.Line.Before = 3, 1
	}, jobs.WaitBusy, "The job is next in line for the 4 slots of queue cpu: 1 other job runs or comes first. It starts within a second or so.", "next in line"},
	"wider than the node": {func(f *insight.WaitFacts) { f.Job.Policy.CoresPerProcess = ptr(64) }, jobs.WaitStarting,
		"A slot of queue cpu is free: the job gets it in a moment.", "starting"},
}

func TestWaitingInWords(t *testing.T) {
	t.Parallel()
	for _, tests := range []map[string]wordingTest{wordings, lineWordings} {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				f := facts()
				test.change(f)
				w := f.Waiting()
				if w == nil || w.Kind != test.kind || w.Message != test.want || w.Short() != test.short {
					t.Errorf("got  %+v\nwant %s %q", w, test.kind, test.want)
				}
			})
		}
	}
}

func TestEstimateOfAStart(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		line insight.WaitLine
		want float64 // negative for none
	}{
		"a slot of four falls free each quarter of a quantum": {insight.WaitLine{Before: 1, Rivals: []insight.WaitRival{
			{Lanes: 4, Left: 1e6, Task: time.Millisecond}}}, 0.25},
		"turns in line take a quantum each": {insight.WaitLine{Before: 2, Ahead: 1, Turned: 4, Rivals: []insight.WaitRival{
			{Lanes: 4, Left: 1e6, Task: time.Millisecond}, {Turns: 4, Left: 1e6, Task: time.Millisecond}}}, 1.25},
		"or what is left of their jobs": {insight.WaitLine{Before: 2, Ahead: 1, Turned: 4, Rivals: []insight.WaitRival{
			{Lanes: 4, Left: 100, Task: time.Millisecond}, {Turns: 4, Left: 100, Task: time.Millisecond}}}, (0.1/4 + 0.1) / 4},
		"or a task, where those are longer": {insight.WaitLine{Before: 2, Ahead: 1, Turned: 4, Rivals: []insight.WaitRival{
			{Lanes: 4, Left: 1e6, Task: 8 * time.Second}, {Turns: 4, Left: 1e6, Task: 8 * time.Second}}}, 10},
		"jobs that have not started take a quantum": {insight.WaitLine{Before: 1, Ahead: 1, Turned: 4, Rivals: []insight.WaitRival{
			{Turns: 4, Left: 10}}}, 1},
		"and no longer than so many tasks": {insight.WaitLine{Before: 1, Ahead: 1, Turned: 4, Rivals: []insight.WaitRival{
			{Turns: 4, Left: 2}}}, 0.5},
		"jobs too many to look at take a quantum each turn": {insight.WaitLine{Before: 300, Ahead: 300, Turned: 304, Rivals: []insight.WaitRival{
			{Turns: 4, Left: 1e6, Task: time.Millisecond}}}, 76},
		"more urgent jobs run to their end": {insight.WaitLine{Before: 2, Ahead: 2, Turned: 5, Rivals: []insight.WaitRival{
			{Urgent: true, Turns: 1, Lanes: 4, Left: 400, Task: time.Second}, {Turns: 4, Left: 1e6, Task: time.Millisecond}}}, 101},
		"or without an estimate, when their tasks take an unknown time": {insight.WaitLine{Before: 1, Rivals: []insight.WaitRival{
			{Urgent: true, Lanes: 4, Left: 400}}}, -1},
		"no estimate when no task of a job has ended": {insight.WaitLine{Before: 1, Rivals: []insight.WaitRival{
			{Lanes: 4, Left: 400, Held: time.Minute}}}, -1},
		"except when its leases are young": {insight.WaitLine{Before: 1, Rivals: []insight.WaitRival{
			{Lanes: 4, Left: 400, Held: time.Second}}}, 0.25},
	} {
		t.Run(name, func(t *testing.T) {
			f := facts()
			f.Line = &test.line
			f.Line.Ready, f.Line.Lanes, f.Line.Turns, f.Line.Used = 100, 4, 4, 4
			w := f.Waiting()
			got := -1.0
			if w.StartsIn != nil {
				got = *w.StartsIn
			}
			if math.Abs(got-test.want) > 1e-9 {
				t.Errorf("%v s, want %v s: %s", got, test.want, w.Message)
			}
		})
	}
	for seconds, want := range map[float64]string{0.2: "within a second or so.", 1.4: "about 1 s.", 89: "about 89 s.", 120: "about 2 min.", 3 * 3600: "about 3 h."} {
		f := facts()
		f.Line.Used, f.Line.Before, f.Line.Ahead, f.Line.Turned = 4, 1, 1, int64(seconds*4*10)
		f.Line.Rivals = []insight.WaitRival{{Turns: f.Line.Turned, Left: f.Line.Turned, Task: time.Second / 10}}
		if w := f.Waiting(); !strings.HasSuffix(w.Message, want) {
			t.Errorf("%v s: %q", seconds, w.Message)
		}
	}
}

func TestPlacesInLine(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{1: "next", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 13: "13th", 21: "21st", 102: "102nd", 113: "113th"} {
		if w := insight.InLine("io", n); w.Short() != want+" in line" || w.Message != fmt.Sprintf("The job is %s in line of queue io.", want) {
			t.Errorf("%d: %+v", n, w)
		}
	}
}

// TestReasonInAnswers checks that reason repeats the message, and is empty when
// the job does not wait.
func TestReasonInAnswers(t *testing.T) {
	t.Parallel()
	j := facts().Job
	j.Explain(nil)
	text, err := json.Marshal(j)
	if err != nil || strings.Contains(string(text), `"waiting":{`) || !strings.Contains(string(text), `"reason":""`) {
		t.Errorf("%s, %v", text, err)
	}
	j.ETASeconds = ptr(3.0)
	j.Explain(insight.InLine("io", 3))
	if j.ETASeconds == nil {
		t.Error("a job in line has an end")
	}
	text, err = json.Marshal(j)
	if err != nil || !strings.Contains(string(text), `"reason":"The job is 3rd in line of queue io.","waiting":{"kind":"busy","message":"The job is 3rd in line of queue io.","position":3}`) {
		t.Errorf("%s, %v", text, err)
	}
	if j.Explain(&jobs.Waiting{Kind: jobs.WaitQueuePaused, Message: "x"}); j.ETASeconds != nil {
		t.Error("a job of a paused queue has an estimated end")
	}
}
