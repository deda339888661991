// Package static holds the pages' style sheet, scripts and images. It serves
// them under names that change with their content, so that browsers may keep
// them forever. It serves the Python client under names that stay.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed *.css *.js *.svg css timeline
var files embed.FS

// appCSS is the pages' style sheet, served as one file.
const appCSS = "app.css"

// sheets are the parts of appCSS in the folder css. Later rules override
// earlier ones, so their order matters.
var sheets = []string{"tokens", "base", "lists", "job", "text", "forms", "docs", "cluster", "widths"}

// read returns the content of a file in this folder.
func read(name string) ([]byte, error) {
	if name != appCSS {
		return files.ReadFile(name)
	}
	var all []byte
	for _, sheet := range sheets {
		content, err := files.ReadFile("css/" + sheet + ".css")
		if err != nil {
			return nil, err
		}
		all = append(all, content...)
	}
	return all, nil
}

// Prefix is the path at which callers must mount [Handler].
const Prefix = "/static/"

// A file is a served file.
type file struct {
	url     string
	mime    string
	plain   variant
	zip     variant // empty if it is no smaller
	cache   string  // its Cache-Control
	imports []*file
}

// A variant is a file in one coding. A strong ETag identifies bytes, so each
// variant has a different one.
type variant struct {
	etag string
	body []byte
}

// A set holds the files by name and by address.
type set struct{ byName, byURL map[string]*file }

var load = sync.OnceValue(func() *set {
	s := &set{byName: map[string]*file{}, byURL: map[string]*file{}}
	s.addPython()
	s.add(appCSS, nil)
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == "css":
			return fs.SkipDir
		case !entry.IsDir():
			s.add(name, nil)
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	return s
})

// moduleImport matches the import of a module by its relative path.
var moduleImport = regexp.MustCompile(`(\b(?:from|import)\s*\(?\s*")(\.\.?/[\w/-]+\.js)(")`)

// add loads a file and, before it, the modules that it imports: its text
// contains their names, so its own name depends on theirs.
func (s *set) add(name string, importers []string) *file {
	if f := s.byName[name]; f != nil {
		return f
	}
	for _, importer := range importers {
		if importer == name {
			panic(fmt.Sprintf("static: %s imports itself by way of %s", name, strings.Join(importers, ", ")))
		}
	}
	content, err := read(name)
	if err != nil {
		panic(fmt.Sprintf("static: %s, imported by %s, is not there", name, strings.Join(importers, ", ")))
	}
	ext := path.Ext(name)
	var imports []*file
	if ext == ".js" {
		content = moduleImport.ReplaceAllFunc(content, func(found []byte) []byte {
			m := moduleImport.FindSubmatch(found)
			imported := s.add(path.Join(path.Dir(name), string(m[2])), append(importers, name))
			imports = append(imports, imported)
			return []byte(string(m[1]) + string(m[2][:bytes.LastIndexByte(m[2], '/')+1]) + path.Base(imported.url) + string(m[3]))
		})
	}
	sum := sha256.Sum256(content)
	hash := hex.EncodeToString(sum[:6])
	f := &file{
		url:     Prefix + strings.TrimSuffix(name, ext) + "." + hash + ext,
		mime:    mimes[ext],
		plain:   variant{`"` + hash + `"`, content},
		zip:     variant{`"` + hash + `-gzip"`, compress(content)},
		cache:   "public, max-age=31536000, immutable",
		imports: imports,
	}
	s.byName[name], s.byURL[f.url] = f, f
	return f
}

// mimes lists the types because the system's table differs between machines.
var mimes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

func compress(content []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err)
	}
	if _, err := w.Write(content); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	if b.Len() >= len(content) {
		return nil
	}
	return b.Bytes()
}

// URL returns the address of a file in this folder by its path. It panics if
// the file does not exist: only our pages name files.
func URL(name string) string { return named(name).url }

func named(name string) *file {
	f := load().byName[name]
	if f == nil {
		panic("static: no file " + name)
	}
	return f
}

// Imports returns the addresses of the modules that the named scripts import,
// directly or not, so that a page can preload them.
func Imports(names ...string) []string {
	var urls []string
	var add func(*file)
	add = func(f *file) {
		for _, imported := range f.imports {
			if !slices.Contains(urls, imported.url) {
				urls = append(urls, imported.url)
				add(imported)
			}
		}
	}
	for _, name := range names {
		add(named(name))
	}
	return urls
}

// Handler serves the files at the addresses that [URL] returns, and the Python
// client below [PythonPrefix].
func Handler() http.Handler {
	s := load()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := s.byURL[r.URL.Path]
		if f == nil {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Cache-Control", f.cache)
		h.Set("Vary", "Accept-Encoding")
		chosen, zipped := f.plain, false
		if f.zip.body != nil && AcceptsGzip(r.Header.Get("Accept-Encoding")) {
			chosen, zipped = f.zip, true
		}
		h.Set("ETag", chosen.etag)
		if matches(strings.Join(r.Header.Values("If-None-Match"), ","), chosen.etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		h.Set("Content-Type", f.mime)
		h.Set("X-Content-Type-Options", "nosniff")
		if zipped {
			h.Set("Content-Encoding", "gzip")
		}
		h.Set("Content-Length", strconv.Itoa(len(chosen.body)))
		if r.Method == http.MethodGet {
			w.Write(chosen.body)
		}
	})
}

// matches reports whether an If-None-Match header names the tag. A proxy that
// compresses may have made it a weak one.
func matches(header, etag string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

// AcceptsGzip reports whether an Accept-Encoding header allows gzip.
func AcceptsGzip(header string) bool {
	for coding := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		weight, err := strconv.ParseFloat(q, 64)
		return !ok || err != nil || weight > 0
	}
	return false
}
