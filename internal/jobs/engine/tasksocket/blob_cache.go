package tasksocket

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/allcores/allcores/internal/jobs"
)

const (
	// cacheSize bounds the blobs kept on the node's disk, in bytes.
	cacheSize = 2 << 30
	// cacheShare is the share of the disk's free room that they may take.
	cacheShare = 4
)

// errUncached reports that a blob has no room in the cache.
var errUncached = errors.New("the blob has no room in the cache")

// A blobCache keeps blobs that tasks of the node have read, as files, and forgets
// those that were not read for the longest time. Tasks that want one that is on its
// way wait for it, so that it is fetched once.
type blobCache struct {
	dir string

	mu       sync.Mutex
	size     int64
	kept     map[jobs.BlobHash]*list.Element
	byUse    *list.List                      // of cached, the last used first
	fetching map[jobs.BlobHash]chan struct{} // closed when the fetch has ended
}

type cached struct {
	hash jobs.BlobHash
	size int64
}

func newBlobCache(dir string) (*blobCache, error) {
	dir, err := os.MkdirTemp(dir, "blobs")
	if err != nil {
		return nil, fmt.Errorf("make cache of blobs: %w", err)
	}
	return &blobCache{
		dir: dir, kept: make(map[jobs.BlobHash]*list.Element), byUse: list.New(),
		fetching: make(map[jobs.BlobHash]chan struct{}),
	}, nil
}

// close removes the files. Those that are open stay until they are closed.
func (c *blobCache) close() { os.RemoveAll(c.dir) }

// open opens a blob's file. Where the blob is not kept, fetch writes it. The error is
// errUncached, that of fetch, or of ctx.
func (c *blobCache) open(ctx context.Context, hash jobs.BlobHash, size int64, fetch func(io.Writer) error) (*os.File, error) {
	if size > cacheSize/2 {
		return nil, errUncached
	}
	for {
		file, wait := c.find(hash)
		switch {
		case file != nil:
			return file, nil
		case wait == nil:
			return c.fetch(hash, size, fetch)
		}
		select {
		case <-wait: // if that fetch failed, another one is tried
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// find opens a kept blob, or returns what the caller must wait for. With neither, the
// caller must call fetch.
func (c *blobCache) find(hash jobs.BlobHash) (*os.File, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.kept[hash]; e != nil {
		if file, err := os.Open(c.path(hash)); err == nil {
			c.byUse.MoveToFront(e)
			return file, nil
		}
		c.forget(e) // something removed it
	}
	if wait := c.fetching[hash]; wait != nil {
		return nil, wait
	}
	c.fetching[hash] = make(chan struct{})
	return nil, nil
}

func (c *blobCache) path(hash jobs.BlobHash) string { return filepath.Join(c.dir, hash.String()) }

// fetch writes a blob into a file and keeps it.
func (c *blobCache) fetch(hash jobs.BlobHash, size int64, write func(io.Writer) error) (file *os.File, err error) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		close(c.fetching[hash])
		delete(c.fetching, hash)
	}()
	if !c.makeRoom(size) {
		return nil, errUncached
	}
	file, err = os.CreateTemp(c.dir, "")
	if err != nil {
		return nil, errUncached
	}
	disk := &diskWriter{file: file}
	if err = write(disk); err == nil && disk.err == nil {
		if _, err = file.Seek(0, io.SeekStart); err == nil {
			err = os.Rename(file.Name(), c.path(hash))
		}
		if err == nil {
			c.keep(hash, size)
			return file, nil
		}
		disk.err = err
	}
	file.Close()
	os.Remove(file.Name())
	if disk.err != nil {
		return nil, errUncached
	}
	return nil, err
}

// A diskWriter keeps errors of the disk apart from those of what writes to it.
type diskWriter struct {
	file *os.File
	err  error
}

func (w *diskWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

func (c *blobCache) keep(hash jobs.BlobHash, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept[hash] = c.byUse.PushFront(cached{hash, size})
	c.size += size
}

// makeRoom removes the blobs used least lately until one of that size has room, and
// reports whether it has.
func (c *blobCache) makeRoom(size int64) bool {
	var disk syscall.Statfs_t
	free := int64(0)
	if err := syscall.Statfs(c.dir, &disk); err == nil {
		free = int64(disk.Bavail) * int64(disk.Bsize)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	most := min(cacheSize, (free+c.size)/cacheShare)
	for c.size+size > most && c.byUse.Len() > 0 {
		c.forget(c.byUse.Back())
	}
	return c.size+size <= most
}

// forget removes a kept blob. mu must be held.
func (c *blobCache) forget(e *list.Element) {
	b := c.byUse.Remove(e).(cached)
	delete(c.kept, b.hash)
	c.size -= b.size
	os.Remove(c.path(b.hash))
}
