-- +goose Up

-- What searches compare with: without case, which the database folds beyond ASCII
-- in some locales only, so the server writes them.
alter table jobs
    add folded_name    text not null default '',
    add folded_program text not null default '', -- the function's name, or the arguments
    add folded_tags    text[] not null default '{}';

-- +goose StatementBegin
create function pg_temp.fold(t text) returns text language plpgsql as $$
begin
    return lower(t collate "und-x-icu");
exception when undefined_object then -- a server without ICU
    return lower(t);
end
$$;
-- +goose StatementEnd

update jobs set
    folded_name = pg_temp.fold(name),
    folded_program = pg_temp.fold(coalesce(program->'python'->>'function',
        (select string_agg(arg, ' ' order by n) from jsonb_array_elements_text(program->'command'->'argv') with ordinality a (arg, n)), '')),
    folded_tags = (select coalesce(array_agg(pg_temp.fold(tag)), '{}') from unnest(tags) tag);

drop function pg_temp.fold(text);

create index jobs_folded_tags on jobs using gin (folded_tags);
drop index jobs_tags;

-- One action on many jobs, worked off by one node at a time. A node that stops
-- leaves it to another, which goes on at next.
create table bulk_operations (
    id          uuid primary key,
    user_id     uuid not null references users on delete cascade,
    action      text not null,
    tags        text[] not null,
    search      text, -- null where ids were given
    jobs        uuid[] not null, -- in this order
    total       bigint not null, -- with those that were refused at once
    next        integer not null default 0, -- jobs before it are recorded
    done        bigint not null default 0,
    refused     bigint not null default 0,
    reasons     jsonb not null default '[]',
    refusals    jsonb not null default '[]', -- the first ones
    node_id     uuid not null,
    beat_at     timestamptz not null default clock_timestamp(),
    created_at  timestamptz not null default clock_timestamp(),
    finished_at timestamptz
);

create index bulk_operations_open on bulk_operations (beat_at) where finished_at is null;
create index bulk_operations_created on bulk_operations (created_at);

-- +goose Down
drop table bulk_operations;
create index jobs_tags on jobs using gin (tags);
alter table jobs drop folded_tags, drop folded_program, drop folded_name;
