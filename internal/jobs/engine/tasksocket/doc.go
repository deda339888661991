// Package tasksocket serves the running tasks of a node: HTTP/1.1 over one Unix
// socket, which every task finds in its environment.
//
//	ALLCORES_SOCKET    path of the socket
//	ALLCORES_TASK_URL  http://allcores/KEY for Python, whose client appends the task;
//	                   http://allcores/KEY/tasks/INDEX for a command
//
// So a command reaches it with
//
//	curl --unix-socket $ALLCORES_SOCKET $ALLCORES_TASK_URL/blobs/SHA256
//
// # Sessions
//
// A [Session] is one call of an executor's Run: a lane of a job whose tasks run now.
// The engine opens it before the executor starts and closes it after the executor
// has returned. Its key is a random name that only its tasks get; opening it is an
// entry in a map and makes no system call. Requests of a closed session are
// refused, and those that go on are cancelled.
//
// # Executions
//
// Every request names a task: /KEY/tasks/INDEX/…. The session asks its lane under
// which lease the task runs there. Job, task and lease are an [Execution], one
// attempt at a task. A request for a task that the lane does not hold is refused. What
// needs the job alone, or a connection on which each request names its task, has
// the path /KEY/… instead (see [SessionHandler]).
//
// # Who owns what
//
// The [Server] owns the listener, the socket's file and the map of sessions; a lane
// owns its leases. What a path below a task does is a [Handler], registered by
// [Server.Handle] before [Server.Start]. Handlers own their state.
package tasksocket
