package tasksocket

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// blobs serves blobs to tasks, from a cache on the node's disk.
type blobs struct {
	store *store.Store
	cache *blobCache // from Start to Close of the server
}

// ServeBlobs adds the paths /KEY/blobs/SHA256 and /KEY/tasks/INDEX/blobs/SHA256. It must
// be called before Start.
func (s *Server) ServeBlobs(db *store.Store) {
	b := &blobs{store: db}
	s.blobs = b
	s.HandleSession("blobs", b.serve)
	s.Handle("blobs", func(w http.ResponseWriter, r *http.Request, x Execution, rest string) error {
		return b.serve(w, r, x.Session, rest)
	})
}

func (b *blobs) serve(w http.ResponseWriter, r *http.Request, x *Session, rest string) error {
	hash, ok := jobs.ParseBlobHash(rest)
	if !ok {
		return &Problem{http.StatusUnprocessableEntity, "A blob's name is the SHA-256 of its bytes, as 64 lower-case hexadecimal digits."}
	}
	switch r.Method {
	case http.MethodPut:
		return b.put(w, r, x, hash)
	case http.MethodGet, http.MethodHead:
		return b.get(w, r, x, hash)
	}
	w.Header().Set("Allow", "GET, HEAD, PUT")
	return &Problem{http.StatusMethodNotAllowed, "Only GET, HEAD and PUT."}
}

// put stores a blob and references it from the session's job.
func (b *blobs) put(w http.ResponseWriter, r *http.Request, x *Session, hash jobs.BlobHash) error {
	created, err := b.store.PutBlob(r.Context(), store.BlobUpload{Hash: hash, User: x.Owner, Job: x.Job, Body: r.Body})
	var mismatch *jobs.BlobMismatch
	switch {
	case errors.As(err, &mismatch):
		return &Problem{http.StatusUnprocessableEntity, "The body has the SHA-256 " + mismatch.Got.String() + ", not " + hash.String() + "."}
	case errors.Is(err, jobs.ErrBlobTooLarge):
		return &Problem{http.StatusRequestEntityTooLarge, "A blob has at most 1 GiB."}
	case errors.Is(err, jobs.ErrNotFound):
		return &Problem{http.StatusGone, "The job was deleted."}
	case err != nil:
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	if created {
		w.WriteHeader(http.StatusCreated)
	}
	return json.NewEncoder(w).Encode(map[string]string{"sha256": hash.String()})
}

// get sends a blob that the job or its owner may use.
func (b *blobs) get(w http.ResponseWriter, r *http.Request, x *Session, hash jobs.BlobHash) error {
	blob, err := b.store.BlobOf(r.Context(), x.Job, x.Owner, hash)
	if errors.Is(err, jobs.ErrNotFound) {
		return &Problem{http.StatusNotFound, "There is no blob " + hash.String() + " that this job may use."}
	}
	if err != nil {
		return err
	}
	begin := func() {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(blob.Size, 10))
	}
	if r.Method == http.MethodHead {
		begin()
		return nil
	}
	file, err := b.open(r.Context(), blob)
	if errors.Is(err, errUncached) {
		begin()
		return cut(b.store.CopyBlob(r.Context(), w, blob))
	}
	if err != nil {
		return err
	}
	defer file.Close()
	begin()
	_, err = io.Copy(w, file)
	return cut(err)
}

func (b *blobs) open(ctx context.Context, blob store.Blob) (io.ReadCloser, error) {
	file, err := b.cache.open(ctx, blob.Hash, blob.Size, func(w io.Writer) error { return b.store.CopyBlob(ctx, w, blob) })
	if err != nil {
		return nil, err
	}
	return file, nil
}

// cut breaks the connection after an error in the middle of an answer, so that the task
// cannot take a part for the whole.
func cut(err error) error {
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}
