package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

const (
	// blobPart is how many bytes of a blob a row has.
	blobPart = 1 << 20
	// BlobGrace is how long a blob stays that no job references.
	BlobGrace = time.Hour
)

// A BlobUpload is a blob to be stored.
type BlobUpload struct {
	Hash jobs.BlobHash
	User string    // who may use it before a job references it; empty for nobody
	Job  string    // that references it; empty for none
	Body io.Reader // its bytes
}

// PutBlob reads a blob and stores it, or finds that it is stored already. It reads the
// body to its end either way and checks the hash. The error is a *jobs.BlobMismatch,
// jobs.ErrBlobTooLarge, jobs.ErrNotFound where the job does not exist, or the body's.
//
// Bytes up to one part are read into memory, more into a file without a name, so that
// neither a slow client holds a transaction nor an interrupted upload leaves
// anything.
func (s *Store) PutBlob(ctx context.Context, u BlobUpload) (created bool, err error) {
	spooled, err := spoolBlob(u.Body)
	if err != nil {
		return false, err
	}
	defer spooled.close()
	if spooled.hash != u.Hash {
		return false, &jobs.BlobMismatch{Named: u.Hash, Got: spooled.hash}
	}
	put := func(tx pgx.Tx) error {
		created, err = putBlob(ctx, tx, u, spooled)
		return err
	}
	run := s.Tx
	if spooled.file != nil {
		run = s.streamTx
	}
	for {
		if err := run(ctx, put); !errors.Is(err, errCollected) {
			return created, err
		}
	}
}

// errCollected reports that a known blob was collected while its upload looked for it.
var errCollected = errors.New("the blob was just collected")

// putBlob inserts a blob unless it exists, and what keeps it. Another transaction that
// inserts the same one is waited for.
func putBlob(ctx context.Context, tx pgx.Tx, u BlobUpload, spooled *spool) (created bool, err error) {
	var id int64
	err = tx.QueryRow(ctx, `
		insert into blobs (sha256, size, check_at) values ($1, $2, now() + $3)
		on conflict (sha256) do nothing returning id`, u.Hash[:], spooled.size, BlobGrace).Scan(&id)
	switch {
	case err == nil:
		created = true
		if err := spooled.insert(ctx, tx, id); err != nil {
			return false, err
		}
	case !errors.Is(err, pgx.ErrNoRows):
		return false, wrap("insert blob", err)
	default:
		err = tx.QueryRow(ctx, `select id from blobs where sha256 = $1 for key share`, u.Hash[:]).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return false, errCollected
		}
		if err != nil {
			return false, wrap("read blob", err)
		}
	}
	return created, keepBlob(ctx, tx, u, id)
}

// keepBlob writes what keeps an uploaded blob: the reference of its job, else a time
// for its user.
func keepBlob(ctx context.Context, tx pgx.Tx, u BlobUpload, id int64) error {
	if u.Job != "" {
		return referenceBlobs(ctx, tx, u.Job, u.User, []int64{id})
	}
	if u.User == "" {
		return nil
	}
	var b pgx.Batch
	b.Queue(`
		insert into blob_uploads (blob_id, user_id, until) values ($1, $2, now() + $3)
		on conflict (blob_id, user_id) do update set until = excluded.until`, id, u.User, BlobGrace)
	b.Queue(`update blobs set check_at = now() + $2 where id = $1`, id, BlobGrace)
	return wrap("keep blob", tx.SendBatch(ctx, &b).Close())
}

// A spool holds the bytes of an upload: in memory up to one part, else in a file that
// has no name any more.
type spool struct {
	hash jobs.BlobHash
	size int64
	head []byte   // all bytes, where there is no file
	file *os.File // nil where they fit in head
}

// spoolBlob reads a body to its end.
func spoolBlob(body io.Reader) (*spool, error) {
	sum := sha256.New()
	body = io.TeeReader(io.LimitReader(body, jobs.MaxBlob+1), sum)
	var head bytes.Buffer
	size, err := io.CopyN(&head, body, blobPart+1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	p := &spool{size: size, head: head.Bytes()}
	if size > blobPart {
		if err := p.toFile(body); err != nil {
			p.close()
			return nil, err
		}
	}
	if p.size > jobs.MaxBlob {
		p.close()
		return nil, jobs.ErrBlobTooLarge
	}
	sum.Sum(p.hash[:0])
	return p, nil
}

// toFile moves what was read into a file, and reads the rest into it.
func (p *spool) toFile(rest io.Reader) error {
	file, err := os.CreateTemp("", "allcores-blob-")
	if err != nil {
		return fmt.Errorf("spool blob: %w", err)
	}
	p.file = file
	if err := os.Remove(file.Name()); err != nil {
		return fmt.Errorf("spool blob: %w", err)
	}
	if _, err := file.Write(p.head); err != nil {
		return fmt.Errorf("spool blob: %w", err)
	}
	p.head = nil
	n, err := io.Copy(file, rest)
	p.size += n
	return err // mostly the body's
}

func (p *spool) close() {
	if p.file != nil {
		p.file.Close()
	}
}

// insert writes the bytes as parts of a blob.
func (p *spool) insert(ctx context.Context, tx pgx.Tx, id int64) error {
	if p.file == nil {
		_, err := tx.Exec(ctx, `insert into blob_parts (blob_id, part, data) values ($1, 0, $2)`, id, p.head)
		return wrap("insert blob", err)
	}
	parts := &blobParts{spool: p, id: id, data: make([]byte, blobPart)}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"blob_parts"}, []string{"blob_id", "part", "data"}, parts)
	return wrap("insert blob", err)
}

// blobParts are the rows of a spooled blob. It implements pgx.CopyFromSource.
type blobParts struct {
	*spool
	id   int64
	part int
	data []byte
	n    int
	err  error
}

func (p *blobParts) Next() bool {
	at := int64(p.part) * blobPart
	if at >= p.size {
		return false
	}
	p.n, p.err = p.file.ReadAt(p.data[:min(blobPart, p.size-at)], at)
	if errors.Is(p.err, io.EOF) && int64(p.n) == p.size-at {
		p.err = nil
	}
	p.part++
	return p.err == nil
}

func (p *blobParts) Values() ([]any, error) { return []any{p.id, p.part - 1, p.data[:p.n]}, nil }

func (p *blobParts) Err() error { return p.err }
