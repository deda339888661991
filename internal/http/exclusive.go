package http

import "context"

// An exclusive admits one caller at a time. Unlike with a mutex, a caller may stop
// waiting, so it may be held over a query.
type exclusive chan struct{}

func newExclusive() exclusive { return make(exclusive, 1) }

// acquire waits until no other caller holds e, or returns ctx's error.
func (e exclusive) acquire(ctx context.Context) error {
	select {
	case e <- struct{}{}: // free: also when ctx has ended
		return nil
	default:
	}
	select {
	case e <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e exclusive) release() { <-e }
