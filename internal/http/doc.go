// Package web answers browsers and scripts: pages, the REST API, and the
// streams of both.
//
// # Which way data flows
//
// A request comes in through [Site.ServeHTTP], gets an id, is recognised
// (auth.go) and reaches one handler of the table in routes.go. A handler is
// thin: it reads what was asked, calls the engine (to submit, cancel, wait) or
// the store (to read), and returns a value or an error. It decides nothing
// about jobs. Values are rendered into a buffer before the first byte is
// written; streams write as they read, block by block.
//
// # Who owns what
//
// Pages and API share no handlers, but the engine and the store behind them.
// What a page shows is the struct of package views that its handler fills; the
// page's live stream fills the same struct again (live.go), so page and stream
// cannot disagree. What the API takes and answers is the vocabulary of package
// jobs; openapi.json is made from the same types and the same table.
//
// Queues and nodes are read by one for all who watch them, and only while
// somebody does (fleet.go): what watching costs the database does not grow with
// the number of open pages.
//
// Errors are returned, never written by handlers. errors.go maps the few kinds
// to a status, tells the user a sentence, and logs the cause for the operator
// under the request's id.
//
// What operators ask is answered without a session: whether the process lives
// and is ready (observe.go, and door.go while it starts), and its numbers
// (metrics.go), which the store and the engine keep and which are read when they
// are asked for. River's own pages (river.go) are River UI, for admins.
//
// # Streams
//
// A stream holds a subscription to the store's feed, a connection, and at most
// one block of outcomes; no transaction. News say only that something changed:
// the stream reads what is true now and skips what a slow client has missed.
// A client that does not read for the write timeout is cut off, and one that is
// not let in any more a few seconds after that. [Site.Drain] ends all streams, so
// that a server can be shut down.
//
// Inputs stream the other way (control.go, upload.go): into the database as they
// arrive, in one transaction, so that all of them are there or none.
package web
