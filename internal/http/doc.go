// Package http answers browsers and scripts: pages, the REST API, and the
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
// Ten thousand browsers and scripts may have a stream of events open here. None of
// them holds a connection to the database, and none asks it anything:
//
//	                    ┌ stream ┐
//	store.Feed ─► hub ──┼ stream ┼─► usher: let in? database there?
//	 (1 LISTEN)         └ stream ┘
//
// All streams that show the same to the same kind of viewer share a hub (hub.go):
// a job's events, all events of a role or user, a page for a role or user under
// one address of the site. When the feed has news, and every now and then as news
// are missed while the database is away, the hub looks: it reads and encodes once,
// keeps that as its view, and wakes its streams. Each of them knows the version
// that it has told, and asks the view for what is newer, which most of them get as
// the same bytes. So nothing is queued: who is slow skips to the newest. A
// stream that joins is told nothing that was read before it came. The hub's looks
// are at least a gap apart, and few hubs look at the same time.
//
// One usher (usher.go) looks after all streams together: every few seconds it asks
// for all of them at once who is still let in, and ends the others. It notices
// when the database does not answer any more, tells the pages' streams, and lets
// nobody wait for it in vain; when it is back all hubs look.
//
// What a stream itself needs is little (eventserver.go): a connection, which is
// taken over from net/http so that nothing of the request is kept, a buffer of some
// bytes, and two goroutines with small stacks, one of which waits for the client to
// leave; about 15 KiB in all. A client that does not read for the write timeout
// is cut off; the system holds little for it until then.
//
// Streams of results each read up to a place of their own, block by block, and hold
// at most one block and no transaction. [Site.Drain] ends all streams, so that a
// server can be shut down, and [Site.Wait] waits for that.
//
// Inputs stream the other way (control.go, upload.go): into the database as they
// arrive, in one transaction, so that all of them are there or none. A form's file
// is text in UTF-8 or UTF-16 (filetext.go), whose format follows from its name
// and its first 64 KiB unless the form says it (fileformat.go), and of which the
// inputs are read (fileinputs.go).
package http
