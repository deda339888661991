// Package sharedcalls answers the calls of running tasks on shared objects, and their
// reports of progress, on the task socket.
//
// A request arrives as a frame (see package frames) or as an HTTP request. Both become
// a shared.Call of a shared.Caller, which the [Home] answers. The package keeps no
// state but its open connections.
//
// # HTTP
//
// Commands call with curl. TASK is $ALLCORES_TASK_URL:
//
//	POST TASK/shared/NAME/OP   a call; the body is its last argument
//	GET  TASK/shared/NAME      {"name", "kind", "value", …}
//	GET  TASK/shared           {"items": […]} without long values
//	POST TASK/progress         {"fraction": 0.5, "message": "half"}
//
// for example
//
//	curl --unix-socket "$ALLCORES_SOCKET" "$ALLCORES_TASK_URL/shared/hits/add" -d 1
//	curl --unix-socket "$ALLCORES_SOCKET" "$ALLCORES_TASK_URL/shared/ages/set?kind=dict&arg=ada" -d 36
//
// A body is JSON, or with Content-Type: text/plain a text. Arguments before the last
// one, or all of them, are parameters arg of the query, in their order: JSON, or a text
// if they are not JSON. Further parameters are kind, scope, timeout in seconds, and for
// the first call on an object size, type and initial. Without kind the object's own
// kind counts, or for a new object the only kind that has the operation. A call that
// waits without timeout waits until it is answered, the client goes or the task ends.
//
// The answer is the result as JSON and a line feed. An error is a problem document with
// the kind of the error.
//
// # Ends
//
// A connection that closes cancels its waiting calls. All connections of a session
// close with the session. Calls of a task whose lease the lane has lost are refused as
// superseded, also on an open connection.
package sharedcalls
