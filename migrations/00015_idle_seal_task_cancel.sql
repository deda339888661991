-- +goose Up

-- An open job may be sealed when nothing was appended or kept alive for a time.
alter table progress
    add column idle_us     bigint,      -- that time; null for a job that waits for its seal
    add column input_at    timestamptz, -- when it was last appended to or kept alive
    add column idle_sealed boolean not null default false; -- sealed for this reason
create index progress_idle on progress (job_id) where idle_us is not null and not sealed and not ended;

-- +goose Down
drop index progress_idle;
alter table progress drop column idle_us, drop column input_at, drop column idle_sealed;
