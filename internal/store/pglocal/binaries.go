package pglocal

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// minMajor is the oldest major version of PostgreSQL a new cluster is made
// with.
const minMajor = 14

// A MissingError reports that no suitable PostgreSQL server programs were found. Its
// message is one line with how to install them.
type MissingError struct {
	Major   int    // the version an existing cluster needs, or 0 for any
	Cluster string // the folder of that cluster, or ""
	BinDir  string // what PG_BINDIR named in vain, or ""
}

func (e *MissingError) Error() string {
	var what, deb, rpm, apk, brew string
	if e.Major > 0 {
		what = fmt.Sprintf("the data in %s was made by PostgreSQL %d, whose server programs were not found", e.Cluster, e.Major)
		deb, rpm, apk, brew = fmt.Sprintf("postgresql-%d", e.Major), fmt.Sprintf("postgresql%d-server", e.Major), fmt.Sprintf("postgresql%d", e.Major), fmt.Sprintf("postgresql@%d", e.Major)
	} else {
		what = fmt.Sprintf("no PostgreSQL server programs (version %d or newer) were found", minMajor)
		deb, rpm, apk, brew = "postgresql", "postgresql-server", "postgresql", "postgresql@17"
	}
	if e.BinDir != "" {
		what += fmt.Sprintf(", also not in PG_BINDIR=%s", e.BinDir)
	}
	return fmt.Sprintf("%s: install them (Debian, Ubuntu: apt-get install %s; Fedora: dnf install %s; Alpine: apk add %s; macOS: brew install %s), name their folder in PG_BINDIR, or set DATABASE_URL to a database of your own",
		what, deb, rpm, apk, brew)
}

// usualDirs returns where distributions and Homebrew install the server programs.
var usualDirs = []string{
	"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
	"/usr/pgsql-*/bin",                  // PostgreSQL's own packages for Fedora and RHEL
	"/usr/libexec/postgresql*",          // Alpine
	"/usr/lib/postgresql*/bin",          // Gentoo, older Alpine
	"/usr/local/pgsql/bin",              // built from source
	"/opt/homebrew/opt/postgresql*/bin", // Homebrew on Apple silicon
	"/usr/local/opt/postgresql*/bin",    // Homebrew on Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	"/usr/bin", // Fedora, Arch
}

var digits = regexp.MustCompile(`[0-9]+`)

// binDirs lists the folders that may hold the server programs: PG_BINDIR, then PATH,
// then the usual ones, newest first.
func binDirs() []string {
	var candidates []string
	if dir := os.Getenv("PG_BINDIR"); dir != "" {
		candidates = append(candidates, dir)
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if filepath.IsAbs(dir) {
			candidates = append(candidates, dir)
		}
	}
	var usual []string
	for _, pattern := range usualDirs {
		found, _ := filepath.Glob(pattern) // the patterns are well formed
		usual = append(usual, found...)
	}
	version := func(dir string) int {
		n, _ := strconv.Atoi(digits.FindString(dir))
		return n
	}
	slices.SortStableFunc(usual, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	candidates = append(candidates, usual...)

	var dirs []string
	for _, dir := range candidates {
		// A link in PATH leads to the folder with the other programs.
		real, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
		if err != nil {
			continue
		}
		dir = filepath.Dir(real)
		if !slices.Contains(dirs, dir) && executable(dir, "postgres") && executable(dir, "initdb") && executable(dir, "pg_ctl") {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func executable(dir, name string) bool {
	info, err := os.Stat(filepath.Join(dir, name))
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

var versionLine = regexp.MustCompile(`PostgreSQL\)? ([0-9]+)`)

// majorOf runs a program in dir for its major version. It returns 0 if that fails.
func majorOf(dir string) int {
	out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return 0
	}
	major, _ := strconv.Atoi(string(m[1]))
	return major
}

// binaries returns the folder of the server programs to use: those of the
// cluster's major version, or the first that are new enough if there is no cluster yet
// (major 0). The error is a *MissingError.
func binaries(major int, cluster string) (string, error) {
	dirs := binDirs()
	if major > 0 {
		// Most folders have the version in their name: try those first.
		want := strconv.Itoa(major)
		rank := func(dir string) int {
			if slices.Contains(digits.FindAllString(dir, -1), want) {
				return 0
			}
			return 1
		}
		slices.SortStableFunc(dirs, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	}
	for _, dir := range dirs {
		if have := majorOf(dir); have == major || major == 0 && have >= minMajor {
			return dir, nil
		}
	}
	return "", &MissingError{Major: major, Cluster: cluster, BinDir: strings.TrimSpace(os.Getenv("PG_BINDIR"))}
}
