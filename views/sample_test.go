package views

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// The samples show pages on a busy afternoon, and on bad days.

var sampleNow = time.Date(2025, 3, 14, 15, 9, 26, 535e6, time.UTC)

const hostile = `<script>alert(1)</script>"'&` + "\u202e" + ` {{x}} `

func samplePage(live string) Page {
	return Page{
		User:    &jobs.User{ID: "u", Name: "admin", Role: jobs.Admin},
		Live:    live,
		BaseURL: "http://127.0.0.1:8080",
		Version: "1.2.3",
		Now:     sampleNow,
	}
}

func sampleTime(ago time.Duration) *jobs.Time { return &jobs.Time{Time: sampleNow.Add(-ago)} }

func sampleID(n int) string { return fmt.Sprintf("01957a3e-7b5c-7d1e-8f00-%012x", n) }

func sampleJob(n int, name string, state jobs.State, c jobs.Counts, age, ran time.Duration) jobs.Job {
	c.Waiting = c.Total - c.Succeeded - c.Failed - c.Running - c.Cancelled
	j := jobs.Job{
		ID: sampleID(n), Name: name, State: state, Queue: "cpu", Priority: 2, Owner: "admin", Tags: []string{"nightly", "imaging"},
		Counts: c,
		Program: jobs.Program{Python: &jobs.Python{
			Source: "def square(x):\n    return x * x\n", Function: "square", Call: jobs.CallValue,
		}},
		Inputs: jobs.InputsShape{Kind: "range", Count: c.Total, Range: &jobs.Range{Stop: c.Total, Step: 1}},
		Run:    1,

		EffectivePolicy: jobs.Policy{Processes: ptr(16)}.WithDefaults(),
		Executing:       min(c.Running, 16), ProcessesNow: int(min(c.Running, 16)),
		CreatedAt: *sampleTime(age),
	}
	if ran > 0 {
		j.StartedAt = sampleTime(age)
		j.CPUSeconds = 15.1 * ran.Seconds()
		j.Rate = float64(c.Done()) / ran.Seconds()
		if state.Ended() {
			j.FinishedAt = sampleTime(age - ran)
		}
		if state == jobs.Running && j.Rate > 0 {
			j.ETASeconds = ptr(float64(c.Waiting+c.Running) / j.Rate)
		}
	}
	return j
}

func command(j jobs.Job, argv ...string) jobs.Job {
	j.Program = jobs.Program{Command: &jobs.Command{Argv: argv, Output: jobs.OutputText, OKExitCodes: []int{0}}}
	j.Inputs = jobs.InputsShape{Kind: "lines", Count: j.Counts.Total}
	return j
}

func function(j jobs.Job, name, queue string) jobs.Job {
	j.Program = jobs.Program{Python: &jobs.Python{Source: "def " + name + "(x):\n    return x\n", Function: name, Call: jobs.CallValue}}
	j.Queue = queue
	return j
}

func sampleJobs() []jobs.Job {
	thumbnails := command(sampleJob(2, "thumbnails", jobs.Running, jobs.Counts{Total: 10000, Succeeded: 6120, Failed: 14, Running: 16}, 100*time.Second, 100*time.Second), "convert", "{}", "-resize", "256", "{.}.png")
	failed := function(sampleJob(5, "word count", jobs.Failed, jobs.Counts{Total: 10000, Succeeded: 9988, Failed: 12}, time.Hour, 4100*time.Millisecond), "count", "cpu")
	failed.Reason = "12 tasks failed"
	queued := function(sampleJob(3, "parameter sweep", jobs.Queued, jobs.Counts{Total: 4800}, time.Minute, 0), "simulate", "cpu")
	queued.Explain(insight.InLine("cpu", 3))
	return []jobs.Job{
		sampleJob(1, "squares", jobs.Running, jobs.Counts{Total: 1_000_000, Succeeded: 812_344, Running: 4096}, 2*time.Second, 2*time.Second),
		thumbnails,
		queued,
		function(sampleJob(8, "sensor feed", jobs.Open, jobs.Counts{Total: 1204, Succeeded: 1200, Running: 4}, 5*time.Minute, 5*time.Minute), "clean", "io"),
		function(sampleJob(4, "crawl", jobs.Paused, jobs.Counts{Total: 9000, Succeeded: 1200, Failed: 3}, 12*time.Minute, 11*time.Minute), "fetch", "io"),
		failed,
		command(sampleJob(6, "checksums", jobs.Succeeded, jobs.Counts{Total: 11204, Succeeded: 11204}, 3*time.Hour, 8100*time.Millisecond), "sha256sum", "{}"),
		function(sampleJob(7, "monte carlo", jobs.Cancelled, jobs.Counts{Total: 100000, Succeeded: 31000, Cancelled: 69000}, 5*time.Hour, 10*time.Minute), "pi", "cpu"),
		command(sampleJob(9, "a rather long name that someone gave to a job because names may be two hundred characters long and nobody stopped them", jobs.Succeeded, jobs.Counts{Total: 1, Succeeded: 1}, 60*24*time.Hour, 4*time.Millisecond), "sh", "-c", "cat {} | tr -cs '[:alpha:]' '\\n' | sort | uniq -c | sort -rn | head -50 > {.}.words"),
		function(sampleJob(10, hostile, jobs.Failed, jobs.Counts{Total: 3, Failed: 3}, 90*24*time.Hour, 80*time.Hour), "f", "a-queue-of-a-long-name"),
	}
}

