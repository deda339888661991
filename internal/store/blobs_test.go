package store_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// noise returns n bytes that a seed determines, and their hash.
func noise(seed uint64, n int) ([]byte, jobs.BlobHash) {
	data := make([]byte, n)
	var key [32]byte
	key[0] = byte(seed)
	rand.NewChaCha8(key).Read(data)
	return data, sha256.Sum256(data)
}

func putBlob(t *testing.T, s *store.Store, u *jobs.User, job string, data []byte) (jobs.BlobHash, bool) {
	t.Helper()
	hash := jobs.BlobHash(sha256.Sum256(data))
	created, err := s.PutBlob(t.Context(), store.BlobUpload{Hash: hash, User: u.ID, Job: job, Body: bytes.NewReader(data)})
	if err != nil {
		t.Fatal(err)
	}
	return hash, created
}

// blobRows counts the rows of blobs and of their parts.
func blobRows(t *testing.T, s *store.Store) (blobs, parts int) {
	t.Helper()
	err := s.Pool.QueryRow(t.Context(), `select (select count(*) from blobs), (select count(*) from blob_parts)`).Scan(&blobs, &parts)
	if err != nil {
		t.Fatal(err)
	}
	return blobs, parts
}

func TestBlobsComeBack(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	for i, size := range []int{0, 1, 1 << 20, 1<<20 + 1, 5<<20 + 7} {
		data, _ := noise(uint64(i), size)
		hash, created := putBlob(t, s, admin, "", data)
		if _, again := putBlob(t, s, admin, "", data); !created || again {
			t.Errorf("%d bytes: created %t, again %t", size, created, again)
		}
		b, err := s.Blob(t.Context(), store.As(admin), hash)
		if err != nil || b.Size != int64(size) {
			t.Fatalf("%d bytes: %+v %v", size, b, err)
		}
		var got bytes.Buffer
		if err := s.CopyBlob(t.Context(), &got, b); err != nil || !bytes.Equal(got.Bytes(), data) {
			t.Errorf("%d bytes come back as %d: %v", size, got.Len(), err)
		}
	}
}

// broken is a reader that fails after some bytes.
type broken struct {
	io.Reader
	err error
}

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = b.err
	}
	return n, err
}

func TestBadUploadsLeaveNothing(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	cut := errors.New("cut")
	for _, size := range []int{100, 3 << 20} {
		data, hash := noise(9, size)
		_, err := s.PutBlob(t.Context(), store.BlobUpload{Hash: hash, User: admin.ID, Body: broken{bytes.NewReader(data), cut}})
		if !errors.Is(err, cut) {
			t.Errorf("an interrupted upload of %d bytes: %v", size, err)
		}
		data[0]++
		var mismatch *jobs.BlobMismatch
		_, err = s.PutBlob(t.Context(), store.BlobUpload{Hash: hash, User: admin.ID, Body: bytes.NewReader(data)})
		if !errors.As(err, &mismatch) || mismatch.Named != hash || mismatch.Got != sha256.Sum256(data) {
			t.Errorf("other bytes: %v", err)
		}
		_, err = s.PutBlob(t.Context(), store.BlobUpload{Hash: sha256.Sum256(data), User: admin.ID, Job: store.NewID(), Body: bytes.NewReader(data)})
		if !errors.Is(err, jobs.ErrNotFound) {
			t.Errorf("for a job that does not exist: %v", err)
		}
	}
	if blobs, parts := blobRows(t, s); blobs != 0 || parts != 0 {
		t.Errorf("%d blobs and %d parts are left", blobs, parts)
	}
}

func TestUploadsOfOneBlobAtOnceAreOne(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	data, hash := noise(3, 2<<20)
	var uploads sync.WaitGroup
	var created atomic.Int32
	for range 6 {
		uploads.Go(func() {
			made, err := s.PutBlob(t.Context(), store.BlobUpload{Hash: hash, User: admin.ID, Body: bytes.NewReader(data)})
			if err != nil {
				t.Error(err)
			}
			if made {
				created.Add(1)
			}
		})
	}
	uploads.Wait()
	if blobs, parts := blobRows(t, s); created.Load() != 1 || blobs != 1 || parts != 2 {
		t.Errorf("created %d times: %d blobs, %d parts", created.Load(), blobs, parts)
	}
}

