package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// valuesOf yields n inputs from a number on, each in the same buffer, and then err if
// it is not nil.
func valuesOf(from, n, size int, err error) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var buffer []byte
		for i := range n {
			buffer = fmt.Appendf(buffer[:0], "\"%d%s\"", from+i, strings.Repeat("x", size))
			if !yield(buffer, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// TestAppendFewAndMany checks that appends that fit in memory, just do, and just do not
// keep all inputs in their order, and that one that fails keeps none.
func TestAppendFewAndMany(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	spec := pythonSpec(jobs.Inputs{Open: true})
	id := insert(t, s, admin, spec)
	add := func(values iter.Seq2[[]byte, error]) (int64, int64, error) {
		return s.Append(t.Context(), store.AppendRequest{Viewer: store.As(admin), Job: id, Values: values})
	}
	total := 0
	broken := errors.New("broken")
	for _, step := range []struct{ n, size int }{{0, 0}, {1, 0}, {4097, 0}, {8191, 0}, {8192, 0}, {8193, 0}, {10, 200_000}, {1, 2 << 20}, {3, 0}} {
		if _, _, err := add(valuesOf(0, step.n, step.size, broken)); !errors.Is(err, broken) {
			t.Errorf("%d inputs and an error: %v", step.n, err)
		}
		first, count, err := add(valuesOf(total, step.n, step.size, nil))
		if err != nil || first != int64(total) || count != int64(step.n) {
			t.Fatalf("%d inputs of %d bytes: %d from %d on, %v", step.n, step.size, count, first, err)
		}
		total += step.n
	}
	rows, err := s.Pool.Query(t.Context(), `select first, count, data from input_blocks where job_id = $1 order by first`, id)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	next := 0
	for rows.Next() {
		var first, count int
		var data []byte
		if err := rows.Scan(&first, &count, &data); err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
		if first != next || count != len(lines) {
			t.Fatalf("a block of %d inputs from %d on has %d; want %d", count, first, len(lines), next)
		}
		for _, line := range lines {
			if !bytes.HasPrefix(line, fmt.Appendf(nil, "\"%d", next)) {
				t.Fatalf("input %d is %.20q", next, line)
			}
			next++
		}
	}
	if j := read(t, s, admin, id); next != total || j.Counts.Total != int64(total) {
		t.Errorf("%d inputs, the job has %d; want %d", next, j.Counts.Total, total)
	}
}
