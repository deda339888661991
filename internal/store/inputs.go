package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/outcomes"
)

// appendLines appends to dst the lines of a block with an index in [from, to). The
// block's first line has index at.
func appendLines(dst, block []byte, at, from, to int64) []byte {
	for at < from && len(block) > 0 {
		block = block[bytes.IndexByte(block, '\n')+1:]
		at++
	}
	end := 0
	for at < to && end < len(block) {
		end += bytes.IndexByte(block[end:], '\n') + 1
		at++
	}
	return append(dst, block[:end]...)
}

// Bounds of a row of input_blocks. maxBlockCount is also in its schema.
const (
	maxBlockCount = 4096
	maxBlockBytes = 256 << 10
)

type inputBlock struct {
	first int64
	count int
	data  []byte
}

// inputBlocks packs inputs into rows, the first input having index first.
func inputBlocks(values iter.Seq[[]byte], first int64) iter.Seq[inputBlock] {
	return func(yield func(inputBlock) bool) {
		block := inputBlock{first: first}
		for value := range values {
			if block.count == maxBlockCount || block.count > 0 && len(block.data)+len(value) >= maxBlockBytes {
				if !yield(block) {
					return
				}
				block = inputBlock{first: block.first + int64(block.count)}
			}
			block.data = append(append(block.data, value...), '\n')
			block.count++
		}
		if block.count > 0 {
			yield(block)
		}
	}
}

// copyInputs streams values into input_blocks as inputs of a job, from index 0 on.
func copyInputs(ctx context.Context, tx pgx.Tx, job string, values iter.Seq2[[]byte, error]) (count int64, err error) {
	source := &blockSource{job: job, values: values}
	next, stop := iter.Pull(source.blocks())
	defer stop()
	source.next = next
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"input_blocks"}, []string{"job_id", "first", "count", "data"}, source)
	if source.err != nil {
		return 0, source.err
	}
	return source.count, wrap("copy inputs", err)
}

// blockSource packs values into rows for COPY.
type blockSource struct {
	job    string
	values iter.Seq2[[]byte, error]
	next   func() (inputBlock, bool)
	block  inputBlock
	count  int64
	err    error
}

func (b *blockSource) blocks() iter.Seq[inputBlock] {
	return inputBlocks(func(yield func([]byte) bool) {
		for value, err := range b.values {
			if err != nil {
				b.err = err
				return
			}
			if !yield(value) {
				return
			}
		}
	}, 0)
}

// Next implements pgx.CopyFromSource.
func (b *blockSource) Next() bool {
	block, ok := b.next()
	if !ok || b.err != nil {
		return false
	}
	b.block = block
	b.count += int64(block.count)
	return true
}

// Values implements pgx.CopyFromSource.
func (b *blockSource) Values() ([]any, error) {
	return []any{b.job, b.block.first, b.block.count, b.block.data}, nil
}

// Err implements pgx.CopyFromSource.
func (b *blockSource) Err() error { return b.err }

// WrongInput returns the first of a job's inputs that does not fit a program, and
// why. The message is empty when all fit.
func (s *Store) WrongInput(ctx context.Context, job string, p jobs.Program) (index int64, message string, err error) {
	for next, more := int64(0), true; more && message == ""; {
		rows, err := s.Pool.Query(ctx, `
			select first, count, data from input_blocks where job_id = $1 and first >= $2 order by first limit $3`, job, next, maxCheckedBlocks)
		if err != nil {
			return 0, "", wrap("check inputs", err)
		}
		more = false
		var first, count int64
		var data []byte
		_, err = pgx.ForEachRow(rows, []any{&first, &count, &data}, func() error {
			next, more = first+count, true
			for i, line := range outcomes.Lines(data) {
				if message == "" {
					index, message = first+int64(i), p.WrongInput(line)
				}
			}
			return nil
		})
		if err != nil {
			return 0, "", wrap("check inputs", err)
		}
	}
	return index, message, nil
}

// maxCheckedBlocks is how many rows of inputs one query of WrongInput reads. Memory
// holds one at a time.
const maxCheckedBlocks = 64

// Inputs reads the inputs of a job as they were submitted. It returns ErrConflict
// when they are longer than maxBytes.
func (s *Store) Inputs(ctx context.Context, job *jobs.Job, maxBytes int64) (jobs.Inputs, error) {
	if job.Inputs.Range != nil {
		return jobs.Inputs{Range: job.Inputs.Range}, nil
	}
	var size int64
	err := s.Pool.QueryRow(ctx, `select coalesce(sum(octet_length(data)), 0) from input_blocks where job_id = $1`, job.ID).Scan(&size)
	if err != nil {
		return jobs.Inputs{}, wrap("measure inputs", err)
	}
	if size > maxBytes {
		return jobs.Inputs{}, fmt.Errorf("the inputs are %d bytes: %w", size, jobs.ErrConflict)
	}
	rows, err := s.Pool.Query(ctx, `select data from input_blocks where job_id = $1 order by first`, job.ID)
	if err != nil {
		return jobs.Inputs{}, wrap("read inputs", err)
	}
	in := jobs.Inputs{Items: []json.RawMessage{}}
	var text strings.Builder
	isLines := job.Inputs.Kind == "lines"
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&data}, func() error {
		for _, line := range outcomes.Lines(data) {
			if !isLines {
				in.Items = append(in.Items, append(json.RawMessage(nil), line...))
				continue
			}
			var one string
			if err := json.Unmarshal(line, &one); err != nil {
				return fmt.Errorf("decode input: %w", err)
			}
			text.WriteString(one)
			text.WriteByte('\n')
		}
		return nil
	})
	if err != nil {
		return jobs.Inputs{}, wrap("read inputs", err)
	}
	if err := s.Unchanged(ctx, job); err != nil {
		return jobs.Inputs{}, err
	}
	if isLines {
		lines := text.String()
		in = jobs.Inputs{Lines: &lines}
	}
	return in, nil
}