func sampleJobsPage() JobsPage {
	p := JobsPage{Page: samplePage("/live"), Jobs: sampleJobs(), Any: true, Next: "next", Counts: map[jobs.State]int64{}}
	for _, j := range p.Jobs {
		p.Counts[j.State]++
	}
	p.Counts[jobs.Succeeded] = 1114
	return p
}

func sampleQuery(q string) ListQuery {
	return ParseListQuery(url.Values{"q": {q}}, func(string) bool { return false })
}

// sampleCells distributes a job's counts over cells: done tasks from the left,
// failures here and there.
func sampleCells(j *jobs.Job) []Cell {
	size := CellSize(j.Counts.Total)
	var cells []Cell
	left := j.Counts
	failures := max(left.Failed/5, 1)
	for first := int64(0); first < j.Counts.Total; first += size {
		room := min(size, j.Counts.Total-first)
		var c Cell
		take := func(from *int64, to *int64, most int64) {
			n := min(*from, most, room)
			*from -= n
			*to += n
			room -= n
		}
		if len(cells)%37 == 3 {
			c.FirstFailed = first + room/2
			take(&left.Failed, &c.Failed, failures)
		}
		take(&left.Succeeded, &c.Succeeded, room)
		take(&left.Running, &c.Running, room)
		if left.Succeeded == 0 && left.Running == 0 {
			take(&left.Cancelled, &c.Cancelled, room)
		}
		cells = append(cells, c)
	}
	return cells
}

func sampleResults(j *jobs.Job, n int) []jobs.TaskRow {
	var out []jobs.TaskRow
	for i := range int64(n) {
		t := jobs.Task{Job: j.ID, Index: i, State: jobs.TaskSucceeded, Output: fmt.Appendf(nil, "%d", i*i), DurationMS: ptr(float64(i%7)*3.3 + .021)}
		if i == 7 {
			t.State, t.Output = jobs.TaskFailed, nil
			t.Error = &jobs.TaskError{Kind: jobs.KindException, Type: "ValueError", Message: "not a number: " + hostile}
		}
		if i == 9 {
			t.Output = json.RawMessage(`{"word":"` + strings.Repeat("long ", 90) + `"}`)
		}
		row := jobs.TaskRow{Task: t, OutputBytes: int64(len(t.Output))}
		row.Input = fmt.Appendf(nil, `"photos/%d.jpg"`, i)
		if i == 11 {
			row.OutputBytes = 2 << 20
		}
		out = append(out, row)
	}
	return out
}

const sampleTraceback = `Traceback (most recent call last):

  File "<program>", line 12, in count
    return sum(parse(line) for line in open(path))
  File "<program>", line 7, in parse
    return int(line)
ValueError: invalid literal for int() with base 10: 'twelve'`

func sampleTimelineView(j *jobs.Job, rows int) TimelineView {
	v := TimelineView{Job: j.ID, Live: !j.State.Ended(), OneIn: 1}
	for i := range int64(rows) {
		v.Rows = append(v.Rows, TimelineRow{
			Label: fmt.Sprintf("worker-%d core %d", 1+i/8, i%8), Share: float64(100-7*i) / 100, Chunks: 40 - i, Tasks: 61*40 - i, Failed: i % 3, Lost: i / 7,
			Job: j.ID, First: 200 * i, Count: 1 + 60*(i%2), Took: time.Duration(200+i) * time.Millisecond,
		})
	}
	return v
}

