// Package frames encodes calls on shared objects for a connection that stays
// open: the protocol allcores-shared of the task socket.
//
// # Opening
//
// A task connects to the Unix socket named in ALLCORES_SOCKET and sends
//
//	GET {path of ALLCORES_TASK_URL}/shared HTTP/1.1
//	Host: allcores
//	Connection: Upgrade
//	Upgrade: allcores-shared
//
// The answer is 101 with the same two headers, and an empty line; frames follow
// in both directions. Any other status is a problem in JSON, and the connection
// stays HTTP. ALLCORES_TASK_URL is http://allcores/KEY for a Python program and
// http://allcores/KEY/tasks/INDEX for a command. The frames of both name the task.
//
// # Frames
//
// Integers are little-endian and unsigned. A request is
//
//	u32  length of all that follows
//	u32  id: chosen by the client, unique among its unanswered requests
//	u64  index of the task
//	u8   length of the operation, in bytes
//	u16  length of the scope, in bytes
//	u16  length of the name, in bytes
//	     operation, scope and name, in UTF-8
//	     arguments: a JSON object, or nothing; up to the end of the frame
//
// An empty scope is the task's job; any other is a scope of the job's owner. An
// answer is
//
//	u32  length of all that follows
//	u32  id of the request
//	u8   status: 0 for a result, 1 for an error
//	     the result as JSON, or {"kind": "…", "message": "…"}
//
// Operations, their arguments and results, parameters and kinds of errors are those
// of package internal/jobs/shared. The arguments of a request are
//
//	kind     text: of the object
//	args     list: the operation's arguments; may be absent for none
//	params   object: size, type, initial; absent for whatever the object has
//	timeout  number: seconds, 0 to try only; absent or null to wait for ever
//	thread   number: of the task's thread or process; absent for 0, the first
//	company  bool: other threads of the task go on meanwhile
//
// One operation belongs to the socket: progress, with {"fraction": 0.5, "message":
// "…"} as its arguments, no scope and no name, and null as its result.
//
// A client may send further requests before an answer, and answers come in any
// order. Requests of one task on one connection are applied in the order in which
// they arrive. A connection is not bound to a task or a thread; a client that
// uses one connection per thread can ignore the id.
//
// # Bounds
//
// A request has at most [MaxRequest] bytes after its length. A longer one is
// answered with the error bounds: the server skips its bytes, and the
// connection goes on. A frame that breaks the format ends the connection.
//
// # Ends
//
// Closing the connection cancels its waiting requests, and nothing else: what they
// did before stands. A request of a task that does not run, or runs elsewhere by
// now, gets the error superseded.
package frames
