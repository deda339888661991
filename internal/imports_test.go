package internal_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// arrows says which packages of this module each may import. The part after a
// room's name is free within the room: internal/jobs/executor stands for its
// sub-packages too.
var arrows = map[string][]string{
	"internal/jobs":              {},
	"internal/jobs/outcomes":     {"internal/jobs"},
	"internal/jobs/insight":      {"internal/jobs", "internal/jobs/outcomes"},
	"internal/jobs/timeline":     {"internal/jobs"},
	"internal/jobs/shared":       {},
	"internal/jobs/executor":     {"internal/jobs", "internal/jobs/outcomes", "static/python"},
	"internal/jobs/engine":       {"internal/jobs", "internal/jobs/outcomes", "internal/jobs/insight", "internal/jobs/engine/tasksocket", "internal/jobs/engine/turns", "internal/jobs/engine/scopes", "internal/jobs/shared", "internal/jobs/executor", "internal/store"},
	"internal/jobs/engine/turns": {"internal/jobs", "internal/store"},
	"internal/store":             {"internal/jobs", "internal/jobs/outcomes", "internal/jobs/insight", "internal/jobs/timeline", "migrations"},
	"internal/store/pglocal":     {},
	"internal/store/storetest":   {"internal/store/pglocal"},
	"internal/http/live":         {"internal/jobs"},
	"internal/http":              {"internal/http/live", "internal/jobs", "internal/jobs/outcomes", "internal/jobs/insight", "internal/jobs/timeline", "internal/jobs/shared", "internal/jobs/engine", "internal/jobs/engine/scopes", "internal/store", "views", "static"},
	"views":                      {"internal/jobs", "internal/jobs/shared", "internal/jobs/insight", "internal/jobs/timeline", "static"},
	"static":                     {"static/python"},
	"static/python":              {},
	"migrations":                 {},
	"cmd/bench":                  {"internal/jobs/executor"},
	"cmd/hold":                   {"internal/store/storetest"},
	"cmd/web":                    {"internal/jobs", "internal/jobs/executor", "internal/jobs/engine", "internal/store", "internal/store/pglocal", "internal/http", "static"},

	"internal/jobs/engine/scopes":     {"internal/jobs", "internal/jobs/shared", "internal/store"},
	"internal/jobs/engine/tasksocket": {"internal/jobs", "internal/jobs/shared", "internal/store"},
}

// pure rooms import the standard library and other pure rooms alone.
var pure = []string{"internal/jobs", "internal/jobs/outcomes", "internal/jobs/insight", "internal/jobs/timeline", "internal/jobs/shared"}

// knowRiver are the rooms that import River: turns, the pages that River ships,
// and the migrations of its tables.
var knowRiver = []string{"internal/jobs/engine/turns", "internal/http", "internal/store"}

const module = "github.com/allcores/allcores/"

// room is the longest key of arrows that holds the package.
func room(pkg string) string {
	best := ""
	for name := range arrows {
		if (pkg == name || strings.HasPrefix(pkg, name+"/")) && len(name) > len(best) {
			best = name
		}
	}
	return best
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		path := strings.TrimPrefix(pkg.ImportPath, module)
		from := room(path)
		if path == "internal" {
			continue
		}
		if from == "" {
			t.Errorf("%s is in no room", path)
			continue
		}
		seen++
		for _, imported := range pkg.Imports {
			to, ours := strings.CutPrefix(imported, module)
			if ours := strings.HasPrefix(imported, module); !ours && slices.Contains(pure, from) && strings.Contains(strings.Split(imported, "/")[0], ".") {
				t.Errorf("%s imports %s: only the standard library may be", path, imported)
			}
			if (strings.HasPrefix(imported, "github.com/riverqueue/") || strings.HasPrefix(imported, "riverqueue.com/")) && !slices.Contains(knowRiver, from) {
				t.Errorf("%s imports %s: only %v know River", path, imported, knowRiver)
			}
			if ours && room(to) != from && !slices.Contains(arrows[from], room(to)) {
				t.Errorf("%s imports %s: the arrow runs the wrong way", path, to)
			}
		}
	}
	if seen < len(arrows) {
		t.Errorf("only %d packages were looked at", seen)
	}
}
