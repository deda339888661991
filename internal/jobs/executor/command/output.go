package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
)

// MaxOutput is the limit of a command's standard output in bytes. A command that
// prints more fails. The rest is read and counted, so that the command does not block.
const MaxOutput = 1 << 20

// value returns what a command printed as one line of JSON: as text, lines or a JSON
// value. The error is why it cannot: an output is kept whole and unchanged, or not at
// all.
func value(kind string, p printed) ([]byte, *jobs.TaskError) {
	if p.size > MaxOutput {
		return nil, p.unfit("output too large", fmt.Sprintf("output too large: %s (%d bytes), the limit is %s; write it to a file instead",
			jobs.ByteSize(p.size), p.size, jobs.SizeOf(MaxOutput)))
	}
	if at := jobs.InvalidUTF8(p.stdout); at >= 0 {
		return nil, p.unfit("not UTF-8", fmt.Sprintf("the output is not UTF-8 at byte %d", at))
	}
	switch kind {
	case jobs.OutputJSON:
		var b bytes.Buffer
		if err := json.Compact(&b, p.stdout); err != nil {
			return nil, p.unfit("not JSON", "the output is not one JSON value: "+strings.TrimPrefix(err.Error(), "json: "))
		}
		if name, twice := jobs.DuplicateName(b.Bytes()); twice {
			return nil, p.unfit("not JSON", fmt.Sprintf("the output has two members of the name %q in one object", name))
		}
		return b.Bytes(), nil
	case jobs.OutputLines:
		out := []byte{'['}
		for line := range jobs.SplitLines(string(p.stdout)) {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = jobs.AppendString(out, line)
		}
		return append(out, ']'), nil
	}
	return jobs.AppendString(nil, strings.TrimSuffix(string(p.stdout), "\n")), nil
}

// shownUnfit is how many bytes a failure shows of an output that cannot be kept.
const shownUnfit = 16 << 10

// unfit returns the failure of a command whose output cannot be kept.
func (p printed) unfit(kind, message string) *jobs.TaskError {
	p.stdout = p.stdout[:min(len(p.stdout), shownUnfit)]
	return &jobs.TaskError{Kind: jobs.KindException, Type: kind, Message: message, Output: p.text()}
}

// text returns the beginning of the output as UTF-8, with a note where it is cut.
func (p printed) text() string {
	s := text(p.stdout)
	if cut := p.size - int64(len(p.stdout)); cut > 0 {
		s += fmt.Sprintf("\n[cut: %s more]", jobs.ByteSize(cut))
	}
	return s
}

// text returns bytes as valid UTF-8.
func text(b []byte) string { return strings.ToValidUTF8(string(b), "\uFFFD") }
