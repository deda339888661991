package pglocal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// noPrograms hides every PostgreSQL of the machine.
func noPrograms(t *testing.T) {
	t.Helper()
	dirs := usualDirs
	usualDirs = nil
	t.Cleanup(func() { usualDirs = dirs })
	t.Setenv("PATH", t.TempDir())
	t.Setenv("PG_BINDIR", "")
}

func TestMissingPrograms(t *testing.T) {
	noPrograms(t)
	_, err := Start(t.Context(), Options{Dir: newDir(t)})
	missing := (*MissingError)(nil)
	if !errors.As(err, &missing) {
		t.Fatalf("Start said %v", err)
	}
	for _, want := range []string{"apt-get install postgresql", "dnf install postgresql-server", "apk add postgresql", "brew install postgresql", "PG_BINDIR", "DATABASE_URL"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not mention %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is more than a line", err)
	}
}

func TestMissingProgramsOfAnOldCluster(t *testing.T) {
	dir := newDir(t)
	acc, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "postgres", "data")
	if err := MakeDataDir(data); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, acc.uid, acc.gid); err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Options{Dir: dir})
	missing := (*MissingError)(nil)
	if !errors.As(err, &missing) || missing.Major != 99 {
		t.Fatalf("Start said %v", err)
	}
	for _, want := range []string{data, "PostgreSQL 99", "apt-get install postgresql-99", "brew install postgresql@99"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not mention %q", err, want)
		}
	}
}

// fakePrograms makes a folder with programs that print a version.
func fakePrograms(t *testing.T, dir, version string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postgres", "initdb", "pg_ctl"} {
		script := fmt.Sprintf("#!/bin/sh\necho '%s (PostgreSQL) %s'\n", name, version)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestWhichProgramsAreUsed(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	named := fakePrograms(t, filepath.Join(root, "named"), "14.2")
	inPath := fakePrograms(t, filepath.Join(root, "path"), "16.0 (Debian 16.0-1)")
	nine := fakePrograms(t, filepath.Join(root, "lib", "9.6", "bin"), "9.6.24")
	fifteen := fakePrograms(t, filepath.Join(root, "lib", "15", "bin"), "15.1")
	hundred := fakePrograms(t, filepath.Join(root, "lib", "100", "bin"), "100beta1")
	links := filepath.Join(root, "links") // as some people put them on PATH
	if err := os.Mkdir(links, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(fifteen, "postgres"), filepath.Join(links, "postgres")); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(root, "half") // a client's installation
	if err := os.Mkdir(half, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "postgres"), nil, 0o755); err != nil {
		t.Fatal(err)
	}

	noPrograms(t)
	t.Setenv("PATH", "/usr/bin:/bin") // for the scripts' echo
	for _, tt := range []struct {
		name, bindir, path string
		major              int
		want               string
	}{
		{"the newest", "", "", 0, hundred},
		{"PATH before the usual folders", "", inPath, 0, inPath},
		{"PG_BINDIR before PATH", named, inPath, 0, named},
		{"a link leads to its folder", "", links, 0, fifteen},
		{"half an installation is none", "", half, 0, hundred},
		{"an old version does not count", nine, "", 0, hundred},
		{"the cluster's version before all", named, inPath, 15, fifteen},
		{"the cluster's version in PATH", named, inPath, 16, inPath},
		{"an old cluster", named, inPath, 9, nine},
		{"not there", named, inPath, 17, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			usualDirs = []string{filepath.Join(globQuote(root), "lib", "*", "bin")}
			t.Setenv("PG_BINDIR", tt.bindir)
			t.Setenv("PATH", tt.path+":/nowhere")
			got, err := binaries(tt.major, "")
			if got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}
