package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/allcores/allcores/static"
)

// verbs are those of the Python client's command line, which this program has too.
var verbs = []string{"map", "run", "watch", "results", "logs", "cancel", "retry", "jobs"}

// execClient becomes the Python client's command line if the arguments begin with one
// of its verbs. Then it returns only with an error.
func execClient(args []string) error {
	if len(args) == 0 || !slices.Contains(verbs, args[0]) {
		return nil
	}
	python, err := osexec.LookPath("python3")
	if err != nil {
		return fmt.Errorf("%s needs python3, which runs the client: %w", args[0], err)
	}
	file, err := clientFile()
	if err != nil {
		return fmt.Errorf("place the Python client: %w", err)
	}
	return syscall.Exec(python, append([]string{python, file}, args...), append(os.Environ(), "ALLCORES_COMMAND="+os.Args[0]))
}

// clientFile returns the path of the client's file, which it writes into the user's
// cache unless it is there. Its directory is named by its hash.
func clientFile() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(static.PythonClient())
	dir := filepath.Join(cache, "allcores", hex.EncodeToString(sum[:8]))
	file := filepath.Join(dir, "allcores.py")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	whole, err := os.CreateTemp(dir, "client")
	if err != nil {
		return "", err
	}
	defer os.Remove(whole.Name())
	_, err = whole.Write(static.PythonClient())
	if closeErr := whole.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(whole.Name(), file)
	}
	return file, err
}
