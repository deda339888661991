package store

import (
	"context"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// A Blob is a stored blob. Its bytes are those of its hash, whenever they are read.
type Blob struct {
	Hash jobs.BlobHash
	Size int64
	id   int64
}

// Blob finds a blob that the viewer may use: one that a job of theirs references, or
// that they uploaded within BlobGrace. The error is jobs.ErrNotFound for any other.
func (s *Store) Blob(ctx context.Context, v Viewer, hash jobs.BlobHash) (Blob, error) {
	b := Blob{Hash: hash}
	err := s.Pool.QueryRow(ctx, `
		select b.id, b.size from blobs b where b.sha256 = $1 and ($2 or `+usable+`)`,
		hash[:], v.All, v.UserID).Scan(&b.id, &b.Size)
	return b, wrap("find blob", err)
}

// usable is whether user $3 may use blob b.
const usable = `(
	exists (select from blob_uploads u where u.blob_id = b.id and u.user_id = $3 and u.until > now())
	or exists (select from blob_refs r join jobs j on j.id = r.job_id where r.blob_id = b.id and j.owner_id = $3))`

// BlobOf finds a blob for a job's tasks: one that the job references, or that its owner
// may use. The error is jobs.ErrNotFound for any other.
func (s *Store) BlobOf(ctx context.Context, job, owner string, hash jobs.BlobHash) (Blob, error) {
	b := Blob{Hash: hash}
	err := s.Pool.QueryRow(ctx, `
		select b.id, b.size from blobs b
		where b.sha256 = $1 and (exists (select from blob_refs r where r.blob_id = b.id and r.job_id = $2) or `+usable+`)`,
		hash[:], job, owner).Scan(&b.id, &b.Size)
	return b, wrap("find blob", err)
}

// readParts is how many parts of a blob one statement reads.
const readParts = 4

// CopyBlob writes the bytes of a blob to w. It reads a few MiB at a time, so that a
// slow reader holds no connection to the database. The error is jobs.ErrNotFound where
// the blob was deleted meanwhile.
func (s *Store) CopyBlob(ctx context.Context, w io.Writer, b Blob) error {
	var left = b.Size
	for part := 0; left > 0; part += readParts {
		rows, err := s.Pool.Query(ctx, `
			select data from blob_parts where blob_id = $1 and part >= $2 and part < $2 + $3 order by part`, b.id, part, readParts)
		if err != nil {
			return wrap("read blob", err)
		}
		read, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
		if err != nil {
			return wrap("read blob", err)
		}
		if len(read) == 0 {
			return fmt.Errorf("read blob: part %d: %w", part, jobs.ErrNotFound)
		}
		for _, data := range read {
			if _, err := w.Write(data); err != nil {
				return err
			}
			left -= int64(len(data))
		}
	}
	return nil
}

// ReferenceBlobs references blobs from a job that the viewer may change, and returns
// those that do not exist, or that the viewer may not use, in the order of hashes.
func (s *Store) ReferenceBlobs(ctx context.Context, v Viewer, job string, hashes []jobs.BlobHash) (missing []jobs.BlobHash, err error) {
	if v.ReadOnly {
		return nil, fmt.Errorf("reference blobs: %w", jobs.ErrForbidden)
	}
	given := make([][]byte, len(hashes))
	for i := range hashes {
		given[i] = hashes[i][:]
	}
	err = s.Tx(ctx, func(tx pgx.Tx) error {
		if _, err := jobState(ctx, tx, v, job); err != nil {
			return err
		}
		// The locks, in one order, keep the blobs from being collected meanwhile.
		rows, err := tx.Query(ctx, `
			select b.id, b.sha256 from blobs b where b.sha256 = any($1) and ($2 or `+usable+`)
			order by b.id for key share of b`, given, v.All, v.UserID)
		if err != nil {
			return wrap("find blobs", err)
		}
		known := make(map[jobs.BlobHash]bool, len(hashes))
		var ids []int64
		for rows.Next() {
			var id int64
			var hash []byte
			if err := rows.Scan(&id, &hash); err != nil {
				return wrap("find blobs", err)
			}
			known[jobs.BlobHash(hash)] = true
			ids = append(ids, id)
		}
		if err := rows.Err(); err != nil {
			return wrap("find blobs", err)
		}
		for _, hash := range hashes {
			if !known[hash] {
				missing = append(missing, hash)
			}
		}
		return referenceBlobs(ctx, tx, job, v.UserID, ids)
	})
	return missing, err
}

// referenceBlobs references blobs, which the transaction holds, from a job. From now on
// the job keeps them, rather than their upload by the user.
func referenceBlobs(ctx context.Context, tx pgx.Tx, job, user string, ids []int64) error {
	var b pgx.Batch
	b.Queue(`
		insert into blob_refs (job_id, blob_id) select j.id, b from jobs j, unnest($2::bigint[]) b where j.id = $1
		on conflict do nothing`, job, ids)
	b.Queue(`delete from blob_uploads where blob_id = any($1) and user_id::text = $2`, ids, user)
	b.Queue(`select from jobs where id = $1`, job).QueryRow(func(row pgx.Row) error { return row.Scan() })
	return wrap("reference blobs", tx.SendBatch(ctx, &b).Close())
}

// addBlobRefs adds the statement that references from a new job the blobs of the job
// that its inputs are copied from.
func addBlobRefs(b *pgx.Batch, job, from string) {
	b.Queue(`
		insert into blob_refs (job_id, blob_id) select $1, blob_id from blob_refs where job_id = $2
		on conflict do nothing`, job, from)
}

// releaseBlobs adds the statements that remove the references of jobs, and have the
// next sweep look whether anything else needs the blobs.
func releaseBlobs(b *pgx.Batch, jobs []string) {
	b.Queue(`
		update blobs set check_at = now()
		where id in (
			select id from blobs where id in (select blob_id from blob_refs where job_id = any($1))
				and (check_at is null or check_at > now())
			order by id for update)`, jobs)
	b.Queue(`delete from blob_refs where job_id = any($1)`, jobs)
}

// SweepBlobs deletes at most limit blobs that no job references and no upload keeps, and
// returns how many it looked at.
func (s *Store) SweepBlobs(ctx context.Context, limit int) (n int, err error) {
	err = s.Tx(ctx, func(tx pgx.Tx) error {
		// The lock waits for nobody, and lets no reference be added meanwhile.
		rows, err := tx.Query(ctx, `
			select id from blobs where check_at <= now() order by check_at limit $1 for update skip locked`, limit)
		if err != nil {
			return wrap("find unused blobs", err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return wrap("find unused blobs", err)
		}
		if n = len(ids); n == 0 {
			return nil
		}
		var b pgx.Batch
		b.Queue(`delete from blob_uploads where blob_id = any($1) and until <= now()`, ids)
		b.Queue(`
			delete from blobs b where id = any($1)
				and not exists (select from blob_refs r where r.blob_id = b.id)
				and not exists (select from blob_uploads u where u.blob_id = b.id)`, ids)
		b.Queue(`update blobs b set check_at = (select max(until) from blob_uploads u where u.blob_id = b.id) where id = any($1)`, ids)
		return wrap("delete unused blobs", tx.SendBatch(ctx, &b).Close())
	})
	return n, err
}
