-- +goose Up

-- Bytes named by their SHA-256: what is too large for an input or output, and the
-- sources that a program needs.
create table blobs (
    id         bigint generated always as identity primary key,
    sha256     bytea not null unique,
    size       bigint not null,
    created_at timestamptz not null default now(),
    check_at   timestamptz -- when nothing may need it any more; null while a job references it
);
create index blobs_check on blobs (check_at) where check_at is not null;

-- Its bytes in parts of 1 MiB, the last one shorter.
create table blob_parts (
    blob_id bigint  not null references blobs on delete cascade,
    part    integer not null,
    data    bytea   not null,
    primary key (blob_id, part)
);
alter table blob_parts alter column data set storage external; -- pickles and arrays hardly compress

-- A job that needs a blob keeps it.
create table blob_refs (
    job_id  uuid   not null references jobs on delete cascade,
    blob_id bigint not null references blobs,
    primary key (job_id, blob_id)
);
create index blob_refs_blob on blob_refs (blob_id);

-- Who uploaded a blob may use it for a while before a job references it.
create table blob_uploads (
    blob_id bigint      not null references blobs on delete cascade,
    user_id uuid        not null references users on delete cascade,
    until   timestamptz not null,
    primary key (blob_id, user_id)
);

-- +goose Down
drop table blob_uploads;
drop table blob_refs;
drop table blob_parts;
drop table blobs;
