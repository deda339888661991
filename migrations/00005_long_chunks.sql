-- +goose Up

-- The chunks of a stretch of time are found by their ids, which grow with
-- leased_at: those that were leased in it or shortly before. This has the few
-- that were leased longer before and reach into it. A chunk enters it only
-- when it ends, and only after more than ten seconds, so it costs next to nothing.
create index chunks_long on chunks (finished_at) where finished_at - leased_at > interval '10 seconds';

-- +goose Down
drop index chunks_long;
