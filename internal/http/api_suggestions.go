package http

import (
	"context"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// suggest answers completions of a search term.
func (s *Site) suggest(ctx context.Context, in *struct {
	Term string `query:"term" maxLength:"200" doc:"The beginning of the term, without a dash in front."`
}) (*struct {
	Body struct {
		Items []jobs.Suggestion `json:"items" nullable:"false"`
	}
}, error) {
	if !storable(in.Term) {
		return nil, jobs.Invalid{{Location: "query.term", Message: "must be UTF-8 without NUL characters"}}
	}
	key, typed, complete := jobs.SuggestFor(in.Term)
	values, err := s.store.Suggest(ctx, store.As(callOf(ctx).user), key, typed)
	if err != nil {
		return nil, err
	}
	out := new(struct {
		Body struct {
			Items []jobs.Suggestion `json:"items" nullable:"false"`
		}
	})
	out.Body.Items = append([]jobs.Suggestion{}, complete(values)...)
	return out, nil
}
