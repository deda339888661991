package turns

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/allcores/allcores/internal/store"
)

// seen are the turns that have arrived on this node, by their ids in River.
type seen struct {
	mu    sync.Mutex
	ended map[int64]time.Time // when each ended; zero while it runs
}

// arrived notes that a turn is here, until a while after gone was called.
func (s *seen) arrived(id int64) { s.note(id, time.Time{}) }

// gone notes that a turn has ended here.
func (s *seen) gone(id int64) { s.note(id, time.Now()) }

func (s *seen) note(id int64, ended time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended[id] = ended
}

// rememberEnded is how long a turn that has ended counts as seen: longer than
// River takes to write its end.
const rememberEnded = time.Minute

// ids returns the turns that are seen and forgets those that ended long ago.
func (s *seen) ids() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]int64, 0, len(s.ended))
	for id, ended := range s.ended {
		if !ended.IsZero() && time.Since(ended) > rememberEnded {
			delete(s.ended, id)
			continue
		}
		ids = append(ids, id)
	}
	return ids
}

// Recover makes turns available that nobody runs: those whose fetch was never
// answered, and those that a wrong clock has put off.
func (c *Client) Recover(ctx context.Context) error {
	n, err := c.Store.ReleaseUnseen(ctx, c.Node, c.seen.ids())
	if err != nil {
		return err
	}
	if n > 0 {
		c.Logger.Warn("released turns whose fetch was never answered", "turns", n)
	}
	if n, err = c.Store.RouseTurns(ctx, LongestRetry+5*time.Second); err != nil {
		return err
	}
	if n > 0 {
		c.Logger.Warn("made turns available that a wrong clock had put off; check the nodes' clocks", "turns", n)
	}
	return nil
}

// Recount sets the number of turns of each job to what River has.
func (c *Client) Recount(ctx context.Context) error {
	n, err := c.Store.Recount(ctx)
	if err == nil && n > 0 {
		c.Logger.Warn("corrected the number of turns of jobs", "jobs", n)
	}
	return err
}

// TakeBack puts the work of one dead node back: its chunks go to the backlog, and
// fresh turns replace its turns, in one transaction. It returns nil where no node
// is dead.
func (c *Client) TakeBack(ctx context.Context) (lost *store.Lost, err error) {
	err = c.Store.Tx(ctx, func(tx pgx.Tx) (err error) {
		if lost, err = c.Store.TakeBack(ctx, tx); err != nil || lost == nil {
			return err
		}
		return c.Store.InsertTurns(ctx, tx, lost.Turns)
	})
	return lost, err
}
