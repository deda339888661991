package http

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/allcores/allcores/internal/jobs"
)

type listErrorsInput struct {
	JobPath
	Paging
	count, first int64 // of the last group of the page before
}

// Resolve reads the cursor: how many tasks the last group has, and its first.
func (in *listErrorsInput) Resolve(huma.Context) []error {
	in.count, in.first = math.MaxInt64, 0
	if in.Cursor == "" {
		return nil
	}
	count, first, _ := strings.Cut(in.Cursor, "-")
	var err, err2 error
	in.count, err = strconv.ParseInt(count, 10, 64)
	in.first, err2 = strconv.ParseInt(first, 10, 64)
	if err != nil || err2 != nil {
		return unresolved(jobs.Invalid{{Location: "query.cursor", Message: "is not a next_cursor of this list", Value: in.Cursor}})
	}
	return nil
}

func (s *Site) listErrors(ctx context.Context, in *listErrorsInput) (*listOutput[jobs.FailureGroup], error) {
	job, err := s.one(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	groups, err := s.store.FailureGroupsAfter(ctx, job.ID, in.count, in.first, in.Limit+1)
	if err != nil {
		return nil, err
	}
	next := ""
	if len(groups) > in.Limit {
		groups = groups[:in.Limit]
		last := groups[in.Limit-1]
		next = fmt.Sprintf("%d-%d", last.Count, last.FirstIndex)
	}
	return listOf(groups, next), nil
}
