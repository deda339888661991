package views

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// The browser compiles and links every module of static, and resolves each
// imported name. It runs none, because the module before it throws.
func TestModulesLoad(t *testing.T) {
	files, err := filepath.Glob("../static/*.js")
	if err != nil || len(files) == 0 {
		t.Fatalf("no modules: %v", err)
	}
	deeper, err := filepath.Glob("../static/*/*.js")
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, moduleServer())
	b.visit("/")
	for _, file := range append(files, deeper...) {
		name, err := filepath.Rel("..", file)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.load("/" + filepath.ToSlash(name)); got != "linked" {
			t.Errorf("%s: %s", name, got)
		}
	}
	for path, want := range map[string]string{
		"/wrong/syntax.js": "SyntaxError: Unexpected token ';'",
		"/wrong/name.js":   "SyntaxError: The requested module '/guard.js' does not provide an export named 'missing'",
	} {
		if got := b.load(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// moduleServer serves static's modules and /import?/path. That module imports a
// guard, which throws "linked", and then the module at path.
func moduleServer() http.Handler {
	script := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, text)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<!doctype html><link rel="icon" href="data:,">`)
	})
	mux.Handle("/static/", http.StripPrefix("/static/", http.FileServerFS(os.DirFS("../static"))))
	mux.HandleFunc("/guard.js", script(`throw "linked"`))
	mux.HandleFunc("/wrong/syntax.js", script(`let x = ;`))
	mux.HandleFunc("/wrong/name.js", script(`import { missing } from "/guard.js"`))
	mux.HandleFunc("/import", func(w http.ResponseWriter, r *http.Request) {
		script(fmt.Sprintf("import \"/guard.js\"\nimport %q", r.URL.RawQuery))(w, r)
	})
	return mux
}

// load imports the module at path after the guard and returns the error that
// the browser throws.
func (b browser) load(path string) string {
	b.t.Helper()
	b.run(fmt.Sprintf(`thrown = ""; import(%q).then(() => thrown = "ran", (e) => thrown = String(e))`, "/import?"+path))
	b.wait(`thrown`)
	return eval[string](b, `thrown`)
}
