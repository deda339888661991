package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/allcores/allcores/internal/jobs"
)

// wrap adds what was being done to err, and marks an outage of the database as
// jobs.ErrUnavailable and a missing row as jobs.ErrNotFound.
func wrap(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%s: %w", doing, jobs.ErrNotFound)
	case isOutage(err) && !errors.Is(err, jobs.ErrUnavailable):
		return fmt.Errorf("%s: %w: %w", doing, jobs.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// isOutage reports whether err comes from the connection or the server rather than
// from the statement, so that the same call may succeed later.
func isOutage(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		switch pgErr.Code {
		case "40001", "40P01": // serialization failure, deadlock
			return true
		case "25006": // read-only: a standby
			return true
		}
		switch pgErr.Code[:2] {
		case "08", "53", "57", "58": // connection, resources, operator's intervention, system
			return true
		}
		return false
	}
	var netErr net.Error
	var connectErr *pgconn.ConnectError
	return errors.As(err, &netErr) || errors.As(err, &connectErr) ||
		errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) || pgconn.Timeout(err) ||
		isClosedConn(err)
}

// isClosedConn reports whether err is an error of pgx for a connection that broke in
// the middle of an answer: mostly bare I/O errors.
func isClosedConn(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) ||
		strings.Contains(err.Error(), "conn closed")
}
