package python

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/allcores/allcores/internal/jobs/executor/process"
)

//go:embed runner/*.py
var runner embed.FS

// bootstrap sends the version in words that any Python understands, so that an
// interpreter too old for the runner is recognized, and then starts the runner. It
// imports the runner from a file because Python then compiles it only once.
const bootstrap = `import sys,os,struct
if sys.version_info<(3,8):
    p=('%d.%d.%d\n'%sys.version_info[:3]).encode('ascii')
    os.write(4,struct.pack('<IB',len(p),72)+p)
else:
    sys.path.insert(0,sys.argv[1])
    import allcores_runner
    del sys.path[0]
    allcores_runner.main()
`

// install writes the runner below this program's directory, unless it is there,
// and returns the directory to import it from.
func install() (dir string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("install runner: %w", err)
		}
	}()
	root, err := process.Root()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(root, "runner")
	final := filepath.Join(dir, "allcores_runner")
	if _, err := os.Stat(final); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	// Several goroutines may do this at once; the first to rename wins.
	temporary, err := os.MkdirTemp(dir, "")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temporary)
	sources, err := fs.Sub(runner, "runner")
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(temporary, sources); err != nil {
		return "", err
	}
	if err := os.Rename(temporary, final); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, syscall.ENOTEMPTY) {
		return "", err
	}
	return dir, nil
}