// sweep sweeps until nothing is due, and returns the number of blobs that are left.
func sweep(t *testing.T, s *store.Store) int {
	t.Helper()
	for {
		n, err := s.SweepBlobs(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	blobs, parts := blobRows(t, s)
	if blobs == 0 && parts != 0 {
		t.Errorf("%d parts are left of no blob", parts)
	}
	return blobs
}

// age lets the time of grace of all uploads pass.
func age(t *testing.T, s *store.Store) {
	t.Helper()
	_, err := s.Pool.Exec(t.Context(), `with u as (update blob_uploads set until = now()) update blobs set check_at = now() where check_at is not null`)
	if err != nil {
		t.Fatal(err)
	}
}

func TestBlobsStayWhileSomethingNeedsThem(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	data, _ := noise(1, 10)
	loose, _ := putBlob(t, s, admin, "", data)
	first := insert(t, s, admin, pythonSpec(rangeOf(0)))
	second := insert(t, s, admin, pythonSpec(rangeOf(0)))
	data, _ = noise(2, 10)
	used, _ := putBlob(t, s, admin, first, data)
	_, unknown := noise(3, 10)
	missing, err := s.ReferenceBlobs(t.Context(), store.As(admin), second, []jobs.BlobHash{unknown, used})
	if err != nil || !slices.Equal(missing, []jobs.BlobHash{unknown}) {
		t.Fatalf("missing %v: %v", missing, err)
	}
	if n := sweep(t, s); n != 2 {
		t.Errorf("%d blobs stay within the time of grace, want 2", n)
	}
	age(t, s)
	if n := sweep(t, s); n != 1 {
		t.Errorf("%d blobs stay after it, want the one that jobs use", n)
	}
	if _, err := s.Blob(t.Context(), store.As(admin), loose); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("the other one: %v", err)
	}
	for i, job := range []string{first, second} {
		if err := s.DeleteJob(t.Context(), store.As(admin), job); err != nil {
			t.Fatal(err)
		}
		if n := sweep(t, s); n != 1-i {
			t.Errorf("%d blobs stay after %d of 2 jobs were deleted", n, i+1)
		}
	}
}

func TestCopiesOfAJobKeepItsBlobs(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	items := jobs.Inputs{Items: []json.RawMessage{json.RawMessage("1")}}
	from := insert(t, s, admin, pythonSpec(items))
	data, _ := noise(1, 10)
	hash, _ := putBlob(t, s, admin, from, data)
	spec := pythonSpec(jobs.Inputs{Stored: &jobs.Stored{Kind: "items", Count: 1, From: from}})
	again := insert(t, s, admin, spec)
	if _, err := s.BlobOf(t.Context(), again, store.NewID(), hash); err != nil {
		t.Errorf("the copy's tasks: %v", err)
	}
}

func TestBlobsOfOthersAreNotFound(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	other := otherUser(t, s)
	mine := insert(t, s, admin, pythonSpec(rangeOf(0)))
	theirs := insert(t, s, other, pythonSpec(rangeOf(0)))
	data, _ := noise(1, 10)
	hash, _ := putBlob(t, s, admin, mine, data)
	if _, err := s.Blob(t.Context(), store.As(other), hash); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("another user reads it: %v", err)
	}
	if _, err := s.BlobOf(t.Context(), theirs, other.ID, hash); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("another user's task reads it: %v", err)
	}
	if missing, err := s.ReferenceBlobs(t.Context(), store.As(other), theirs, []jobs.BlobHash{hash}); err != nil || len(missing) != 1 {
		t.Errorf("another user's job gets it: missing %v, %v", missing, err)
	}
	if _, err := s.ReferenceBlobs(t.Context(), store.As(other), mine, nil); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("another user changes the job: %v", err)
	}
	// A user who has the bytes may use them.
	if _, created := putBlob(t, s, other, "", data); created {
		t.Error("the same bytes are stored twice")
	}
	if _, err := s.Blob(t.Context(), store.As(other), hash); err != nil {
		t.Errorf("a user that uploaded it: %v", err)
	}
}

// otherUser adds a user who sees only their own jobs.
func otherUser(t *testing.T, s *store.Store) *jobs.User {
	t.Helper()
	u := &jobs.User{ID: store.NewID(), Name: "other", Role: jobs.Submitter}
	_, err := s.Pool.Exec(t.Context(), `insert into users (id, name, role) values ($1, 'other', $2)`, u.ID, u.Role)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
