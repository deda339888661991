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

-- +goose Down
create index jobs_tags on jobs using gin (tags);
alter table jobs drop folded_tags, drop folded_program, drop folded_name;
