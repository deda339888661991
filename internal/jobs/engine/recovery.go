package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

// recover looks about once a second for work that nobody does: that of dead nodes,
// jobs with too few turns, leases and turns whose holder does not know of them.
func (e *Engine) recover(ctx context.Context) {
	for round := 0; ; round++ {
		if err := e.recoverOnce(ctx, round); err != nil && ctx.Err() == nil && !errors.Is(err, jobs.ErrUnavailable) {
			e.Logger.Error("recover work", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(800*time.Millisecond + rand.N(400*time.Millisecond)):
		}
	}
}

func (e *Engine) recoverOnce(ctx context.Context, round int) error {
	if round%3 == 0 {
		if n, err := e.Store.ClampFuture(ctx); err != nil {
			return err
		} else if n > 0 {
			e.Logger.Warn("set times in the future to now; was the database's clock set back?", "rows", n)
		}
	}
	if err := e.takeBack(ctx); err != nil {
		return err
	}
	if round%10 == 9 {
		if err := e.turns.Recount(ctx); err != nil {
			return err
		}
	}
	if round%3 == 2 && e.Role != RoleWeb {
		if n, err := e.Store.Strays(ctx, e.node.ID, e.heldLeases()); err != nil {
			return err
		} else if n > 0 {
			e.Logger.Warn("put back chunks whose claim was never answered", "chunks", n)
		}
		if err := e.turns.Recover(ctx); err != nil {
			return err
		}
	}
	if round%60 == 30 {
		if err := e.pruneSamples(ctx); err != nil {
			return err
		}
	}
	if err := e.takeBulks(ctx); err != nil {
		return err
	}
	if ids, err := e.Store.SealIdle(ctx); err != nil {
		return err
	} else if len(ids) > 0 {
		e.Logger.Info("sealed open jobs that got no input", "jobs", ids)
	}
	if err := e.Store.FollowSlots(ctx); err != nil {
		return err
	}
	idle, err := e.Store.Idle(ctx)
	if err != nil {
		return err
	}
	for _, job := range idle {
		if err := e.dispatch(ctx, job); err != nil {
			return err
		}
	}
	return nil
}

// takeBack puts the work of dead nodes back, one node in a transaction.
func (e *Engine) takeBack(ctx context.Context) error {
	for {
		lost, err := e.turns.TakeBack(ctx)
		if err != nil || lost == nil {
			return err
		}
		e.usage.tookBack()
		e.Logger.Warn("took back the work of a dead node", "node", lost.Node, "chunks", lost.Chunks, "turns", len(lost.Turns))
	}
}

// heldLeases returns the numbers of the leases that lanes of this node hold.
func (e *Engine) heldLeases() []int64 {
	ids := []int64{}
	for _, l := range e.active.all() {
		for _, h := range l.leases() {
			ids = append(ids, h.lease)
		}
	}
	return ids
}

// expireGoneNeighbours ends the leases of nodes that ran on this machine and whose
// processes are gone, so that work goes on at once after a crash and a restart.
func (e *Engine) expireGoneNeighbours(ctx context.Context) error {
	if e.node.Machine == "" {
		return nil
	}
	neighbours, err := e.Store.Neighbours(ctx, e.node.Machine, e.node.ID)
	if err != nil {
		return err
	}
	for _, n := range neighbours {
		if errors.Is(syscall.Kill(n.PID, 0), syscall.ESRCH) {
			if err := e.Store.Expire(ctx, n.ID); err != nil {
				return err
			}
		}
	}
	return e.takeBack(ctx)
}
