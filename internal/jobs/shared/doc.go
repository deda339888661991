// Package shared is the state that the tasks of a job share: queues, pipes, values,
// arrays, dictionaries, lists, locks, events, semaphores, conditions and barriers,
// each known by a name within a [Scope]. The package is pure: it has no goroutine, no
// clock and no database. Package scopes (internal/jobs/engine/scopes) keeps one
// [Space] for each scope that is used, writes its events to a log, and waits on behalf
// of callers.
//
// # Calls
//
// A [Call] names an object, its kind, an operation and the operation's arguments, all
// of them JSON documents. An object is created by the first call that names it, with
// the call's [Params] or else the kind's defaults. A later call with another kind, or
// with other parameters, is refused with an error that names both; a call without
// parameters takes the object as it is. The operation make only creates or checks; destroy, of outside clients only, removes
// the object.
//
//	kind       operation(arguments) → answer                          parameters
//	queue      put(item)* → null; get()* → item; size() → n;           size: most items, 0 for any
//	           empty() → bool; full() → bool;                          number; then put waits
//	           task_done() → null; join()* → null
//	pipe       send(end, item) → null; recv(end)* → item;              none; end is 0 or 1
//	           poll(end)* → bool; close(end) → null
//	value      get() → v; set(v) → null; add(number) → the new v;      initial: a JSON document,
//	           compare_exchange(expected, v) → bool                    default 0
//	array      get(i) → v; set(i, v) → null; add(i, number) → v;       type: Python's typecode; size;
//	           slice(start, stop, step) → [v…];                        initial: a list, default zeros
//	           set_slice(start, stop, step, [v…]) → null; len() → n
//	dict       get(key) → [value] or [];  set(key, value) → null;      initial: a list of [key, value]
//	           delete(key) → null; pop(key) → [value] or [];
//	           setdefault(key, value) → value; popitem() → [key, value];
//	           update([[key, value]…]) → null; add(key, number) → the new value;
//	           keys() → [key…]; values() → [value…]; items() → [[key, value]…];
//	           contains(key) → bool; len() → n; clear() → null
//	list       append(item) → null; extend([item…]) → null;            initial: a list
//	           insert(i, item) → null; pop(i) → item; get(i) → item;
//	           set(i, item) → null; delete(i) → null;
//	           slice(start, stop, step) → [item…];
//	           set_slice(start, stop, step, [item…]) → null;
//	           del_slice(start, stop, step) → null;
//	           index(item, start, stop) → i; count(item) → n; contains(item) → bool;
//	           remove(item) → null; reverse() → null; clear() → null;
//	           assign([item…]) → null; len() → n
//	lock       acquire()* → bool; release() → null; locked() → bool    type: "" or "reentrant"
//	event      set() → null; clear() → null; is_set() → bool;          none
//	           wait()* → bool
//	semaphore  acquire()* → bool; release(n = 1) → null; value() → n   size: n, default 1;
//	                                                                   type: "" or "bounded"
//	condition  acquire()* → bool; release() → null; wait()* → bool;    none; its lock is
//	           notify(n = 1) → null; notify_all() → null               reentrant
//	barrier    wait()* → index; abort() → null; reset() → null;        size: parties
//	           state() → {"parties", "waiting", "broken"}
//
// Operations with * wait: for ever without a timeout, not at all with 0. A call whose
// time is up answers false where the answer is a bool, else it is an error of kind
// empty, full, timeout or broken. Indexes count from the end where they are negative.
// start, stop and step are as in Python's slices; null leaves one out. Items and keys are
// equal where their JSON texts are.
//
// # Who calls
//
// A [Caller] is an execution of a task, (job, index, lease), or an outside client. The
// calls of a task have ordinals by their order of arrival, for each of its threads.
// The journal of a task has its answers until its outcome is recorded. When the task
// runs again, the call with a known ordinal gets the answer from then and changes
// nothing, and a call that differs from the one of that ordinal is refused with kind
// differs. Operations of locks are really made each time; make has no ordinal.
// The calls of an outside client are known by their keys: a key that was used before
// gets the answer from then.
//
// # Consistency
//
// All calls of a scope happen one after the other, in the order of their events; each
// sees every earlier one. That holds for every kind. It is lost neither with a node nor
// with the database: the record of an outcome waits for the log up to the task's last
// call, and the log is a prefix of that one history. So whatever a recorded outcome
// depends on is in the log.
//
//	value, array, dict,   Linearizable. Each operation is atomic and counts once for a task,
//	list, event           however often the task runs. An operation after another is not
//	                      atomic with it: hold a lock.
//	queue, pipe           First in, first out, over all tasks. An item is delivered to one
//	                      task. A task that runs again gets the items it had got. Its put
//	                      items are there once.
//	lock, condition       Held by an execution, by at most one at a time. They fall when it
//	                      ends in any way. A task that runs again acquires them really,
//	                      waiting if need be. What it had only read since its last change is
//	                      forgotten when it ends without an outcome and is read anew, so
//	                      that a section under a lock that had changed nothing yet begins
//	                      with fresh values. Changes made in the section stay.
//	semaphore             Its permits belong to the task, over all of its executions. A task
//	                      that succeeds keeps the number as it left it; those of a task that
//	                      failed or was cancelled come back.
//	barrier               An execution that ends while it waits breaks it, as does one of its
//	                      last round that ends without success while others wait. All
//	                      who wait get an error of kind broken. reset makes it whole.
//
// Answers of operations that only read, of more than 4 KiB, are not kept: a task that
// runs again reads anew.
//
// # Bounds
//
// [Bounds] are checked before a call changes anything. A refused call has an error of
// kind bounds that says which bound and what was given.
package shared
