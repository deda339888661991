-- +goose Up

-- What waits for no backoff is due whatever the clock says. wait_us is the backoff
-- of what does, so that a clock that was set back cannot make it longer.
alter table backlog alter due_at set default '-infinity', add column wait_us bigint not null default 0;
update backlog set due_at = '-infinity' where due_at <= clock_timestamp();
create index backlog_waiting on backlog (due_at) where due_at > '-infinity';

-- +goose Down
drop index backlog_waiting;
alter table backlog alter due_at set default now(), drop column wait_us;
