-- +goose Up

create table users (
    id         uuid primary key,
    name       text not null unique,
    role       text not null check (role in ('viewer', 'user', 'admin')),
    created_at timestamptz not null default now()
);

-- Tokens are random and long, so their SHA-256 is all that is kept.
create table tokens (
    id         uuid primary key,
    user_id    uuid not null references users on delete cascade,
    name       text not null,
    hash       bytea not null unique,
    created_at timestamptz not null default now()
);

create table sessions (
    hash       bytea primary key,
    user_id    uuid not null references users on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);

create table queues (
    name     text primary key,
    per_core double precision not null check (per_core > 0),
    pinned   boolean not null,
    paused   boolean not null default false
);

insert into queues (name, per_core, pinned) values ('cpu', 1, true), ('io', 8, false);

create table nodes (
    id           uuid primary key,
    host         text not null,
    machine      text not null, -- one boot of one machine or container; pids are comparable within it
    pid          integer not null,
    version      text not null,
    role         text not null check (role in ('all', 'web', 'worker')),
    state        text not null default 'alive' check (state in ('alive', 'dead', 'stopped')),
    cores        integer not null, -- that it may use
    status       jsonb not null default '{}', -- cores and memory as last seen
    started_at   timestamptz not null default now(),
    heartbeat_at timestamptz not null default now()
);

create index nodes_alive on nodes (heartbeat_at) where state = 'alive';

create table jobs (
    id          uuid primary key,
    owner_id    uuid not null references users,
    name        text not null,
    state       text not null check (state in ('open', 'queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled')),
    queue       text not null references queues,
    priority    smallint not null check (priority between 1 and 4),
    tags        text[] not null,
    program     jsonb not null,
    inputs      jsonb not null, -- their shape; the values are in input_blocks
    policy      jsonb not null,
    reason      text not null default '',
    created_at  timestamptz not null default now(),
    started_at  timestamptz,
    finished_at timestamptz
);

create index jobs_owner on jobs (owner_id, id);
create index jobs_state on jobs (state, id);
create index jobs_tags on jobs using gin (tags);

-- What changes with every chunk of a job, apart from what does not, so that an
-- update touches a narrow row and no index.
create table progress (
    job_id           uuid primary key,
    total            bigint not null,
    sealed           boolean not null,
    lanes            integer not null,          -- turns that may live at once
    lanes_auto       boolean not null,          -- lanes follows the queue's slots over all nodes
    turns            integer not null default 0, -- turns that live in River
    failures_allowed bigint not null,
    cursor           bigint not null default 0, -- tasks from here on were never claimed
    leased           bigint not null default 0, -- tasks in leased chunks
    succeeded        bigint not null default 0,
    failed           bigint not null default 0,
    cancelled        bigint not null default 0,
    halt             text check (halt in ('paused', 'failed', 'cancelled')), -- why nothing is claimed
    ended            boolean not null default false,
    records          bigint not null default 0, -- number of outcome rows; orders them by completion
    user_us          bigint not null default 0,
    system_us        bigint not null default 0,
    tasks_us         bigint not null default 0,
    log_bytes        bigint not null default 0,
    -- two marks on the way, from which the rate of the last seconds follows
    older_at         timestamptz,
    older_done       bigint not null default 0,
    newer_at         timestamptz,
    newer_done       bigint not null default 0
) with (fillfactor = 40, autovacuum_vacuum_scale_factor = 0.05);

create index progress_active on progress (job_id) where not ended;

-- Inputs as lines of compact JSON, at most 4096 a row.
create table input_blocks (
    job_id uuid not null,
    first  bigint not null,
    count  integer not null check (count between 1 and 4096),
    data   bytea not null,
    primary key (job_id, first)
);

-- Tasks below the cursor that are to be claimed (again): given back, lost with
-- their node, or waiting for their next attempt.
create table backlog (
    id      bigint generated always as identity primary key,
    job_id  uuid not null,
    first   bigint not null,
    count   integer not null check (count > 0),
    attempt smallint not null default 1, -- the one to come
    losses  smallint not null default 0, -- processes that died with these tasks in hand
    due_at  timestamptz not null default now()
);

create index backlog_due on backlog (job_id, due_at, id);

-- Leases. A row is one lease of a range of tasks to one lane, its id the lease's
-- number: it only grows. A lease is left once, to done or to lost.
create table chunks (
    id          bigint generated always as identity primary key,
    job_id      uuid not null,
    first       bigint not null,
    count       integer not null,
    state       text not null check (state in ('leased', 'done', 'lost')),
    attempt     smallint not null,
    losses      smallint not null,
    node_id     uuid not null,
    lane        integer not null,
    core        integer, -- where the process was pinned
    leased_at   timestamptz not null default now(),
    started_at  timestamptz,
    finished_at timestamptz,
    failed      integer not null default 0,
    user_us     bigint not null default 0,
    system_us   bigint not null default 0,
    tasks_us    bigint not null default 0, -- inside tasks
    moving_us   bigint not null default 0, -- decoding, encoding and moving values
    waiting_us  bigint not null default 0, -- the turn's wait for its slot, on its first chunk
    peak_memory bigint not null default 0  -- bytes
) with (fillfactor = 80);

create index chunks_job on chunks (job_id, id);
create index chunks_leased on chunks (node_id) where state = 'leased';

-- What tasks ended with: a row is a run of neighbours. Rows of a job never
-- overlap, and are never changed.
create table outcomes (
    job_id    uuid not null,
    first     bigint not null,
    count     integer not null,
    seq       bigint not null, -- order of completion within the job, without gaps
    chunk_id  bigint not null,
    failed    integer[] not null, -- offsets from first
    outputs   bytea not null,
    durations bytea not null,
    primary key (job_id, first)
);

create unique index outcomes_seq on outcomes (job_id, seq);
create index outcomes_failed on outcomes (job_id, first) where failed <> '{}';

-- The default compressor costs more than all the rest of recording.
alter table outcomes alter outputs set storage external, alter durations set storage external;
alter table input_blocks alter data set storage external;

create table failure_groups (
    job_id      uuid not null,
    key         bytea not null, -- hash of kind, type and message
    kind        text not null,
    type        text not null,
    message     text not null,
    count       bigint not null,
    first_index bigint not null,
    example     jsonb not null,
    primary key (job_id, key)
);

create table logs (
    seq    bigint generated always as identity primary key,
    job_id uuid not null,
    first  bigint not null, -- lowest and highest task with a line in data
    last   bigint not null,
    data   bytea not null   -- NDJSON
);

create index logs_job on logs (job_id, seq);

create table idempotency_keys (
    user_id      uuid not null references users on delete cascade,
    key          text not null,
    request_hash bytea not null,
    job_id       uuid not null,
    created_at   timestamptz not null default now(),
    primary key (user_id, key)
);

create index idempotency_keys_created on idempotency_keys (created_at);

-- +goose Down
drop table idempotency_keys, logs, failure_groups, outcomes, chunks, backlog, input_blocks, progress, jobs, nodes, queues, sessions, tokens, users;
