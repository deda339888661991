package views

import "fmt"

// sharedCommands are calls of a command on shared objects.
const sharedCommands = `task="curl -sS --unix-socket $ALLCORES_SOCKET $ALLCORES_TASK_URL"
$task/shared/hits/add -d 1                          # the new value
$task/shared/todo/put -H 'Content-Type: text/plain' -d photo.jpg
$task/shared/todo/get -X POST                       # waits for an item
$task/shared/todo/get?timeout=0 -X POST             # does not wait
$task/shared/ages/set?kind=dict\&arg=ada -d 36
$task/shared/hits                                   # name, kind and value
$task/progress -d '{"fraction": 0.5, "message": "half"}'
`

// sharedREST are calls of other programs on shared objects.
func sharedREST(base string) string {
	return fmt.Sprintf(`auth="Authorization: Bearer $ALLCORES_TOKEN"
curl -sS -H "$auth" "%[1]s/api/v1/jobs/ID/shared"
curl -sS -H "$auth" "%[1]s/api/v1/jobs/ID/shared/hits"
curl -sS -H "$auth" -H "Content-Type: application/json" "%[1]s/api/v1/jobs/ID/shared/hits/add" -d '{"args": [1]}'
curl -sS -H "$auth" "%[1]s/api/v1/jobs/ID/progress"
`, base)
}

// sharedKindRows list the operations of each kind of shared object.
var sharedKindRows = [][2]string{
	{"value", "get, set, add, compare_exchange"},
	{"queue", "put*, get*, size, empty, full, task_done, join*; params size: most items"},
	{"pipe", "send, recv*, poll*, close; the first argument is the end, 0 or 1"},
	{"array", "get, set, add, slice, set_slice, len; params type: Python's typecode, size"},
	{"dict", "get, set, delete, pop, setdefault, popitem, update, add, keys, values, items, contains, len, clear"},
	{"list", "append, extend, insert, pop, get, set, delete, slice, set_slice, del_slice, index, count, contains, remove, reverse, clear, assign, len"},
	{"lock", "acquire*, release, locked; params type: reentrant"},
	{"event", "set, clear, is_set, wait*"},
	{"semaphore", "acquire*, release, value; params size: permits"},
	{"condition", "acquire*, release, wait*, notify, notify_all"},
	{"barrier", "wait*, abort, reset, state; params size: parties"},
}
