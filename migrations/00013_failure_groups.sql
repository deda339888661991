-- +goose Up

-- The group of each failure, as many as there are in failed: see jobs.Group.
alter table outcomes add column groups bigint[] not null default '{}';

-- +goose StatementBegin
do $$
begin
	alter table outcomes alter groups set compression lz4;
exception when feature_not_supported or syntax_error then
	raise notice 'this server has no lz4: %', sqlerrm;
end
$$;
-- +goose StatementEnd

-- Groups of version 0 are by the whole message. They are made anew when they are
-- first read.
alter table failure_groups
    add column id       bigint,
    add column version  integer not null default 0, -- jobs.GroupingVersion
    add column pattern  text not null default '',
    add column frame    jsonb,
    add column messages jsonb not null default '[]';
update failure_groups set id = ('x' || encode(substr(key || '\x0000000000000000', 1, 8), 'hex'))::bit(64)::bigint;
alter table failure_groups drop constraint failure_groups_pkey;
alter table failure_groups drop column key, add primary key (job_id, id);

-- +goose Down
alter table failure_groups add column key bytea;
update failure_groups set key = int8send(id);
alter table failure_groups drop constraint failure_groups_pkey;
alter table failure_groups
    drop column id, drop column version, drop column pattern, drop column frame, drop column messages,
    alter key set not null, add primary key (job_id, key);
alter table outcomes drop column groups;
