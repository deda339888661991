package views

import (
	"strings"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

func sampleNew(name string) NewJobPage {
	f, ok := Example(name)
	if !ok {
		f = NewForm()
	}
	return NewJobPage{Page: samplePage(""), Form: f, Queues: sampleQueues(), Example: name}
}

func sampleWrong() NewJobPage {
	p := sampleNew("primes")
	p.Form.Inputs, p.Form.FileName = InputsFile, "numbers.csv"
	p.Form.FileFormat = FormatCSV
	p.Form.Timeout, p.Form.Processes = "soon", "many"
	p.Form.Name = strings.Repeat("n", 250)
	_, wrong := p.Form.Spec(nil)
	p.Form.Reject(wrong)
	p.Form.Reject(jobs.Invalid{{Location: "body.program.python.source", Message: "line 7: expected ':'"}, {Location: "inputs.items[3]", Message: "must be an array, as call is args"}, {Location: "somewhere.else", Message: "is odd"}})
	return p
}

func sampleTried(fails bool) NewJobPage {
	p := sampleNew("threads")
	p.Try = &TryResult{Input: "0", Output: `{"page": 0, "status": 200}`, Took: 252 * time.Millisecond}
	if fails {
		p.Try.Error = &jobs.TaskError{Kind: jobs.KindException, Type: "ValueError", Message: "invalid literal for int() with base 10: 'twelve'", Traceback: sampleTraceback}
		p.Try.Logs = []jobs.LogLine{{Stream: "stdout", Line: "opening " + hostile, At: *sampleTime(0)}}
	}
	return p
}

func sampleAgain() NewJobPage {
	p := sampleNew("")
	j := sampleJobs()[1]
	j.Policy.Timeout = ptr(jobs.Duration("30s"))
	p.Form = FormOfJob(&j, nil)
	return p
}
