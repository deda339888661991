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
	client "github.com/allcores/allcores/static/python"
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

// clientDir is the folder of the installed runner that has the Python client and
// nothing else. The runner puts it first on the path of its program.
const clientDir = "client"

// install writes the runner and the Python client below this program's directory,
// unless they are there, and returns the directory to import the runner from. Each
// interpreter compiles them only once, as it caches the result beside them.
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
	err = place(filepath.Join(dir, clientDir), func(temporary string) error {
		return os.WriteFile(filepath.Join(temporary, client.FileName), client.Client(), 0o600)
	})
	if err != nil {
		return "", err
	}
	sources, err := fs.Sub(runner, "runner")
	if err != nil {
		return "", err
	}
	return dir, place(final, func(temporary string) error { return os.CopyFS(temporary, sources) })
}

// place makes the directory final, filled. Several goroutines may do so at once; the
// first to rename wins.
func place(final string, fill func(temporary string) error) error {
	temporary, err := os.MkdirTemp(filepath.Dir(final), "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	if err := fill(temporary); err != nil {
		return err
	}
	if err := os.Rename(temporary, final); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, syscall.ENOTEMPTY) {
		return err
	}
	return nil
}
