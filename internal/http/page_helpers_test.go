package http_test

import (
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/allcores/allcores/views"
)

// page gets a page with that status.
func (s *server) page(path string, status int) *goquery.Document {
	s.t.Helper()
	return document(s.t, s.get(path), status)
}

func document(t testing.TB, a *answer, status int) *goquery.Document {
	t.Helper()
	if a.StatusCode != status || a.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%s: %d %v: %s", a.Request.URL, a.StatusCode, a.Header, cut(a.text))
	}
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(a.text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// text returns the text that a selector finds, with single spaces.
func text(doc *goquery.Document, selector string) string {
	return strings.Join(strings.Fields(doc.Find(selector).Text()), " ")
}

// fields returns the fields of a form that a browser would send.
func fields(form *goquery.Selection) url.Values {
	v := url.Values{}
	form.Find("input, select, textarea").Each(func(_ int, f *goquery.Selection) {
		name, kind := f.AttrOr("name", ""), f.AttrOr("type", "")
		_, checked := f.Attr("checked")
		switch {
		case name == "" || (kind == "radio" || kind == "checkbox") && !checked || kind == "file" || kind == "submit":
		case goquery.NodeName(f) == "textarea":
			v.Set(name, strings.TrimPrefix(f.Text(), "\n"))
		case goquery.NodeName(f) == "select":
			v.Set(name, f.Find("option[selected]").AttrOr("value", f.Find("option").AttrOr("value", "")))
		default:
			v.Set(name, f.AttrOr("value", "on"))
		}
	})
	return v
}

// post sends a plain form.
func (s *server) post(path string, v url.Values) *answer {
	s.t.Helper()
	return s.call("POST", path, v.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

// upload sends the form of a new job with a file.
func (s *server) upload(v url.Values, name, content string) *answer {
	s.t.Helper()
	var b strings.Builder
	w, kind := multipartOf(s.t, &b, v, name, content)
	w.Close()
	return s.call("POST", "/jobs/new", b.String(), "Content-Type", kind)
}

// multipartOf writes the fields of a form and then its file.
func multipartOf(t testing.TB, to io.Writer, v url.Values, name, content string) (w *multipart.Writer, kind string) {
	t.Helper()
	w = multipart.NewWriter(to)
	for _, key := range slices.Sorted(maps.Keys(v)) {
		if err := w.WriteField(key, v.Get(key)); err != nil {
			t.Fatal(err)
		}
	}
	part, err := w.CreateFormFile(views.FieldFile, name)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(part, content)
	return w, w.FormDataContentType()
}

// posted returns the job that the answer to a form redirects to.
func (s *server) posted(a *answer) job {
	s.t.Helper()
	id, ok := strings.CutPrefix(a.Header.Get("Location"), "/jobs/")
	if a.StatusCode != http.StatusSeeOther || !ok {
		s.t.Fatalf("status %d to %q: %s", a.StatusCode, a.Header.Get("Location"), cut(a.text))
	}
	return s.ended(id)
}