func sampleRunning() JobPage {
	j := sampleJobs()[1]
	j.Policy.Timeout = ptr(jobs.Duration("30s"))
	p := JobPage{Page: samplePage("/jobs/" + j.ID + "/live"), Job: j, Steer: true, Cells: sampleCells(&j), JobPlaces: JobPlaces{Cores: 16, Nodes: sampleNodes(), Ink: "job-c"}, Timeline: sampleTimelineView(&j, 16)}
	p.Failures = []jobs.FailureGroup{
		{ID: 0x0101010102020202, Kind: jobs.KindExit, Type: "exit 1", Pattern: "convert: no decode delegate for this image format <path>", Messages: []jobs.Message{{Index: 77, Text: "convert: no decode delegate for this image format a.cr3"}, {Index: 78, Text: "convert: no decode delegate for this image format b.cr3"}}, Message: "convert: no decode delegate for this image format `' @ error/constitute.c/ReadImage/741.", Count: 11, FirstIndex: 77, Example: &jobs.TaskError{Kind: jobs.KindExit, Type: "exit 1", Message: "convert: no decode delegate", Output: "reading IMG_8841.cr3\n"}},
		{ID: 0x0101010202020202, Kind: jobs.KindTimeout, Message: "still running after 30 s", Count: 3, FirstIndex: 2011},
	}
	p.Results = sampleResults(&j, 100)
	for i := range int64(40) {
		l := jobs.LogLine{Task: 6000 + i*3, Stream: "stdout", Line: fmt.Sprintf("IMG_%d.jpg 4032x3024 → 256x192", 8841+i), At: *sampleTime(time.Duration(40-i) * time.Second)}
		if i%9 == 4 {
			l.Stream, l.Line = "stderr", "convert: no decode delegate for this image format `cmyk' @ error/constitute.c"
		}
		p.Logs = append(p.Logs, l)
	}
	p.Report = sampleReport(false)
	p.Shared, p.Reports = sampleShared(), sampleReports(&p)
	return p
}

func sampleFailed() JobPage {
	j := sampleJobs()[5]
	p := JobPage{Page: samplePage(""), Job: j, Steer: true, Cells: sampleCells(&j), JobPlaces: JobPlaces{Cores: 16}, JobOutput: JobOutput{Results: sampleResults(&j, 12)}}
	p.Failures = []jobs.FailureGroup{{ID: 0x0101010302020202, Kind: jobs.KindException, Type: "ValueError", Pattern: "invalid literal for int() with base <number>: '<text>'", Frame: &jobs.Frame{File: "program.py", Line: 7, Function: "parse"},
		Messages: []jobs.Message{{Index: 7, Text: "invalid literal for int() with base 10: 'twelve'"}, {Index: 9, Text: "invalid literal for int() with base 10: 'dreizehn'"}}, Message: "invalid literal for int() with base 10: 'twelve'", Count: 12, FirstIndex: 7, Example: &jobs.TaskError{Kind: jobs.KindException, Type: "ValueError", Traceback: sampleTraceback}}}
	p.LogsCut = true
	p.Report = sampleReport(true)
	p.Timeline = sampleTimelineView(&j, 2)
	p.Timeline.OneIn, p.Timeline.RowsLeftOut = 12.4, 31
	return p
}

// sampleReport returns a report of eight lanes, whose last one runs long.
func sampleReport(ended bool) *insight.Report {
	const wall = 4100 * time.Millisecond
	f := insight.ReportFacts{
		Ended: ended, Wall: wall, Total: 10_000, Threads: 1, Interpreter: true, Cores: 8, OutputBytes: 81 << 10,
		Lanes: insight.NewLaneTimes(wall), Durations: insight.NewDurations(),
	}
	for lane := range 8 {
		end := 2700 * time.Millisecond
		if lane == 7 {
			end = wall
		}
		f.Lanes.Add(insight.ChunkTime{
			Lane: lane, First: int64(1250 * lane), Count: 1250, Started: 30 * time.Millisecond, Finished: end,
			Tasks: end - 200*time.Millisecond, Moving: 120 * time.Millisecond, User: end - 300*time.Millisecond, System: 40 * time.Millisecond, PeakMemory: 31 << 20,
		})
	}
	for i := range int64(10_000) {
		took := time.Duration(900+i*i%1201) * time.Microsecond
		if i == 9811 {
			took = 1700 * time.Millisecond
		}
		f.Durations.Add(i, binary.LittleEndian.AppendUint16(nil, outcomes.EncodeDuration(took)))
	}
	return f.Report()
}

func sampleMillion() JobPage {
	j := sampleJobs()[0]
	return JobPage{Page: samplePage("/x"), Job: j, Steer: true, Cells: sampleCells(&j), JobPlaces: JobPlaces{Cores: 16}, JobOutput: JobOutput{Results: sampleResults(&j, 100)}}
}

