package http

import (
	"net/http"

	"github.com/allcores/allcores/views"
)

func (s *Site) docsPage(w http.ResponseWriter, r *http.Request) error {
	return s.render(w, r, http.StatusOK, views.Docs(views.DocsPage{Page: s.base(r)}))
}
