// Package http answers browsers and scripts: pages, the REST API, and the streams of
// both.
//
// # Which way data flows
//
// A request enters at [Site.ServeHTTP], gets an id (request_log.go), is
// authenticated (auth.go), and reaches one handler of the tables in routes.go. A
// handler is thin: it reads the request, calls the engine (to submit, cancel, wait)
// or the store (to read), and returns a value or an error. It decides nothing about
// jobs. Values are rendered into a buffer before the first byte is sent; streams
// send while they read, block by block.
//
// # Who owns what
//
// A page is in the file of its name (page_job.go), an operation of the API in the
// file of its noun (api_queues.go). Pages and API share no handlers, but the engine
// and the store. A handler fills the struct of package views that its page shows.
// The page's stream fills the same struct again (page_updates.go), so page and
// stream cannot disagree. The API's requests and answers are types of package jobs;
// openapi.json is made from the same types and the same table.
//
// Queues and nodes are read once for all that watch them, and only while a page or
// script does (cluster.go): the load on the database does not grow with the number
// of open pages. The timeline of all jobs is shared the same way
// (timeline_cache.go).
//
// Handlers return errors and never write them. errors.go maps the few kinds to a
// status and a message for the user, and logs the cause for the operator under the
// request's id.
//
// Operators need no session: /healthz and /readyz report whether the process is
// alive and ready (health.go, and startup.go until the site exists), and /metrics
// reports what the store and the engine count (metrics.go). River's own pages
// (page_river.go) are for admins.
//
// # Streams
//
// Package live owns everything about answers that go on. streams.go connects it to
// the store: where news come from, whether the database answers, and which users may
// still read. api_events.go and page_updates.go say what a hub reads and encodes.
//
// Streams of results and logs each read up to a place of their own, block by block,
// and hold at most one block and no transaction. [Site.Drain] ends all streams, so
// that a server can shut down, and [Site.Wait] waits for that.
//
// Inputs stream the other way (api_tasks_append.go, upload_form.go): into the
// database as they arrive, in one transaction, so that all or none are stored. A
// form's file is text in UTF-8 or UTF-16 (file_text.go). Its format follows from its
// name and its first 64 KiB, unless the form names it (file_format.go), and decides
// how its inputs are read (file_inputs.go).
package http
