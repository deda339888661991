package http

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"

	"github.com/danielgtaylor/huma/v2"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

type appendOutput struct {
	Replayed string `header:"Idempotent-Replayed"`
	Body     struct {
		First int64 `json:"first" doc:"Index of the first input of the request."`
		Count int64 `json:"count"`
	}
}

// appendTasks streams the inputs of the body, one JSON value per line, into an open
// job: all of them or none, and with a key once.
func (s *Site) appendTasks(ctx context.Context, in *struct {
	JobPath
	Seal bool   `query:"seal" doc:"Close the job to further inputs after these."`
	Key  string `header:"Idempotency-Key" doc:"Within 24 hours, inputs with the same key are not added again."`
}) (*appendOutput, error) {
	c := callOf(ctx)
	key, err := newKey(in.Key, c.user, nil)
	if err != nil {
		return nil, err
	}
	out := new(appendOutput)
	sum := sha256.New()
	fmt.Fprintf(sum, "tasks of %s, seal %t\n", in.ID, in.Seal)
	job, err := s.one(ctx, in.ID)
	if key != nil && errors.Is(err, jobs.ErrNotFound) {
		return s.keptAppend(ctx, key, io.TeeReader(c.r.Body, sum), sum, err)
	}
	if err != nil {
		return nil, err
	}
	body := io.Reader(c.r.Body)
	if key != nil {
		body = io.TeeReader(body, sum)
	}
	out.Body.First, out.Body.Count, err = s.engine.Append(ctx, store.AppendRequest{
		Viewer: store.As(c.user), Job: job.ID, Seal: in.Seal, Key: key,
		Values: allWrong(inputLines(body, "body", jsonLine(job.Program))),
		Hash: func() ([]byte, error) {
			_, err := io.Copy(io.Discard, body)
			return sum.Sum(nil), err
		},
	})
	out.Replayed = replayed(key)
	if err != nil {
		return nil, explained(err, jobs.ErrConflict, "The job takes no further inputs: it is sealed or has ended.")
	}
	return out, nil
}

// keptAppend answers a repeated request for a job that was deleted since. Without a
// stored answer the error is cause.
func (s *Site) keptAppend(ctx context.Context, key *store.Key, body io.Reader, sum hash.Hash, cause error) (*appendOutput, error) {
	// The body is not read for a user that has not used the key.
	if kept, err := s.store.KeptAnswer(ctx, &store.Key{UserID: key.UserID, Key: key.Key}); err == nil && kept == nil {
		return nil, cause
	} else if err != nil && !errors.Is(err, store.ErrKeyReused) {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return nil, err
	}
	key.Request = sum.Sum(nil)
	kept, err := s.kept(ctx, key, cause)
	if err != nil {
		return nil, err
	}
	out := &appendOutput{Replayed: replayed(key)}
	out.Body.First, out.Body.Count = kept.First, kept.Count
	return out, nil
}

// allWrong yields values up to the first violation. Then it reads on, collects
// further violations, at most maxListed, and ends with them.
func allWrong(values iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var found jobs.Invalid
		for value, err := range values {
			var wrong jobs.Invalid
			switch {
			case errors.As(err, &wrong):
				found = append(found, wrong...)
			case err != nil:
				yield(nil, err)
				return
			case found == nil && !yield(value, nil):
				return
			}
			if len(found) >= maxListed {
				break
			}
		}
		if found != nil {
			yield(nil, found)
		}
	}
}

// documentTasksBody describes the body of appendTasks.
func (a *api) documentTasksBody() {
	a.OpenAPI().Paths[apiPrefix+"/jobs/{id}/tasks"].Post.RequestBody = &huma.RequestBody{
		Description: "Inputs, one JSON value a line.",
		Content:     map[string]*huma.MediaType{ndjson: {Schema: &huma.Schema{Type: huma.TypeString}}},
	}
}

// maxLine is how long one input of a stream may be, in bytes.
const maxLine = 16 << 20

// inputLines reads one input per line. It yields what parse returns, or a violation
// at location with the line's number. It skips a byte order mark, and lines for
// which parse returns nothing.
func inputLines(r io.Reader, location string, parse func(line []byte) (compact []byte, message string)) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		lines := bufio.NewReaderSize(r, 64<<10)
		if !skipMark(lines) {
			yield(nil, jobs.Invalid{{Location: location, Message: wrongEncoding}})
			return
		}
		var long []byte
		for number := 1; ; number++ {
			line, err := lines.ReadSlice('\n')
			for long = long[:0]; errors.Is(err, bufio.ErrBufferFull) && len(long) <= maxLine; line, err = lines.ReadSlice('\n') {
				long = append(long, line...)
			}
			if len(long) > 0 {
				long = append(long, line...)
				line = long
			}
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
				yield(nil, err)
				return
			}
			if len(line) == 0 { // the end
				return
			}
			var compact []byte
			var message string
			if errors.Is(err, bufio.ErrBufferFull) || len(bytes.TrimSpace(line)) > maxLine {
				message = fmt.Sprintf("is longer than %d bytes", maxLine)
			} else {
				compact, message = parse(line)
			}
			if message != "" {
				if !yield(nil, jobs.Invalid{{Location: location, Message: fmt.Sprintf("line %d %s", number, message), Value: number}}) {
					return
				}
			} else if compact != nil && !yield(compact, nil) {
				return
			}
			if err != nil { // the end, or a line that is too long
				return
			}
		}
	}
}

// jsonLine returns a parser of lines that are JSON values for a program. It returns
// nothing for a blank line.
func jsonLine(p jobs.Program) func([]byte) ([]byte, string) {
	return func(line []byte) (compact []byte, message string) {
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0:
			return nil, ""
		case tooDeep(line) >= 0:
			return nil, fmt.Sprintf("is nested more than %d levels deep", maxDepth)
		}
		if compact, message = jobs.CompactInput(line); message == "" {
			message = p.WrongInput(compact)
		}
		return compact, message
	}
}
