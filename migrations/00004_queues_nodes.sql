-- +goose Up

alter table queues
    add max_processes integer check (max_processes > 0), -- over all nodes; null for no limit
    add deleted       boolean not null default false;    -- kept while ended jobs name it

alter table nodes
    add draining    boolean not null default false, -- takes no turns
    add serves      text[], -- the queues that it was told to serve; null for all
    add lost_chunks bigint not null default 0, -- taken back when it was declared dead
    add lost_tasks  bigint not null default 0;

-- What a node's cores and memory did: a row every five seconds, kept an hour.
create table node_samples (
    node_id        uuid not null,
    at             timestamptz not null,
    user_percent   real not null, -- of the time of all its cores, in user mode
    system_percent real not null, -- in the kernel
    other_percent  real not null, -- otherwise busy
    cores          smallint[] not null, -- the number of each core
    busy           smallint[] not null, -- percent of its time that each of them was busy
    load           real not null,
    memory         bigint not null, -- bytes in use
    primary key (node_id, at)
);

-- What a node did for a queue: a row every five seconds in which it did something,
-- kept an hour. Times are counted in classes, which are the arrays' subscripts:
-- see jobs.TimeClasses.
create table queue_samples (
    queue     text not null,
    node_id   uuid not null,
    at        timestamptz not null,
    succeeded bigint not null,
    failed    bigint not null,
    waits     integer[] not null, -- turns by their wait for a slot
    runs      integer[] not null, -- runs of tasks by the time they took
    primary key (queue, at, node_id)
);

create index node_samples_at on node_samples (at);
create index queue_samples_at on queue_samples (at);

-- +goose Down
drop table queue_samples, node_samples;
alter table nodes drop lost_tasks, drop lost_chunks, drop serves, drop draining;
alter table queues drop deleted, drop max_processes;
