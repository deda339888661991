-- +goose Up

-- Outcomes leave a chunk when their tasks end. While it is leased, count is what is
-- left under the lease, recorded what has an outcome already, and rest the spans left
-- as first, count, first, count, …; null where that is one span from first on. Once it
-- has ended count has all outcomes, and recorded is 0.
alter table chunks
    add recorded integer not null default 0,
    add rest     bigint[];

-- +goose Down
update chunks set first = rest[1], count = rest[2] where state = 'leased' and cardinality(rest) = 2;
alter table chunks drop rest, drop recorded;
