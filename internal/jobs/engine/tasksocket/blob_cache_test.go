package tasksocket

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
)

func newCache(t *testing.T) *blobCache {
	t.Helper()
	c, err := newBlobCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func readAll(t *testing.T, file *os.File) string {
	t.Helper()
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestBlobIsFetchedOnce(t *testing.T) {
	c := newCache(t)
	var fetches atomic.Int32
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			file, err := c.open(t.Context(), jobs.BlobHash{1}, 4, func(w io.Writer) error {
				fetches.Add(1)
				_, err := io.WriteString(w, "text")
				return err
			})
			if err != nil {
				t.Error(err)
				return
			}
			if got := readAll(t, file); got != "text" {
				t.Errorf("read %q", got)
			}
		})
	}
	readers.Wait()
	if got := fetches.Load(); got != 1 {
		t.Errorf("fetched %d times", got)
	}
}

func TestFailedFetchIsTriedAgain(t *testing.T) {
	c := newCache(t)
	broken := errors.New("broken")
	if _, err := c.open(t.Context(), jobs.BlobHash{1}, 4, func(w io.Writer) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	file, err := c.open(t.Context(), jobs.BlobHash{1}, 4, func(w io.Writer) error { _, err := io.WriteString(w, "text"); return err })
	if err != nil || readAll(t, file) != "text" {
		t.Errorf("again: %v", err)
	}
	files, err := os.ReadDir(c.dir)
	if err != nil || len(files) != 1 {
		t.Errorf("%d files are left: %v", len(files), err)
	}
}

func TestWaitForAFetchEndsWithItsContext(t *testing.T) {
	c := newCache(t)
	if _, wait := c.find(jobs.BlobHash{1}); wait != nil {
		t.Fatal("something is on its way")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.open(ctx, jobs.BlobHash{1}, 4, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestCacheForgetsWhatWasUsedLeastLately(t *testing.T) {
	c := newCache(t)
	put := func(n byte) {
		file, err := c.open(t.Context(), jobs.BlobHash{n}, 4, func(w io.Writer) error { _, err := io.WriteString(w, strings.Repeat("x", 4)); return err })
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	put(1)
	put(2)
	put(1)
	c.mu.Lock()
	c.size += cacheSize - 8 // as if large ones were kept too
	c.mu.Unlock()
	put(3)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept[jobs.BlobHash{2}] != nil || c.kept[jobs.BlobHash{3}] == nil {
		t.Errorf("%d are kept", len(c.kept))
	}
	if _, err := os.Stat(c.path(jobs.BlobHash{2})); !os.IsNotExist(err) {
		t.Errorf("the file of a forgotten one: %v", err)
	}
}

func TestLargeBlobsAreNotKept(t *testing.T) {
	c := newCache(t)
	if _, err := c.open(t.Context(), jobs.BlobHash{1}, cacheSize/2+1, nil); !errors.Is(err, errUncached) {
		t.Errorf("got %v", err)
	}
}
