-- +goose Up

-- Ids grow in the order in which jobs are listed. They have the time, too: jobs
-- were created then.
update jobs set created_at = to_timestamp(('x' || left(id::text, 8) || substr(id::text, 10, 4))::bit(48)::bigint / 1000.0)
where substr(id::text, 15, 1) = '7';

-- +goose Down
