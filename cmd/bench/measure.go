package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A result holds the times of a row's contenders, in their order.
type result struct {
	row
	rounds [][][]time.Duration // of each contender; none where it is missing or failed
}

// measure measures a row. The contenders take turns, and each round begins with
// another. After a failure a contender is skipped and its rounds are void.
func (b *bench) measure(ctx context.Context, r row) (result, error) {
	result := result{row: r, rounds: make([][][]time.Duration, len(r.contenders))}
	sessions := make([]*session, len(r.contenders))
	failed := make([]error, len(r.contenders))
	var closing []error
rounds:
	for n := range b.runs {
		for turn := range r.contenders {
			i := (n + turn) % len(r.contenders)
			c := r.contenders[i]
			if len(c.lacks) > 0 || failed[i] != nil {
				continue
			}
			took, err := b.turn(ctx, c, &sessions[i])
			if ctx.Err() != nil {
				failed[i] = context.Cause(ctx)
				break rounds
			}
			if err != nil {
				failed[i] = fmt.Errorf("%s, %s: %w", r.name, plain(c.name), err)
				result.rounds[i] = nil
				continue
			}
			result.rounds[i] = append(result.rounds[i], took)
			text, _ := r.figure([][]time.Duration{took})
			fmt.Fprintf(b.log, "bench: %s, round %d of %d, %s: %s\n", r.name, n+1, b.runs, plain(c.name), text)
		}
	}
	for i, s := range sessions {
		if s == nil || s.close == nil {
			continue
		}
		if err := s.close(); err != nil {
			closing = append(closing, fmt.Errorf("%s, %s: %w", r.name, plain(r.contenders[i].name), err))
		}
	}
	return result, errors.Join(append(failed, closing...)...)
}

// turn runs one round of a contender, and prepares it before its first.
func (b *bench) turn(ctx context.Context, c contender, s **session) ([]time.Duration, error) {
	if *s == nil {
		opened, err := c.open(ctx)
		if err != nil {
			return nil, err
		}
		*s = &opened
	}
	ctx, cancel := context.WithTimeoutCause(ctx, measureLimit, fmt.Errorf("it took longer than %s", measureLimit))
	defer cancel()
	select { // lets background work of the one before end
	case <-time.After(b.sizes.pause):
	case <-ctx.Done():
	}
	took, err := (*s).round(ctx)
	if err != nil && ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return took, err
}

// plain returns a name without Markdown.
func plain(name string) string { return strings.ReplaceAll(name, "`", "") }
