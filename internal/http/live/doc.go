// Package live sends answers that go on: server-sent events of pages and jobs,
// and other answers of unknown length. It knows neither routes nor the database;
// its [Options] say where news come from and how to ask for users.
//
// Ten thousand browsers and scripts may have a stream of events open. None of
// these streams holds a connection to the database, and none queries it:
//
//	                       ┌ stream ┐
//	news ─► hub ─► view ───┼ stream ┼─► client
//	         ▲             └ stream ┘
//	         └ look: reads once for all
//
// # Who owns what
//
// [Streams] owns everything below for one server.
//
// A hub (hub.go) belongs to all streams that show the same to the same kind of
// viewer. One goroutine runs it. On news, and every now and then because news are
// lost while the database is away, the hub looks: it reads and encodes once, keeps
// the result as its [View], and wakes its streams. After a silence it looks at once;
// under load its looks are a gap apart (pace.go). Few hubs look at the same time.
//
// A [Reader] is one stream's part of a hub (reader.go). It knows the version that
// its stream has sent, and asks the view for what is newer, which most streams get
// as the same bytes. Nothing is queued: a slow stream skips to the newest view. A
// new stream never receives a view that was read before it joined.
//
// A [Subscriber] is an open stream with its user (subscribers.go). While there are
// subscribers, one goroutine asks for all of them every few seconds whether they
// may still read, and ends the streams of those who may not.
//
// The availability (availability.go) knows whether the database answers. When it
// stops answering, streams of pages are notified and running looks are cancelled;
// when it answers again, all hubs look.
//
// A stream needs little itself (event_server.go): a connection, taken over from
// net/http so that nothing of the request is kept, a small buffer, and two
// goroutines with small stacks, the second to notice when the client leaves; about
// 15 KiB in all. A client that does not read for the write timeout is cut off; the
// system holds little for it until then.
//
// Answers that are no events, such as results, run in their handler (writer.go).
// [Streams.Follow] calls them on news, with a gap that grows while each look
// finds much; each reads up to a place of its own and holds no transaction in
// between.
//
// A [Coalescer] merges concurrent reads that have the same key (coalescer.go).
package live