func sampleSmall(n int, state jobs.State, c jobs.Counts) JobPage {
	took := 3 * time.Second
	if state == jobs.Queued {
		took = 0
	}
	j := sampleJob(n, "small one", state, c, 4*time.Second, took)
	return JobPage{Page: samplePage("/x"), Job: j, Steer: true, Cells: sampleCells(&j), Timeline: sampleTimelineView(&j, 0), JobPlaces: JobPlaces{Cores: 16}, JobOutput: JobOutput{Results: sampleResults(&j, int(min(ran(c), 100)))}}
}

func sampleResultsPage(group bool) ResultsPage {
	failed := sampleFailed()
	j := failed.Job
	p := ResultsPage{Page: samplePage(""), Job: j, Steer: true, Rows: sampleResults(&j, 100), Prev: -1, Next: 100}
	if group {
		p.Group = &failed.Failures[0]
		p.Filter = ResultsFilter{State: jobs.TaskFailed, Group: p.Group.ID.String(), From: 7}
		p.Rows, p.Prev, p.Next = p.Rows[7:8], 7, -1
	}
	return p
}

func sampleTask() TaskPage {
	j := sampleJobs()[5]
	return TaskPage{Page: samplePage(""), Job: j, NextFailed: ptr(int64(2011)), Task: jobs.Task{
		Job: j.ID, Index: 1207, State: jobs.TaskFailed, Input: json.RawMessage(`"books/moby-dick.txt"`), Attempts: 1,
		Error: &jobs.TaskError{Kind: jobs.KindException, Type: "ValueError", Message: "invalid literal for int() with base 10: 'twelve'", Traceback: sampleTraceback},
		Node:  "worker-3", Core: ptr(5), StartedAt: sampleTime(time.Hour), DurationMS: ptr(12.4),
		Logs: []jobs.LogLine{{Task: 1207, Stream: "stdout", Line: "opening books/moby-dick.txt", At: *sampleTime(time.Hour)}, {Task: 1207, Stream: "stderr", Line: "warning: 3 lines skipped", At: *sampleTime(time.Hour)}},
	}}
}

func sampleRetried() TaskPage {
	p := sampleTask()
	p.Task.Attempts = 4
	p.Job.Policy.MaxAttempts = ptr(5)
	attempt := func(n int, kind jobs.ErrorKind, of, message string) jobs.Attempt {
		return jobs.Attempt{Attempt: n, Error: &jobs.TaskError{Kind: kind, Type: of, Message: message},
			StartedAt: sampleTime(time.Duration(90-n) * time.Minute), DurationMS: ptr(float64(n) * 1312.5), Node: "worker-3", Core: ptr(n)}
	}
	p.Task.Earlier = []jobs.Attempt{
		attempt(1, jobs.KindException, "ConnectionResetError", "[Errno 104] Connection reset by peer\n"+hostile),
		attempt(2, jobs.KindTimeout, "", "still running after 30 s"),
		attempt(3, jobs.KindCrash, "SIGSEGV", "its process died under it: "+strings.Repeat("a-long-word", 40)),
		{Attempt: 3, Error: &jobs.TaskError{Kind: jobs.KindExit, Type: "exit 3", Message: "exit status 3", Output: "cannot open books/moby-dick.txt\n"}},
	}
	p.Task.Earlier[0].Error.Traceback = sampleTraceback
	p.Task.Earlier[2].Node = "a-node-with-a-rather-long-name.cluster.example"
	return p
}

func sampleDone() TaskPage {
	p := sampleTask()
	p.NextFailed = nil
	p.Task.Index, p.Task.State, p.Task.Error = 0, jobs.TaskSucceeded, nil
	p.Task.Output = json.RawMessage(`{"words":215830,"unique":17231,"top":[["the",14431],["of",6609],["and",6430],["a",4736],["to",4625],["in",4172]]}`)
	return p
}

type sample struct {
	name  string
	page  templ.Component
	parts []Fragment // nil for a constant page
}

func samples() []sample {
	return slices.Concat(sampleLists(), sampleJobPages(), sampleOutputs(), sampleClusterPages(), sampleOtherPages())
}

