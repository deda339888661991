package process

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// passed are the variables that a child has from this program's environment,
// with those that begin with LC_. Everything else, such as DATABASE_URL and
// tokens, stays here.
var passed = []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"}

// poolSizes are the variables by which numerical libraries and runtimes size
// their own pools of threads or processes. Left alone many take every core of the
// machine in each process, and where tasks are not pinned all do.
var poolSizes = []string{
	"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
	"NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS", "VECLIB_MAXIMUM_THREADS",
	"RAYON_NUM_THREADS", "POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "JULIA_NUM_THREADS",
	"LOKY_MAX_CPU_COUNT", "GOMAXPROCS",
}

// hashSeed is the PYTHONHASHSEED of every child. With one seed all processes of a
// job, on whatever node, agree on hash() of text and on the order of sets. The
// price is that hostile input may be made to collide; a program that reads such
// input sets PYTHONHASHSEED=random in its own environment.
const hashSeed = "1917"

var inherited = sync.OnceValue(func() map[string]string {
	env := make(map[string]string)
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		if slices.Contains(passed, name) || strings.HasPrefix(name, "LC_") {
			env[name] = value
		}
	}
	if env["PATH"] == "" {
		env["PATH"] = "/usr/local/bin:/usr/bin:/bin"
	}
	return env
})

// Environ is the environment of a child: what of this program's environment is
// passed on, the number of cores as the size of libraries' thread pools, Python's
// hash seed, and the layers, where a later one wins.
func Environ(cores int, layers ...map[string]string) []string {
	env := maps.Clone(inherited())
	env["PYTHONHASHSEED"] = hashSeed
	for _, name := range poolSizes {
		env[name] = strconv.Itoa(max(1, cores))
	}
	for _, layer := range layers {
		maps.Copy(env, layer)
	}
	list := make([]string, 0, len(env)+2)
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// Path is the PATH of a child with that environment of its program.
func Path(env map[string]string) string {
	if path, ok := env["PATH"]; ok {
		return path
	}
	return inherited()["PATH"]
}

// Look finds the executable that name means: as it is when it has a slash,
// else in the directories of path. Unlike os/exec it does so for the child's
// PATH. A child starts in an empty directory, so a relative file, or relative
// directories of path, lead nowhere. The error is fs.ErrNotExist or
// fs.ErrPermission.
func Look(name, path string) (string, error) {
	if filepath.IsAbs(name) {
		return name, executable(name)
	}
	if strings.Contains(name, "/") {
		return "", fs.ErrNotExist
	}
	err := error(fs.ErrNotExist)
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		file := filepath.Join(dir, name)
		switch info, e := os.Stat(file); {
		case e != nil: // a directory that may not be entered has nothing to offer
		case mayRun(info):
			return file, nil
		default:
			err = fs.ErrPermission
		}
	}
	return "", err
}

func executable(file string) error {
	info, err := os.Stat(file)
	switch {
	case err != nil && errors.Is(err, fs.ErrPermission):
		return fs.ErrPermission
	case err != nil:
		return fs.ErrNotExist
	case !mayRun(info):
		return fs.ErrPermission
	}
	return nil
}

func mayRun(info fs.FileInfo) bool { return !info.IsDir() && info.Mode()&0o111 != 0 }

// NotStarted reports whether err of Start says that the executable itself
// cannot be run, rather than that the machine has no room for a process.
func NotStarted(err error) bool {
	for _, known := range []error{
		syscall.ENOENT, syscall.EACCES, syscall.EPERM, syscall.ENOEXEC, syscall.ENOTDIR,
		syscall.EISDIR, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.E2BIG,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
