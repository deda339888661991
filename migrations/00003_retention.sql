-- +goose Up

-- Jobs are removed with the keys that stand for them.
create index idempotency_keys_job on idempotency_keys (job_id);

-- +goose Down
drop index idempotency_keys_job;