func sampleLists() []sample {
	list := sampleJobsPage()
	filtered := list
	filtered.Query = sampleQuery(`state:failed tag:x queue:io ` + hostile)
	filtered.Query.Cursor, filtered.Query.Order = "c", jobs.Order{Key: jobs.ByFailures}
	filtered.Jobs, filtered.Next, filtered.Prev, filtered.Before = filtered.Jobs[5:6], "", "p", 50
	nothing := filtered
	nothing.Jobs, nothing.Query.Cursor = nil, ""
	wrong := nothing
	wrong.Query = sampleQuery("stat:failed state:done " + hostile)
	empty := JobsPage{Page: samplePage("/live")}
	viewer := empty
	viewer.User = &jobs.User{Name: "eve", Role: jobs.Viewer}
	return []sample{
		{"jobs", Jobs(list), list.Fragments()},
		{"jobs-filtered", Jobs(filtered), filtered.Fragments()},
		{"jobs-nothing", Jobs(nothing), nothing.Fragments()},
		{"jobs-wrong", Jobs(wrong), nil},
		{"jobs-empty", Jobs(empty), empty.Fragments()},
		{"jobs-viewer", Jobs(viewer), viewer.Fragments()},
	}
}

func sampleJobPages() (out []sample) {
	for name, p := range map[string]JobPage{
		"job-running":   sampleRunning(),
		"job-failed":    sampleFailed(),
		"job-million":   sampleMillion(),
		"job-queued":    sampleSmall(11, jobs.Queued, jobs.Counts{Total: 3}),
		"job-one":       sampleSmall(12, jobs.Succeeded, jobs.Counts{Total: 1, Succeeded: 1}),
		"job-cancelled": sampleSmall(13, jobs.Cancelled, jobs.Counts{Total: 230, Succeeded: 60, Failed: 2, Cancelled: 168}),
		"job-none":      sampleSmall(14, jobs.Succeeded, jobs.Counts{}),
	} {
		out = append(out, sample{name, Job(p), p.Fragments()})
	}
	named := sampleMillion()
	named.Job = sampleJobs()[8]
	out = append(out, sample{"job-long", Job(named), named.Fragments()})
	waits := sampleSmall(15, jobs.Running, jobs.Counts{Total: 100, Succeeded: 88})
	waits.Job.Explain(&jobs.Waiting{Kind: jobs.WaitRetry, Message: "12 tasks wait for their next attempt; the first is due at 15:10:00 UTC.", Until: sampleTime(-34 * time.Second)})
	out = append(out, sample{"job-waits", Job(waits), waits.Fragments()})
	evil := sampleFailed()
	evil.Job = sampleJobs()[9]
	evil.Job.Tags, evil.Job.Reason, evil.Job.Owner = []string{hostile}, hostile, hostile
	evil.Failures[0].Message, evil.Failures[0].Pattern = hostile, hostile
	evil.Failures[0].Messages[0].Text = hostile
	evil.Logs = []jobs.LogLine{{Line: hostile, Stream: "stdout"}}
	out = append(out, sample{"job-hostile", Job(evil), evil.Fragments()})
	return out
}

func sampleOutputs() (out []sample) {
	for name, p := range map[string]ResultsPage{
		"results": sampleResultsPage(false), "results-group": sampleResultsPage(true),
		"results-none": {Page: samplePage("/x"), Job: sampleJobs()[1], Filter: ResultsFilter{State: jobs.TaskFailed, From: 5}, Prev: 5, Next: -1},
	} {
		out = append(out, sample{name, Results(p), p.Fragments()})
	}
	logs := LogsPage{Page: samplePage("/x"), Job: sampleJobs()[1], Filter: LogsFilter{Stream: "stderr", Text: "warn"}, Older: "7-0", Newer: "9-3", Cut: true}
	for i, line := range []string{"\x1b[1;32mPASS\x1b[0m all of it", "\x1b[31merror:\x1b[0m no file \x1b[4mphotos/7.jpg\x1b[24m \x1b[2m(dim)\x1b[0m", "\x1b[44;97m INFO \x1b[0m \x1b[35mmagenta \x1b[36mcyan \x1b[33myellow \x1b[34mblue", "10 %\r100 %", hostile} {
		l := jobs.LogLine{Task: int64(i * i * 1000), Stream: "stdout", Line: line, At: *sampleTime(time.Duration(90-i) * time.Second)}
		if i%2 == 1 {
			l.Stream = "stderr"
		}
		logs.Lines = append(logs.Lines, l)
	}
	none := LogsPage{Page: samplePage(""), Job: sampleJobs()[5], Filter: LogsFilter{Task: "x"}, Wrong: "must be from 0 to 9999"}
	out = append(out, sample{"logs", Logs(logs), logs.Fragments()}, sample{"logs-none", Logs(none), none.Fragments()})
	failed, done := sampleTask(), sampleDone()
	return append(out,
		sample{"task-failed", Task(failed), failed.Fragments()},
		sample{"task-retried", Task(sampleRetried()), sampleRetried().Fragments()},
		sample{"task-done", Task(done), done.Fragments()},
	)
}
