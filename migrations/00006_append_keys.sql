-- +goose Up

-- What inputs were appended by the request that took the key; null for a
-- submission.
alter table idempotency_keys add column first bigint, add column count bigint;

-- +goose Down
alter table idempotency_keys drop column first, drop column count;
