package views

import (
	"encoding/json"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/shared"
)

func sampleShared() []shared.Info {
	return []shared.Info{
		{Name: "hits", Kind: shared.Value, Items: 1, Bytes: 3, Value: json.RawMessage("812")},
		{Name: "a/b <i>", Kind: shared.Queue, Size: 10, Items: 4, Bytes: 120, Waiting: 2, Value: json.RawMessage(`["x","y","z"]`)},
		{Name: "cells", Kind: shared.Array, Type: "d", Size: 1000, Items: 1, Bytes: 8000, Value: json.RawMessage("null")},
		{Name: "guard", Kind: shared.Lock, Items: 1, Holder: "task 3", Value: json.RawMessage("true")},
		{Name: "free", Kind: shared.Lock, Items: 1, Value: json.RawMessage("false")},
	}
}

func sampleReports(p *JobPage) []jobs.TaskProgress {
	half := 0.5
	return []jobs.TaskProgress{
		{Job: p.Job.ID, Task: 7, Fraction: &half, Message: "half " + hostile, At: jobs.Time{Time: p.Now.Add(-time.Second)}},
		{Job: p.Job.ID, Task: 9, Message: "begun", At: jobs.Time{Time: p.Now}},
	}
}
