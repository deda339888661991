package static

import (
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func get(t *testing.T, method, url string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, url, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEveryFile(t *testing.T) {
	imports := regexp.MustCompile(`\b(?:from|import)[\s(]+["']([^"']+)["']`)
	for name, f := range load().byName {
		if !regexp.MustCompile(`^/static/([a-z]+/)?[a-z]+\.[0-9a-f]{12}\.[a-z]+$`).MatchString(f.url) {
			t.Errorf("%s is at %s", name, f.url)
		}
		answer := get(t, "GET", URL(name))
		plain := text(t, answer.Body)
		h := answer.Header
		if answer.StatusCode != 200 || h.Get("Content-Type") != mimes[path.Ext(name)] || h.Get("Content-Type") == "" ||
			!strings.Contains(h.Get("Cache-Control"), "immutable") || h.Get("Vary") != "Accept-Encoding" || h.Get("Content-Encoding") != "" {
			t.Errorf("%s: %d %v", name, answer.StatusCode, h)
		}
		zipped := get(t, "GET", URL(name), "Accept-Encoding", "br, gzip;q=0.8")
		if zipped.Header.Get("Content-Encoding") == "gzip" {
			r, err := gzip.NewReader(zipped.Body)
			if err != nil || text(t, r) != plain {
				t.Errorf("%s is something else when compressed (%v)", name, err)
			}
		} else if len(plain) > 500 {
			t.Errorf("%s is not compressed", name)
		}
		tag, zippedTag := h.Get("ETag"), zipped.Header.Get("ETag")
		if same := zipped.Header.Get("Content-Encoding") == ""; (tag == zippedTag) != same {
			t.Errorf("%s has the tags %s and, zipped (%t), %s", name, tag, !same, zippedTag)
		}
		for accept, want := range map[string]int{"gzip": 304, "identity": 200} {
			if again := get(t, "GET", URL(name), "Accept-Encoding", accept, "If-None-Match", zippedTag); again.StatusCode != want && tag != zippedTag {
				t.Errorf("%s as %s, known zipped: %d", name, accept, again.StatusCode)
			}
		}
		for _, m := range imports.FindAllStringSubmatch(plain, -1) {
			if load().byURL[path.Join(path.Dir(f.url), m[1])] == nil {
				t.Errorf("%s imports %s, which is not served", name, m[1])
			}
		}
		if again := get(t, "GET", URL(name), "If-None-Match", `"x", W/`+h.Get("ETag")); again.StatusCode != 304 {
			t.Errorf("%s is sent again: %d", name, again.StatusCode)
		}
		if path.Ext(name) == ".css" && strings.Contains(plain, "url(") {
			t.Errorf("%s loads something by a name that does not change", name)
		}
	}
}

func TestHandler(t *testing.T) {
	url := URL("app.css")
	if head := get(t, "HEAD", url); head.StatusCode != 200 || text(t, head.Body) != "" || head.Header.Get("Content-Length") == "0" {
		t.Errorf("HEAD: %d %v", head.StatusCode, head.Header)
	}
	if r := get(t, "GET", url, "Accept-Encoding", "gzip;q=0"); r.Header.Get("Content-Encoding") != "" {
		t.Error("compressed although refused")
	}
	for _, missing := range []string{"/static/app.css", "/static/", "/static/static.go", "/static/../static.go"} {
		if r := get(t, "GET", missing); r.StatusCode != 404 {
			t.Errorf("%s: %d", missing, r.StatusCode)
		}
	}
	if r := get(t, "POST", url); r.StatusCode != 405 || r.Header.Get("Allow") == "" {
		t.Errorf("POST: %d", r.StatusCode)
	}
}

// colour parses an sRGB colour such as #rrggbb.
type colour [3]float64

func parseColour(t *testing.T, hex string) colour {
	t.Helper()
	var c colour
	for i := range c {
		n, err := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c[i] = float64(n) / 255
	}
	return c
}

// luminance returns the relative luminance as WCAG defines it.
func (c colour) luminance() float64 {
	linear := func(v float64) float64 {
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

func (c colour) contrast(d colour) float64 {
	a, b := c.luminance(), d.luminance()
	return (max(a, b) + 0.05) / (min(a, b) + 0.05)
}

// over blends c over d with that share.
func (c colour) over(d colour, share float64) colour {
	for i := range c {
		c[i] = c[i]*share + d[i]*(1-share)
	}
	return c
}

func TestContrast(t *testing.T) {
	css, err := read(appCSS)
	if err != nil {
		t.Fatal(err)
	}
	themes := [2]map[string]colour{{}, {}}
	for _, m := range regexp.MustCompile(`--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)`).FindAllStringSubmatch(string(css), -1) {
		themes[0][m[1]], themes[1][m[1]] = parseColour(t, m[2]), parseColour(t, m[3])
	}
	for i, theme := range themes {
		at := func(name string) colour {
			c, ok := theme[name]
			if !ok {
				t.Fatalf("no colour %s", name)
			}
			return c
		}
		need := func(what string, a, b colour, least float64) {
			if got := a.contrast(b); got < least {
				t.Errorf("%s theme: %s has contrast %.2f, wants %.1f", [2]string{"light", "dark"}[i], what, got, least)
			}
		}
		for _, ground := range []string{"ground", "surface", "sunken"} {
			for _, ink := range []string{"ink", "quiet", "accent", "running", "succeeded", "failed", "paused", "cancelled", "magenta", "cyan"} {
				need(ink+" on "+ground, at(ink), at(ground), 4.5)
			}
		}
		// Rows under the pointer, chosen links, and notes are tinted.
		for _, ink := range []string{"ink", "quiet", "accent", "running", "succeeded", "failed", "paused", "cancelled"} {
			need(ink+" on a row", at(ink), at("accent").over(at("surface"), .09), 4.5)
		}
		for _, tint := range []string{"accent", "failed", "paused"} {
			need(fmt.Sprintf("ink on a note of %s", tint), at("ink"), at(tint).over(at("surface"), .07), 4.5)
			need(fmt.Sprintf("%s on its note", tint), at(tint), at(tint).over(at("surface"), .07), 4.5)
		}
		for _, tint := range []string{"cancelled", "failed", "succeeded", "paused", "running", "magenta", "cyan", "quiet"} {
			need("ink on a terminal's "+tint, at("ink"), at(tint).over(at("sunken"), .24), 4.5)
		}
		need("a button's words", at("on-accent"), at("accent"), 4.5)
		need("a dangerous button's words", at("on-accent"), at("failed"), 4.5)
		for _, fill := range []string{"running", "succeeded", "failed", "cpu-user", "cpu-system", "cpu-other"} {
			need(fill+" in a bar", at(fill), at("waiting"), 3)
		}
		need("the edge of a field", at("edge"), at("surface"), 3)
		// Jobs in the timeline are drawn on surface and sunken. Neighbours on
		// the ring differ in lightness too.
		const ring = "abcdefghijkl"
		for i := range ring {
			job, next := "job-"+ring[i:i+1], "job-"+ring[(i+1)%len(ring):][:1]
			need(job+" on surface", at(job), at("surface"), 3)
			need(job+" on sunken", at(job), at("sunken"), 3)
			need(job+" beside "+next, at(job), at(next), 1.15)
		}
		need("a failure in the timeline", at("failed"), at("surface"), 3)
	}
}

func TestImportsFollowModules(t *testing.T) {
	urls := Imports("timeline.js", "theme.js")
	for _, name := range []string{"timeline/data.js", "timeline/text.js"} { // text.js only by way of others
		if n := strings.Count(strings.Join(urls, " ")+" ", URL(name)+" "); n != 1 {
			t.Errorf("%s is %d times among %v", name, n, urls)
		}
	}
}

func TestSheetsAreAllServed(t *testing.T) {
	entries, err := files.ReadDir("css")
	if err != nil || len(entries) != len(sheets) {
		t.Errorf("%d files, %d sheets: %v", len(entries), len(sheets), err)
	}
}
