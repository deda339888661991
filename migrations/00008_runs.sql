-- +goose Up

-- A run of a job begins with its submission or with a retry, and ends when the
-- job ends. The newest run has its times in jobs and its counts in progress;
-- the columns below say what was there before it.
alter table jobs
	add run               integer not null default 1, -- 1 is the first run, 2 the first retry
	add retried_at        timestamptz,                -- when the newest run was asked for; null for the first
	add run_after_chunk   bigint not null default 0,  -- chunks of the newest run have greater ids
	add earlier_succeeded bigint not null default 0,  -- outcomes of earlier runs that the newest one keeps
	add earlier_cancelled bigint not null default 0,  -- tasks that the newest run leaves cancelled
	add earlier_user_us   bigint not null default 0,  -- processor time of earlier runs
	add earlier_system_us bigint not null default 0,
	add given_policy      jsonb; -- as submitted; policy has the defaults filled in. Null for older jobs.

alter table progress
	add earlier_failed bigint not null default 0; -- failures of earlier runs that the newest one keeps

-- Runs that a retry followed.
create table runs (
    job_id      uuid not null,
    run         integer not null,
    state       text not null check (state in ('succeeded', 'failed', 'cancelled')),
    reason      text not null,
    queued_at   timestamptz not null, -- submitted, or the retry asked for
    started_at  timestamptz,
    finished_at timestamptz,
    total       bigint not null, -- tasks that it was to run
    succeeded   bigint not null,
    failed      bigint not null,
    cancelled   bigint not null,
    user_us     bigint not null,
    system_us   bigint not null,
    report      jsonb, -- null where the run ended before reports were kept
    primary key (job_id, run)
);

-- A job that was retried before has chunks that are older than its start. All its
-- runs but the newest are kept as one, the first.
create temporary table earlier on commit drop as
	select j.id, p.total, min(c.leased_at) as started_at, max(c.finished_at) as finished_at, max(c.id) as last,
		least(coalesce(sum(c.count - c.failed) filter (where c.state = 'done'), 0), p.succeeded) as succeeded,
		sum(c.user_us) as user_us, sum(c.system_us) as system_us
	from jobs j join progress p on p.job_id = j.id
		join chunks c on c.job_id = j.id and c.leased_at < coalesce(j.started_at, 'infinity') - interval '1 second' and c.state <> 'leased'
	group by j.id, p.total, p.succeeded;

insert into runs (job_id, run, state, reason, queued_at, started_at, finished_at, total, succeeded, failed, cancelled, user_us, system_us)
	select e.id, 1, 'failed', '', j.created_at, e.started_at, e.finished_at, e.total, e.succeeded, e.total - e.succeeded, 0, e.user_us, e.system_us
	from earlier e join jobs j on j.id = e.id;

update jobs set run = 2, retried_at = e.finished_at, run_after_chunk = e.last,
	earlier_succeeded = e.succeeded, earlier_user_us = e.user_us, earlier_system_us = e.system_us
from earlier e where jobs.id = e.id;

-- +goose Down
drop table runs;
alter table progress drop earlier_failed;
alter table jobs drop given_policy, drop earlier_system_us, drop earlier_user_us, drop earlier_cancelled, drop earlier_succeeded,
	drop run_after_chunk, drop retried_at, drop run;
