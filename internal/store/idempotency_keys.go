package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
)

// ErrKeyReused is returned for an idempotency key that another request has taken.
var ErrKeyReused = errors.New("the idempotency key was used with another request")

// A Key makes a request repeatable: the same key of the same user with the same
// request is one request, for 24 hours.
type Key struct {
	UserID  string
	Key     string
	Request []byte // hash of the request

	// Replayed is set by the call that takes the key when an equal request had taken
	// it before: nothing was done now.
	Replayed bool
}

// Replays reports whether k is not nil and an equal request had taken it.
func (k *Key) Replays() bool { return k != nil && k.Replayed }

// replay sets Replayed when an equal request had taken the key. It returns
// ErrKeyReused when another one had.
func (k *Key) replay(t *taken) error {
	if !bytes.Equal(t.hash, k.Request) {
		return ErrKeyReused
	}
	k.Replayed = true
	return nil
}

// A taken is a stored key: the request that took it and its answer.
type taken struct {
	job          string
	hash         []byte
	first, count int64 // of what was appended, or 0
	answer       []byte
}

// readKey reads a stored key. It returns nil when the key is free.
func readKey(ctx context.Context, q querier, k Key) (*taken, error) {
	t := new(taken)
	err := q.QueryRow(ctx, `
		select job_id, request_hash, coalesce(first, 0), coalesce(count, 0), answer from idempotency_keys
		where user_id = $1 and key = $2 and created_at >= now() - interval '24 hours'`, k.UserID, k.Key).
		Scan(&t.job, &t.hash, &t.first, &t.count, &t.answer)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return t, wrap("read key", err)
}

// ForgetKeys deletes at most limit expired keys and returns their number.
func (s *Store) ForgetKeys(ctx context.Context, limit int) (int, error) {
	tag, err := s.Pool.Exec(ctx, `
		delete from idempotency_keys where (user_id, key) in (
			select user_id, key from idempotency_keys where created_at < now() - interval '24 hours'
			order by created_at limit $1 for update skip locked)`, limit)
	return int(tag.RowsAffected()), wrap("forget keys", err)
}

// KeyedJob returns the job for which an equal request took the key, and sets Replayed;
// it returns "" when none did.
func (s *Store) KeyedJob(ctx context.Context, k *Key) (job string, err error) {
	t, err := readKey(ctx, s.Pool, *k)
	if err != nil || t == nil || k.replay(t) != nil { // another request has no answer to repeat
		return "", err
	}
	return t.job, nil
}

// ClaimKey takes the key for a job as part of tx, the transaction that performs the
// request. When an equal request has taken it already, ClaimKey sets k.Replayed and
// returns that request's job. The error is ErrKeyReused when another request has
// taken it.
func (s *Store) ClaimKey(ctx context.Context, tx pgx.Tx, k *Key, job string) (earlier string, err error) {
	t, err := claimKey(ctx, tx, *k, job)
	if err == nil && t != nil {
		err = k.replay(t)
	}
	if err != nil || t == nil {
		return "", err
	}
	return t.job, nil
}

// claimKey takes the key. It returns the stored key when it was taken before.
func claimKey(ctx context.Context, tx pgx.Tx, k Key, job string) (*taken, error) {
	_, err := tx.Exec(ctx, `delete from idempotency_keys where user_id = $1 and key = $2 and created_at < now() - interval '24 hours'`, k.UserID, k.Key)
	if err != nil {
		return nil, wrap("drop old key", err)
	}
	tag, err := tx.Exec(ctx, `
		insert into idempotency_keys (user_id, key, request_hash, job_id) values ($1, $2, $3, $4)
		on conflict (user_id, key) do nothing`, k.UserID, k.Key, k.Request, job)
	if err != nil || tag.RowsAffected() > 0 {
		return nil, wrap("claim key", err)
	}
	return readKey(ctx, tx, k)
}

// A Kept is the answer that a key keeps for a deleted job.
type Kept struct {
	Job          *jobs.Job // as it was last
	First, Count int64     // of what was appended, or 0
}

// KeptAnswer reads the answer to an equal request that took the key and whose job was
// deleted since, and sets Replayed. It returns nil when no answer is kept. The error is
// ErrKeyReused when another request has taken the key.
func (s *Store) KeptAnswer(ctx context.Context, k *Key) (*Kept, error) {
	t, err := readKey(ctx, s.Pool, *k)
	if err != nil || t == nil || t.answer == nil {
		return nil, err
	}
	if err := k.replay(t); err != nil {
		return nil, err
	}
	kept := &Kept{First: t.first, Count: t.count}
	if err := json.Unmarshal(t.answer, &kept.Job); err != nil {
		return nil, fmt.Errorf("decode the answer of a key: %w", err)
	}
	return kept, nil
}

// keepAnswers stores the answers of keys for jobs that tx deletes.
func keepAnswers(ctx context.Context, tx pgx.Tx, ids []string) error {
	rows, err := tx.Query(ctx, `select `+jobColumns+` from `+jobTables+`
		where j.id in (select job_id from idempotency_keys where job_id = any($1) and created_at >= now() - interval '24 hours')`, ids)
	if err != nil {
		return wrap("read jobs of keys", err)
	}
	kept, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*jobs.Job, error) { return scanJob(row) })
	if err != nil {
		return wrap("read jobs of keys", err)
	}
	var b pgx.Batch
	for _, job := range kept {
		answer, err := json.Marshal(job)
		if err != nil {
			return fmt.Errorf("encode job %s: %w", job.ID, err)
		}
		b.Queue(`update idempotency_keys set answer = $2 where job_id = $1`, job.ID, string(answer))
	}
	return wrap("keep answers of keys", tx.SendBatch(ctx, &b).Close())
}
