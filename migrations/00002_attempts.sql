-- +goose Up

-- Failed attempts that were followed by another one: a row has those of one
-- chunk, as NDJSON lines {"index", "attempt", "error"}.
create table attempts (
    id     bigint generated always as identity primary key,
    job_id uuid not null,
    first  bigint not null, -- lowest and highest index in data
    last   bigint not null,
    data   bytea not null
);

create index attempts_job on attempts (job_id, first);

create index jobs_finished on jobs (finished_at) where finished_at is not null;

-- +goose Down
drop index jobs_finished;
drop table attempts;
