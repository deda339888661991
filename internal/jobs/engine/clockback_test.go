package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// TestDatabaseClockSetBack sets the database's clock back while tasks run, wait for
// their next attempt, and are leased to a lane that does not know of it. All times
// written before lie in the future then. Everything must end as without it.
func TestDatabaseClockSetBack(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]time.Duration{"ten minutes": 10 * time.Minute, "a day": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startOn(t, template.New(t), 0)
			failing := python(fmt.Sprintf(`
import os
def f(x):
    path = os.path.join(%q, str(x))
    with open(path, "a") as file:
        file.write("x")
    if os.path.getsize(path) < 2:
        raise RuntimeError("not yet")
`, t.TempDir()), "f", rangeOf(4))
			failing.Policy = jobs.Policy{Processes: pointer(1), MaxAttempts: pointer(2), RetryBackoff: pointer(jobs.Duration("3s"))}
			ids := []string{n.submit(t, failing)}
			await(t, "tasks wait for their next attempt", func() bool {
				var waiting int
				err := n.store.Pool.QueryRow(t.Context(), `select coalesce(sum(count), 0) from backlog where due_at > now()`).Scan(&waiting)
				return err == nil && waiting == 4
			})
			open := python("def f(x): return x", "f", jobs.Inputs{Open: true})
			stray := n.submit(t, open)
			user := store.As(n.admin)
			one := func(yield func([]byte, error) bool) { yield([]byte("1"), nil) }
			if _, _, err := n.store.Append(t.Context(), store.AppendRequest{Viewer: user, Job: stray, Values: one, Seal: true}); err != nil {
				t.Fatal(err)
			}
			claimed, err := n.store.Claim(t.Context(), store.Claim{Job: stray, Node: n.NodeID(), Want: 1, Floor: 1, Fixed: true, First: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("claimed by hand: %t", claimed.Lease != nil)
			for range 3 {
				ids = append(ids, n.submit(t, sleeps(10*time.Millisecond, 100)))
			}
			ids = append(ids, stray)

			err = n.store.Tx(t.Context(), func(tx pgx.Tx) error {
				for _, sql := range []string{
					`update backlog set due_at = due_at + $1::interval where due_at > '-infinity'`,
					`update chunks set leased_at = leased_at + $1::interval, started_at = started_at + $1::interval, finished_at = finished_at + $1::interval`,
					`update nodes set heartbeat_at = heartbeat_at + $1::interval`,
					`update jobs set created_at = created_at + $1::interval, started_at = started_at + $1::interval`,
					`update progress set newer_at = newer_at + $1::interval, older_at = older_at + $1::interval`,
					`update river_job set scheduled_at = scheduled_at + $1::interval, attempted_at = attempted_at + $1::interval, created_at = created_at + $1::interval where state <> 'completed'`,
					`update river_leader set expires_at = expires_at + $1::interval, elected_at = elected_at + $1::interval`,
				} {
					if _, err := tx.Exec(t.Context(), sql, off); err != nil {
						return fmt.Errorf("%s: %w", sql, err)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range ids {
				if j := n.end(t, id, stretched(t, 40*time.Second)); j.State != jobs.Succeeded || j.FinishedAt.Before(j.StartedAt.Time) {
					t.Errorf("%+v", j)
				}
			}
			for _, sql := range []string{
				`select count(*) from nodes where heartbeat_at > clock_timestamp() + interval '1 second'`,
				`select count(*) from chunks where finished_at < leased_at`,
				`select count(*) from backlog`,
				`select count(*) from river_job where state not in ('completed', 'discarded', 'cancelled') and scheduled_at > clock_timestamp() + interval '1 minute'`,
			} {
				var wrong int
				if err := n.store.Pool.QueryRow(t.Context(), sql).Scan(&wrong); err != nil || wrong != 0 {
					t.Errorf("%s: %d (%v)", sql, wrong, err)
				}
			}
		})
	}
}
