package http

import (
	"context"
	"fmt"
	"slices"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
	"github.com/allcores/allcores/internal/store"
)

func (s *Site) listNodes(ctx context.Context, in *struct{ Paging }) (*listOutput[jobs.Node], error) {
	nodes, err := s.store.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	return pageOf(nodes, in.Paging, func(n jobs.Node) string { return n.ID })
}

type nodeOutput struct{ Body jobs.Node }

// drainNode makes a node begin no turns, or begin them again.
func (s *Site) drainNode(draining bool) func(context.Context, *JobPath) (*nodeOutput, error) {
	return func(ctx context.Context, in *JobPath) (*nodeOutput, error) {
		err := s.store.Drain(ctx, in.ID, draining)
		s.cluster.changed() // also after an error: the view may be old
		if err != nil {
			return nil, explained(err, jobs.ErrConflict, "The node is no longer alive.")
		}
		nodes, err := s.store.Nodes(ctx)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(nodes, func(n jobs.Node) bool { return n.ID == in.ID })
		if i < 0 {
			return nil, fmt.Errorf("node %s: %w", in.ID, jobs.ErrNotFound)
		}
		return &nodeOutput{nodes[i]}, nil
	}
}

type nodeHistoryOutput struct{ Body insight.NodeHistory }

// nodeHistory answers what a node did within the last hour, core by core.
func (s *Site) nodeHistory(ctx context.Context, in *JobPath) (*nodeHistoryOutput, error) {
	now, err := s.cluster.now(ctx)
	if err != nil {
		return nil, err
	}
	if _, known := now.nodeHistory[in.ID]; !known {
		return nil, fmt.Errorf("node %q: %w", in.ID, jobs.ErrNotFound)
	}
	samples, err := s.store.Samples(ctx, store.SampleQuery{Node: in.ID, Cores: true})
	if err != nil {
		return nil, err
	}
	var series insight.NodeSeries
	series.Add(samples.Nodes...)
	return &nodeHistoryOutput{series.History(samples.Now)}, nil
}
