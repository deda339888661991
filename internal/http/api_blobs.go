package http

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/allcores/allcores/internal/http/live"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

const blobType = "application/octet-stream"

// BlobPath is the address of a blob.
type BlobPath struct {
	SHA256 string `path:"sha256" pattern:"^[0-9a-f]{64}$" patternDescription:"64 lower-case hexadecimal digits" doc:"The SHA-256 of the blob's bytes."`
}

// hash parses the path, which its pattern has checked.
func (p BlobPath) hash() jobs.BlobHash {
	hash, _ := jobs.ParseBlobHash(p.SHA256)
	return hash
}

type blobOutput struct {
	Status int
	Body   struct {
		SHA256 string `json:"sha256"`
	}
}

// putBlob stores the body under its hash. What is stored already is read and checked all
// the same, unless the client waits to be asked for it.
func (s *Site) putBlob(ctx context.Context, in *struct {
	BlobPath
	Job string `query:"job" doc:"Reference the blob from this job. Without one it is kept for an hour."`
}) (*blobOutput, error) {
	c := callOf(ctx)
	u := store.BlobUpload{Hash: in.hash(), User: c.user.ID, Body: c.r.Body}
	if in.Job != "" {
		job, err := s.one(ctx, in.Job)
		if err != nil {
			return nil, err
		}
		u.Job = job.ID
	}
	if c.r.ContentLength > jobs.MaxBlob {
		return nil, tooLarge(c.r.URL.Path, jobs.MaxBlob)
	}
	created, err := s.store.PutBlob(ctx, u)
	var mismatch *jobs.BlobMismatch
	switch {
	case errors.Is(err, jobs.ErrBlobTooLarge):
		return nil, tooLarge(c.r.URL.Path, jobs.MaxBlob)
	case errors.As(err, &mismatch):
		return nil, jobs.Invalid{{Location: "body", Message: "has the SHA-256 " + mismatch.Got.String() + ", not " + mismatch.Named.String() + " as the address says"}}
	case err != nil:
		return nil, err
	}
	out := &blobOutput{Status: http.StatusOK}
	if created {
		out.Status = http.StatusCreated
	}
	out.Body.SHA256 = in.SHA256
	return out, nil
}

// getBlob sends the bytes of a blob. The answer to HEAD has their number.
func (s *Site) getBlob(ctx context.Context, in *struct{ BlobPath }) (live.WriteFunc, error) {
	c := callOf(ctx)
	blob, err := s.store.Blob(ctx, store.As(c.user), in.hash())
	if err != nil {
		return nil, explained(err, jobs.ErrNotFound, "There is no such blob, or no job of yours uses it.")
	}
	return func(ctx context.Context, w *live.Writer) error {
		w.Header.Set("Content-Type", blobType)
		w.Header.Set("Content-Length", strconv.FormatInt(blob.Size, 10))
		w.Header.Set("ETag", `"`+in.SHA256+`"`)
		if c.r.Method == http.MethodHead {
			return nil
		}
		return s.store.CopyBlob(ctx, w, blob)
	}, nil
}

type referencesOutput struct {
	Body struct {
		Missing []string `json:"missing" nullable:"false" doc:"Those that the server does not have: upload them."`
	}
}

// referenceBlobs references blobs from a job, so that they are kept as long as the job.
func (s *Site) referenceBlobs(ctx context.Context, in *struct {
	JobPath
	Body struct {
		SHA256 []string `json:"sha256" nullable:"false" maxItems:"10000" doc:"SHA-256s of blobs; at most 10,000."`
	}
}) (*referencesOutput, error) {
	hashes := make([]jobs.BlobHash, 0, len(in.Body.SHA256))
	var found jobs.Invalid
	for i, text := range in.Body.SHA256 {
		hash, ok := jobs.ParseBlobHash(text)
		if !ok {
			found.Add(jobs.Violation{Location: fmt.Sprintf("body.sha256[%d]", i), Message: "must be 64 lower-case hexadecimal digits", Value: text})
		}
		hashes = append(hashes, hash)
	}
	if len(found) > 0 {
		return nil, found
	}
	missing, err := s.store.ReferenceBlobs(ctx, store.As(callOf(ctx).user), in.ID, hashes)
	if err != nil {
		return nil, err
	}
	out := new(referencesOutput)
	out.Body.Missing = make([]string, 0, len(missing))
	for _, hash := range missing {
		out.Body.Missing = append(out.Body.Missing, hash.String())
	}
	out.Body.Missing = slices.Compact(out.Body.Missing)
	return out, nil
}

// takesBlob reports whether the request's body is a blob, which has a bound of its own.
func takesBlob(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, apiPrefix+"/blobs/")
}

// documentBlobBody describes the body of putBlob, and its answer for a new blob.
func (a *api) documentBlobBody() {
	put := a.OpenAPI().Paths[apiPrefix+"/blobs/{sha256}"].Put
	put.Responses["201"] = &huma.Response{Description: "Created", Content: put.Responses["200"].Content}
	put.RequestBody = &huma.RequestBody{
		Required:    true,
		Description: "The bytes; at most 1 GiB, else the answer is 413.",
		Content:     map[string]*huma.MediaType{blobType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}
}
