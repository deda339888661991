package http_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/allcores/allcores/views"
)

// TestPythonSnippets pastes every program of the manual's page about Python, in its
// order, as a reader would.
func TestPythonSnippets(t *testing.T) {
	t.Parallel()
	s := serve(t)
	shown := strings.Join(s.page("/docs/python", 200).Find("pre").Map(func(_ int, pre *goquery.Selection) string { return pre.Text() }), "")
	dir := t.TempDir()
	env := append(os.Environ(), "ALLCORES_TOKEN="+adminToken, "ALLCORES_URL="+s.url, "PYTHONDONTWRITEBYTECODE=1")
	for _, snippet := range views.Snippets {
		text := snippet.Text(s.url)
		if !strings.Contains(shown, text) {
			t.Errorf("the page does not have %s", snippet.File)
		}
		run := snippet.Run
		if run == "" {
			run = text
		} else {
			words := strings.Fields(run)
			if err := os.WriteFile(filepath.Join(dir, words[len(words)-1]), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if snippet.File == "joblib.py" && exec.Command("python3", "-c", "import joblib").Run() != nil {
			continue
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-ec", run)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), snippet.Prints) {
			t.Errorf("%s: %v\n%s, want %s", snippet.File, err, out, snippet.Prints)
		}
	}
}

// TestManualOnSharedState pastes the manual's calls on shared objects: into a command,
// and into a shell outside of it.
func TestManualOnSharedState(t *testing.T) {
	t.Parallel()
	s := serve(t)
	page := s.page("/docs", 200)
	spec, err := json.Marshal(map[string]any{
		"program": map[string]any{"command": map[string]any{"argv": []string{"sh", "-ec", page.Find("#doc-shared").Text(), "sh"}}},
		"inputs":  map[string]any{"items": []int{1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	j := s.submit(string(spec), "Prefer", "wait=30")
	var outputs []string
	if err := json.Unmarshal(j.Outputs, &outputs); err != nil || len(outputs) != 1 {
		t.Fatalf("%s: %s %s", j.State, j.Outputs, s.get("/api/v1/jobs/"+j.ID+"/errors").text)
	}
	for _, want := range []string{"1\nnull\n\"photo.jpg\"\n", `"kind":"empty"`, `"name":"hits","kind":"value"`} {
		if !strings.Contains(outputs[0], want) {
			t.Errorf("no %s in %s", want, outputs[0])
		}
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", strings.ReplaceAll(page.Find("#doc-shared-rest").Text(), "/ID/", "/"+j.ID+"/"))
	cmd.Env = append(os.Environ(), "ALLCORES_TOKEN="+adminToken)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), `{"value":2}`) || strings.Contains(string(out), `"status"`) {
		t.Errorf("%v: %s", err, out)
	}
}
