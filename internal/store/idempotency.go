package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// A Key makes a submission repeatable: the same key of the same user with the
// same request is the same job, for 24 hours.
type Key struct {
	UserID  string
	Key     string
	Request []byte // hash of the request
}

// ForgetKeys removes at most limit keys that are valid no longer, and reports how
// many.
func (s *Store) ForgetKeys(ctx context.Context, limit int) (int, error) {
	tag, err := s.Pool.Exec(ctx, `
		delete from idempotency_keys where (user_id, key) in (
			select user_id, key from idempotency_keys where created_at < now() - interval '24 hours'
			order by created_at limit $1 for update skip locked)`, limit)
	return int(tag.RowsAffected()), wrap("forget keys", err)
}

// KeyedJob is the job for which an equal request took the key within 24 hours;
// empty when there is none.
func (s *Store) KeyedJob(ctx context.Context, k Key) (job string, err error) {
	err = s.Pool.QueryRow(ctx, `
		select job_id from idempotency_keys
		where user_id = $1 and key = $2 and request_hash = $3 and created_at >= now() - interval '24 hours'`, k.UserID, k.Key, k.Request).Scan(&job)
	if err == pgx.ErrNoRows {
		return "", nil
	}
	return job, wrap("read key", err)
}

// ClaimKey takes the key for a job as part of tx, the transaction that inserts
// the job. When the key is taken already it returns the job it stands for, and
// whether the request was the same.
func (s *Store) ClaimKey(ctx context.Context, tx pgx.Tx, k Key, job string) (earlier string, same bool, err error) {
	_, err = tx.Exec(ctx, `delete from idempotency_keys where user_id = $1 and key = $2 and created_at < now() - interval '24 hours'`, k.UserID, k.Key)
	if err != nil {
		return "", false, wrap("drop old key", err)
	}
	tag, err := tx.Exec(ctx, `
		insert into idempotency_keys (user_id, key, request_hash, job_id) values ($1, $2, $3, $4)
		on conflict (user_id, key) do nothing`, k.UserID, k.Key, k.Request, job)
	if err != nil || tag.RowsAffected() > 0 {
		return "", false, wrap("claim key", err)
	}
	err = tx.QueryRow(ctx, `
		select job_id, request_hash = $3 from idempotency_keys where user_id = $1 and key = $2`, k.UserID, k.Key, k.Request).
		Scan(&earlier, &same)
	return earlier, same, wrap("read key", err)
}
