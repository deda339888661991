package web

import (
	"context"
	"slices"

	"github.com/allcores/allcores/internal/jobs"
)

func (s *Site) listQueues(ctx context.Context, in *struct{ Paging }) (*listOutput[jobs.Queue], error) {
	queues, err := s.store.Queues(ctx)
	if err != nil {
		return nil, err
	}
	return pageOf(queues, in.Paging, func(q jobs.Queue) string { return q.Name })
}

type queueOutput struct{ Body jobs.Queue }

func (s *Site) getQueue(ctx context.Context, in *struct {
	Name string `path:"name"`
}) (*queueOutput, error) {
	queues, err := s.store.Queues(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(queues, func(q jobs.Queue) bool { return q.Name == in.Name })
	if i < 0 {
		return nil, jobs.ErrNotFound
	}
	return &queueOutput{queues[i]}, nil
}

func (s *Site) listNodes(ctx context.Context, in *struct{ Paging }) (*listOutput[jobs.Node], error) {
	nodes, err := s.store.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	return pageOf(nodes, in.Paging, func(n jobs.Node) string { return n.ID })
}
