-- +goose Up

-- An open job may be sealed when nothing was appended or kept alive for a time.
alter table progress
    add column idle_us     bigint,      -- that time; null for a job that waits for its seal
    add column input_at    timestamptz, -- when it was last appended to or kept alive
    add column idle_sealed boolean not null default false; -- sealed for this reason
create index progress_idle on progress (job_id) where idle_us is not null and not sealed and not ended;

-- Tasks that were cancelled before they started, while their job goes on, have rows of
-- outcomes of their own.
alter table outcomes add column cancelled boolean not null default false;
create index outcomes_cancelled on outcomes (job_id, first) where cancelled;

-- Tasks of leased chunks that are to be cancelled unless they have started: their lane
-- gives them back first. A row is gone when it has answered.
create table recalls (
    id     bigint generated always as identity primary key,
    job_id uuid not null,
    lease  bigint not null, -- id of the chunk
    first  bigint not null,
    count  integer not null
);
create index recalls_lease on recalls (lease);
create index recalls_job on recalls (job_id);

-- +goose Down
drop table recalls;
delete from outcomes where cancelled;
alter table outcomes drop column cancelled;
drop index progress_idle;
alter table progress drop column idle_us, drop column input_at, drop column idle_sealed;
