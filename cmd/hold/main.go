// Command hold runs a command while it keeps the PostgreSQL of the tests
// running, and exits with the command's status:
//
//	hold go test ./...
//
// Without it the server stops whenever no test process uses it, and the next test
// process starts it again.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/allcores/allcores/internal/store/storetest"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: hold command [argument...]")
		os.Exit(2)
	}
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "hold:", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

func run(argv []string) (status int, err error) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)

	release, err := storetest.Hold(context.Background())
	if err != nil {
		return 1, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err = errors.Join(err, release(ctx))
	}()

	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// A group of its own: then every signal reaches the go command and all
	// test processes under it, and reaches them once.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			syscall.Kill(-cmd.Process.Pid, s.(syscall.Signal)) // fails only if all have ended
		case err := <-ended:
			if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
				return max(failed.ExitCode(), 1), nil // -1 stands for a signal
			}
			return 0, err
		}
	}
}
