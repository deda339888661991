package http

import (
	"net/http"

	"github.com/allcores/allcores/views"
)

func (s *Site) docsPage(w http.ResponseWriter, r *http.Request) error {
	return s.render(w, r, http.StatusOK, views.Docs(views.DocsPage{Page: s.base(r)}))
}

func (s *Site) examplesPage(w http.ResponseWriter, r *http.Request) error {
	return s.render(w, r, http.StatusOK, views.Examples(views.ExamplesPage{Page: s.base(r)}))
}

func (s *Site) pythonPage(w http.ResponseWriter, r *http.Request) error {
	return s.render(w, r, http.StatusOK, views.Python(views.PythonPage{Page: s.base(r)}))
}
