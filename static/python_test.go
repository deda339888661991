package static

import (
	"archive/zip"
	"bytes"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/allcores/allcores/static/python"
)

func TestPythonClientIsRevalidated(t *testing.T) {
	for _, url := range []string{PythonPrefix, PythonClientURL(), PythonWheelURL()} {
		a := get(t, "GET", url)
		if h := a.Header; a.StatusCode != 200 || h.Get("Cache-Control") != "public, no-cache" || h.Get("Content-Encoding") != "" {
			t.Errorf("%s: %d %v", url, a.StatusCode, h)
		}
		if again := get(t, "GET", url, "If-None-Match", a.Header.Get("ETag")); again.StatusCode != 304 {
			t.Errorf("%s is sent again: %d", url, again.StatusCode)
		}
	}
	if got := text(t, get(t, "GET", "/static/python/allcores.py").Body); got != string(PythonClient()) || !strings.HasPrefix(got, `"""`) {
		t.Errorf("the client begins with %.40q", got)
	}
	if got := get(t, "GET", PythonPrefix+"allcores-0-py3-none-any.whl").StatusCode; got != 404 {
		t.Errorf("the wheel of another version: %d", got)
	}
}

func TestWheelHoldsTheClient(t *testing.T) {
	archive, err := zip.NewReader(bytes.NewReader(python.Wheel()), int64(len(python.Wheel())))
	if err != nil {
		t.Fatal(err)
	}
	f, err := archive.Open(python.FileName)
	if err != nil {
		t.Fatal(err)
	}
	if text(t, f) != string(PythonClient()) {
		t.Error("the wheel has another client")
	}
}

// TestPipInstallsTheWheel installs it by its address, and by name from the page
// that links it. pip checks the hashes in RECORD.
func TestPipInstallsTheWheel(t *testing.T) {
	if exec.Command("python3", "-m", "pip", "--version").Run() != nil {
		t.Skip("python3 has no pip")
	}
	server := httptest.NewServer(Handler())
	t.Cleanup(server.Close)
	for name, arguments := range map[string][]string{
		"address": {server.URL + PythonWheelURL()},
		"name":    {"--find-links", server.URL + PythonPrefix, "allcores"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			install := exec.Command("python3", append([]string{"-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir",
				"install", "--quiet", "--no-index", "--no-deps", "--target", dir}, arguments...)...)
			if out, err := install.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			command := exec.Command(filepath.Join(dir, "bin", "allcores"), "--version")
			command.Env = append(os.Environ(), "PYTHONPATH="+dir)
			if out, err := command.CombinedOutput(); err != nil || string(out) != "allcores "+python.Version()+"\n" {
				t.Errorf("allcores --version: %v: %s", err, out)
			}
		})
	}
}

// TestClientImportsEverywhere imports the client on each Python of this machine
// that is new enough.
func TestClientImportsEverywhere(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, python.FileName), PythonClient(), 0o600); err != nil {
		t.Fatal(err)
	}
	home, _ := os.UserHomeDir()
	interpreters, _ := filepath.Glob(filepath.Join(home, ".pyenv/versions/3.*/bin/python3"))
	for _, interpreter := range append(interpreters, "python3") {
		t.Run(interpreter, func(t *testing.T) {
			t.Parallel()
			run := exec.Command(interpreter, "-W", "error", "-c", "import sys\nif sys.version_info >= (3, 8):\n import allcores\n print(allcores.VERSION)")
			run.Env = append(os.Environ(), "PYTHONPATH="+dir, "PYTHONDONTWRITEBYTECODE=1")
			if out, err := run.CombinedOutput(); err != nil || len(out) > 0 && strings.TrimSpace(string(out)) != python.Version() {
				t.Errorf("import allcores: %v: %s", err, out)
			}
		})
	}
}
