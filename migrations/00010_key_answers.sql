-- +goose Up

-- The job as it was last answered, as JSON; null while the job is there. A key
-- answers for its 24 hours, whatever became of its job.
alter table idempotency_keys add column answer text;

-- +goose Down
delete from idempotency_keys where answer is not null;
alter table idempotency_keys drop column answer;
