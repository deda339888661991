-- +goose Up

-- Scopes of objects that tasks share: a job's, or one that an owner gave a name. A
-- scope has at most one home, the node that keeps it in memory. The epoch grows each
-- time that a node becomes its home.
create table shared_scopes (
    id           bigint generated always as identity primary key,
    job_id       uuid unique references jobs on delete cascade,
    owner_id     uuid references users on delete cascade,
    name         text,
    node_id      uuid, -- the home; null for none
    epoch        bigint not null default 0,
    snapshot_seq bigint not null default 0, -- the log up to it is in the snapshot
    created_at   timestamptz not null default now(),
    unique (owner_id, name),
    check ((job_id is null) = (name is not null) and (name is null) = (owner_id is null))
);

create index shared_scopes_node on shared_scopes (node_id) where node_id is not null;

create table shared_snapshots (
    scope_id bigint not null references shared_scopes on delete cascade,
    part     integer not null,
    data     bytea not null,
    primary key (scope_id, part)
);

-- Events since the snapshot, in the order of seq, cut anywhere into rows.
create table shared_log (
    scope_id bigint not null references shared_scopes on delete cascade,
    seq      bigint not null,
    data     bytea not null,
    primary key (scope_id, seq)
);

alter table shared_snapshots alter data set storage external;
alter table shared_log alter data set storage external;

-- Calls from other nodes to a scope's home. A call stays until its answer is written.
create table shared_calls (
    id       bigint generated always as identity primary key,
    scope_id bigint not null references shared_scopes on delete cascade,
    node_id  uuid not null, -- from which it comes
    epoch    bigint not null default 0, -- in which the home took it
    data     bytea not null
);

create index shared_calls_scope on shared_calls (scope_id, id);

create table shared_answers (
    call_id bigint primary key,
    node_id uuid not null, -- to which it goes
    data    bytea not null
);

create index shared_answers_node on shared_answers (node_id, call_id);

-- +goose Down
drop table shared_answers, shared_calls, shared_log, shared_snapshots, shared_scopes;
