package command

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/allcores/allcores/internal/jobs"
)

// Bounds of the log line about files that a task left in its directory.
const (
	namedLeftovers = 5
	maxNameRunes   = 60
)

// tidy empties the runner's directory after task k, and logs what it removes.
func (s *runner) tidy(c *chunk, k task) {
	names, err := readNames(s.dir)
	if err != nil {
		os.RemoveAll(s.dir)
		os.MkdirAll(s.dir, 0o700)
		return
	}
	if len(names) == 0 {
		return
	}
	s.logAt(c, k, leftovers(s.dir, names), time.Now())
	for _, name := range names {
		os.RemoveAll(filepath.Join(s.dir, name))
	}
}

func readNames(path string) ([]string, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Readdirnames(-1)
}

// leftovers returns the log line about what is removed from a directory. It names a
// few.
func leftovers(dir string, names []string) string {
	slices.Sort(names)
	var said []string
	for _, name := range names[:min(len(names), namedLeftovers)] {
		info, err := os.Lstat(filepath.Join(dir, name))
		switch shown := shownName(name); {
		case err != nil || info.Mode()&fs.ModeSymlink != 0:
			said = append(said, shown)
		case info.IsDir():
			said = append(said, shown+"/")
		default:
			said = append(said, shown+" ("+jobs.ByteSize(info.Size())+")")
		}
	}
	if more := len(names) - len(said); more > 0 {
		said = append(said, fmt.Sprintf("and %d more", more))
	}
	return "left in the task's directory and removed: " + strings.Join(said, ", ") + "; name files by an absolute path to keep them"
}

// shownName returns a file's name on one line, quoted where it is not plain, and cut
// where it is long.
func shownName(name string) string {
	if runes := []rune(name); len(runes) > maxNameRunes {
		name = string(runes[:maxNameRunes]) + "…"
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}
