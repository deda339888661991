package http

import (
	"context"
	"net/http"

	"github.com/allcores/allcores/internal/http/live"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/views"
)

func (s *Site) nodesModel(ctx context.Context, r *http.Request) (views.NodesPage, error) {
	p := views.NodesPage{Page: s.base(r)}
	p.Live = "/nodes/live"
	now, err := s.cluster.now(ctx)
	if err != nil {
		return p, err
	}
	p.Nodes, p.History, p.Names = now.nodes, now.nodeHistory, now.names(viewer(r))
	p.Inks = now.inks
	p.Timeline, err = s.tables.fill(ctx, s, viewer(r))
	return p, err
}

func (s *Site) nodesPage(w http.ResponseWriter, r *http.Request) error {
	p, err := s.nodesModel(r.Context(), r)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.Nodes(p))
}

// onNode makes a form's handler of a call that changes a node.
func (s *Site) onNode(call func(context.Context, *JobPath) (*nodeOutput, error)) handlerFunc {
	return fromForm(jobs.Admin, "id", "/nodes#node-", func(ctx context.Context, id string) error {
		_, err := call(ctx, &JobPath{id})
		return err
	})
}

func (s *Site) nodesLive(r *http.Request) (live.Watch, fillFunc) {
	return clusterLooks, func(ctx context.Context) ([]views.Fragment, bool, error) {
		p, err := s.nodesModel(ctx, r)
		return p.Fragments(), false, err
	}
}

// clusterLooks looks on news of queues and nodes; the browser updates ages itself.
var clusterLooks = live.Watch{Cluster: true, Gap: live.EventGap, Tick: clusterMissed}
