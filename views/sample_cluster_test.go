package views

import (
	"math"
	"net/url"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

func sampleQueues() []jobs.Queue {
	cpu := jobs.Queue{Name: "cpu", QueueLimits: jobs.QueueLimits{PerCore: 1, Pinned: true}, RunningTurns: 9, WaitingTurns: 4, OldestWaiting: sampleTime(12 * time.Second)}
	cpu.Jobs.Running, cpu.Jobs.Queued = 3, 1
	gpu := jobs.Queue{Name: "big-memory", QueueLimits: jobs.QueueLimits{PerCore: 0.25, MaxProcesses: ptr(2)}, Paused: true, WaitingTurns: 2, OldestWaiting: sampleTime(3 * time.Hour)}
	gpu.Jobs.Queued = 2
	return []jobs.Queue{gpu, cpu, {Name: "io", QueueLimits: jobs.QueueLimits{PerCore: 8}}}
}

func sampleNode(n int, host, state string, cores int) jobs.Node {
	x := jobs.Node{
		ID: sampleID(n), Host: host, Version: "1.2.3", Role: "all", PID: 4100 + n, Alive: state == "alive", State: state, Pins: true,
		StartedAt: *sampleTime(30 * time.Hour), HeartbeatAt: *sampleTime(time.Second), Memory: jobs.Memory{Total: 64 << 30, Available: 41 << 30}, Load: 1.08 * float64(cores),
		Slots: map[string]jobs.SlotUse{"cpu": {Used: max(cores-1, 0), Total: cores, Waiting: 1}, "io": {Total: 8 * cores}, "big-memory": {Used: min(cores, 1)}},
	}
	for i := range cores {
		busy := float64((i*37 + 60) % 101)
		c := jobs.Core{Core: i, BusyPercent: busy, User: busy * .8, System: busy * .15, Other: busy * .05}
		if i != 3 {
			c.Turns = []jobs.CoreTurn{{Job: sampleID(1 + i*i%11), Lane: i, First: int64(i) * 10000, Count: 200}}
		}
		x.Cores = append(x.Cores, c)
	}
	return x
}

func sampleNodes() []jobs.Node {
	silent := sampleNode(3, "worker-2", "silent", 2)
	silent.HeartbeatAt = *sampleTime(7 * time.Second)
	dead := sampleNode(5, "worker-3", "dead", 2)
	dead.HeartbeatAt, dead.TakenBack = *sampleTime(4 * time.Minute), jobs.TakenBack{Chunks: 3, Tasks: 1200}
	stopped := sampleNode(6, "worker-4", "stopped", 2)
	stopped.HeartbeatAt = *sampleTime(40 * time.Minute)
	draining := sampleNode(7, "worker-5", "alive", 4)
	draining.Draining, draining.LowMemory, draining.Pins, draining.Serves = true, true, false, []string{"io"}
	draining.Trouble = "execute: start python3: fork/exec /usr/bin/python3: no such file or directory " + hostile
	for i := range 40 {
		draining.Unpinned = append(draining.Unpinned, jobs.CoreTurn{Job: sampleID(8), Lane: i, First: int64(i), Count: 1})
	}
	for i := range draining.Cores {
		draining.Cores[i].Turns = nil
	}
	web := sampleNode(4, "front", "alive", 0)
	web.Role, web.Slots = "web", nil
	return []jobs.Node{sampleNode(1, "worker-1", "alive", 8), draining, web, silent, dead, stopped}
}

func sampleQueueHistory(busy float64) insight.QueueHistory {
	var s insight.QueueSeries
	for i := range 720 {
		if busy < 1 && i%50 > int(10*busy) {
			continue
		}
		wave := busy * (1.2 + math.Sin(float64(i)/40) + .3*math.Sin(float64(i)))
		sample := insight.QueueSample{Node: "n", At: sampleNow.Add(-time.Duration(i) * insight.SampleEvery), Succeeded: int64(2000 * wave)}
		if i%90 < 4 {
			sample.Failed = sample.Succeeded / 8
		}
		var waits, runs insight.TimeClasses
		for k := range 400 {
			x := float64(k) / 400
			runs.AddDuration(time.Duration(2e6 * wave * math.Exp(3*x*x*x)))
			waits.AddDuration(time.Duration(4e6 * x * math.Exp(4*x*wave)))
		}
		sample.Waits, sample.Runs = waits.Since(new(insight.TimeClasses)), runs.Since(new(insight.TimeClasses))
		s.Add(sample)
	}
	return s.History(sampleNow)
}

func sampleNodeHistory(n jobs.Node, minutes int) insight.NodeHistory {
	var s insight.NodeSeries
	for i := range minutes * 12 {
		wave := 1 + math.Sin(float64(i)/60)
		s.Add(insight.NodeSample{
			Node: n.ID, At: sampleNow.Add(-time.Duration(i) * insight.SampleEvery), User: 35 * wave, System: 6 * wave, Other: 2,
			Load: float64(len(n.Cores)) * .6 * wave, Memory: int64(14+6*wave) << 30,
		})
	}
	return s.History(sampleNow)
}

func sampleQueuesPage() QueuesPage {
	return QueuesPage{
		Page: samplePage("/queues/live"), Queues: sampleQueues(), Nodes: sampleNodes(),
		History: map[string]insight.QueueHistory{"cpu": sampleQueueHistory(1), "big-memory": sampleQueueHistory(.3), "io": new(insight.QueueSeries).History(sampleNow)},
	}
}

func sampleNodesPage(nodes ...jobs.Node) NodesPage {
	p := NodesPage{Page: samplePage("/nodes/live"), Nodes: nodes, Names: map[string]string{}, Inks: map[string]string{}, History: map[string]insight.NodeHistory{}}
	for _, j := range sampleJobs() {
		p.Names[j.ID], p.Inks[j.ID] = j.Name, JobInk(j.ID, nil)
	}
	delete(p.Names, sampleID(6))
	for i, n := range nodes {
		p.History[n.ID] = sampleNodeHistory(n, 60/(i+1))
	}
	return p
}

func sampleClusterPages() []sample {
	queues, watched, wrongQueue, wrongAdd, noQueues := sampleQueuesPage(), sampleQueuesPage(), sampleQueuesPage(), sampleQueuesPage(), QueuesPage{Page: samplePage("/queues/live")}
	watched.User = &jobs.User{Name: "eve", Role: jobs.Viewer}
	for _, c := range []struct {
		page  *QueuesPage
		queue string
	}{{&wrongQueue, "cpu"}, {&wrongAdd, ""}} {
		f := ParseQueueForm(url.Values{FieldName: {hostile}, FieldPerCore: {"many"}, FieldMaxProcesses: {"-1"}}, c.queue)
		_, found := f.Limits()
		f.Reject(append(found, jobs.Violation{Location: FieldName, Message: jobs.QueueNameRule}))
		c.page.Refused = &f
	}
	queues.Kept = "io"
	nodes, many := sampleNodesPage(sampleNodes()...), sampleNodesPage(sampleNode(9, "threadripper", "alive", 128), sampleNode(2, "worker-6", "alive", 24))
	noNodes := NodesPage{Page: samplePage("/nodes/live")}
	return []sample{
		{"queues", Queues(queues), queues.Fragments()},
		{"queues-viewer", Queues(watched), watched.Fragments()},
		{"queues-wrong", Queues(wrongQueue), wrongQueue.Fragments()},
		{"queues-wrong-add", Queues(wrongAdd), wrongAdd.Fragments()},
		{"queues-none", Queues(noQueues), noQueues.Fragments()},
		{"nodes", Nodes(nodes), nodes.Fragments()},
		{"nodes-many", Nodes(many), many.Fragments()},
		{"nodes-none", Nodes(noNodes), noNodes.Fragments()},
	}
}

func sampleOtherPages() []sample {
	anonymous := samplePage("")
	anonymous.User = nil
	return []sample{
		{"new", NewJob(sampleNew("")), nil},
		{"new-files", NewJob(sampleNew("files")), nil},
		{"new-wrong", NewJob(sampleWrong()), nil},
		{"new-tried", NewJob(sampleTried(false)), nil},
		{"new-tried-wrong", NewJob(sampleTried(true)), nil},
		{"new-again", NewJob(sampleAgain()), nil},
		{"login", Login(LoginPage{Page: anonymous}), nil},
		{"login-wrong", Login(LoginPage{Page: anonymous, Error: "This token is not valid. It may have been revoked.", Next: "/jobs/new"}), nil},
		{"docs", Docs(DocsPage{Page: samplePage("")}), nil},
		{"error-404", Error(ErrorPage{Page: samplePage(""), Status: 404}), nil},
		{"error-500", Error(ErrorPage{Page: samplePage(""), Status: 500, RequestID: "01957a3e-7b5c"}), nil},
		{"error-422", Error(ErrorPage{Page: anonymous, Status: 422, Violations: jobs.Invalid{{Location: "state", Message: "must be one of running, failed"}}}), nil},
	}
}
