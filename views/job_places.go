package views

import (
	"slices"

	"github.com/allcores/allcores/internal/jobs"
)

// A jobPlace holds the cores of one node on which a job runs.
type jobPlace struct {
	node     string
	cores    []jobs.Core // all cores of the node, with only the job's turns
	unpinned int
	turns    int64
}

// placesOf returns the nodes that run turns of a job.
func placesOf(id string, nodes []jobs.Node) []jobPlace {
	var places []jobPlace
	for _, n := range nodes {
		place := jobPlace{node: nodeLabel(n, nodes)}
		others := func(t jobs.CoreTurn) bool { return t.Job != id }
		for turn := range n.RunningTurns() {
			if turn.Job == id {
				place.turns++
			}
		}
		if place.turns == 0 {
			continue
		}
		for _, core := range n.Cores {
			core.Turns = slices.DeleteFunc(slices.Clone(core.Turns), others)
			place.cores = append(place.cores, core)
		}
		place.unpinned = len(slices.DeleteFunc(slices.Clone(n.Unpinned), others))
		places = append(places, place)
	}
	return places
}

func placeTitle(c jobs.Core) string {
	text := "core " + itoa(c.Core)
	for _, t := range c.Turns {
		text += ", lane " + itoa(t.Lane) + ": " + taskRange(t)
	}
	return text
}
