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

// passed are the variables that a child gets from this program's environment,
// besides those that begin with LC_. It gets no other, such as DATABASE_URL and
// tokens.
var passed = []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"}

// poolSizes are the variables by which numerical libraries and runtimes size
// their own pools of threads or processes. Without them many libraries use every
// core of the machine in each process, and where tasks are not pinned all do.
var poolSizes = []string{
	"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
	"NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS", "VECLIB_MAXIMUM_THREADS",
	"RAYON_NUM_THREADS", "POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "JULIA_NUM_THREADS",
	"LOKY_MAX_CPU_COUNT", "GOMAXPROCS",
}

// hashSeed is the PYTHONHASHSEED of every child. With one seed all processes of a
// job, on every node, agree on hash() of text and on the order of sets. In return,
// hostile input can be made to collide; a program that reads such input sets
// PYTHONHASHSEED=random in its own environment.
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

// Environ returns the environment of a child: the passed variables, the number of
// cores as the size of libraries' thread pools, Python's hash seed, and the layers,
// where a later one wins.
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

// Path returns the PATH of a child whose program has that environment.
func Path(env map[string]string) string {
	if path, ok := env["PATH"]; ok {
		return path
	}
	return inherited()["PATH"]
}

// Look finds an executable: the file name when that is absolute, else one in the
// directories of path, which is the child's PATH rather than, as in os/exec, this
// program's. A child starts in an empty directory, so it finds neither a relative
// file nor one in a relative directory of path. The error is fs.ErrNotExist or
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
		case e != nil: // as if a directory that may not be entered were empty
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

// NotStarted reports whether an error of Start is of the executable itself, rather
// than of a machine without room for a process.
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
