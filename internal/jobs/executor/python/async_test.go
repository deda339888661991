package python_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor/executortest"
)

// An asyncTest is an async function that meddles with asyncio.
type asyncTest struct {
	source string
	free   string // the input of the task whose outcome may be anything
}

var asyncTests = map[string]asyncTest{
	"late cancel": {source: `
    asyncio.current_task().cancel()
    return "ok"`},
	"late cancel, then await": {source: `
    if x % 3 == 1:
        asyncio.current_task().cancel()
        return "ok"
    await asyncio.sleep(0.001)
    return "ok"`},
	"timer": {source: `
    if x % 3 == 0:
        asyncio.get_running_loop().call_later(0.01, asyncio.current_task().cancel)
        return "ok"
    await asyncio.sleep(0.03)
    return "ok"`},
	"context": {source: `
    before = v.get()
    v.set(x)
    await asyncio.sleep(0)
    return "ok" if before == "module" and v.get() == x else before`},
	"swallowed cancel": {source: `
    if x % 3 == 0:
        asyncio.current_task().cancel()
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            return "ok"
    await asyncio.sleep(0.001)
    return "ok" if sys.version_info < (3, 11) or asyncio.current_task().cancelling() == 0 else "cancelling"`},
	"children left over": {source: `
    async def child():
        await asyncio.sleep(0.005)
        raise ValueError("of a child")
    asyncio.ensure_future(child())
    asyncio.ensure_future(asyncio.sleep(60))
    await asyncio.sleep(0.002)
    return "ok"`},
	"cancel all": {source: `
    await asyncio.sleep(0.002 * (x % 3))
    if x == 4:
        for task in asyncio.all_tasks():
            task.cancel()
    await asyncio.sleep(0.01)
    return "ok"`, free: "4"},
	"cancel a neighbour": {source: `
    tasks[x] = asyncio.current_task()
    await asyncio.sleep(0.001)
    for task in tasks.values():
        if task is not asyncio.current_task():
            task.cancel()
    await asyncio.sleep(0.001)
    return "ok"`},
	"await all": {source: `
    asyncio.ensure_future(asyncio.sleep(0.002))
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
    return "ok"`},
	"stop the loop": {source: `
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.001)
    return "ok"`},
	"close the loop": {source: `
    try:
        asyncio.get_running_loop().close()
    except RuntimeError:
        pass
    await asyncio.sleep(0.001)
    return "ok"`},
	"exit of a child": {source: `
    async def child():
        raise SystemExit(3) if x % 2 else KeyboardInterrupt()
    try:
        await asyncio.ensure_future(child())
    except (SystemExit, KeyboardInterrupt):
        return "ok"`},
	"task factory": {source: `
    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro, **kw: 1 / 0)
    await asyncio.sleep(0.001)
    return "ok"`},
	"exit": {source: `
    if x == 5:
        raise SystemExit(1)
    await asyncio.sleep(0.001)
    return "ok"`, free: "5"},
}

// TestAsyncTasksApart checks that changes of an async task to its asyncio task, its
// context or the event loop affect no other task, at the same time or later.
func TestAsyncTasksApart(t *testing.T) {
	t.Parallel()
	for name, test := range asyncTests {
		for _, threads := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s %d", name, threads), func(t *testing.T) {
				t.Parallel()
				l := lane("import asyncio, contextvars, sys\ntasks = {}\nv = contextvars.ContextVar('v')\nv.set('module')\nasync def f(x):" + test.source + "\n")
				l.Threads, l.Timeout = threads, 10*time.Second
				b := executortest.Begin(t, shared, l)
				b.Give(executortest.Numbers(1, 0, 7))
				b.Await("the first chunk ends", func() bool { return len(b.Ended) == 1 })
				b.Give(executortest.Numbers(2, 7, 3))
				if err := b.End(); err != nil {
					t.Fatal(err)
				}
				for i := range int64(10) {
					if got := b.Outputs[i]; got != `"ok"` && fmt.Sprint(i) != test.free {
						t.Errorf("task %d: %q %+v", i, got, b.Failed[i])
					}
				}
			})
		}
	}
}

// TestAsyncCancelledEarly checks that a task that is cancelled from a thread before
// it began fails, and its slot runs others.
func TestAsyncCancelledEarly(t *testing.T) {
	t.Parallel()
	l := lane(`
import asyncio, threading
def cancel_all(loop):
    for task in asyncio.all_tasks(loop):
        task.cancel()
async def f(x):
    if x == 0:
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(cancel_all, loop))
        thread.start()
        thread.join()
    return x
`)
	r := must(t, l, executortest.Numbers(1, 0, 20))
	if len(r.Outputs) != 19 || r.Outputs[0] != "0" || !strings.HasSuffix(r.Failed[1].Type, "CancelledError") {
		t.Errorf("%v %v", r.Outputs, r.Failed)
	}
}

// TestContextsOfThreads checks that the next task on a thread does not see a context
// variable that a task set.
func TestContextsOfThreads(t *testing.T) {
	t.Parallel()
	l := lane(`
import contextvars, decimal
v = contextvars.ContextVar("v", default=None)
def f(x):
    before = [v.get(), decimal.getcontext().prec]
    v.set(x)
    decimal.getcontext().prec = 5
    return before
`)
	l.Threads = 2
	r := must(t, l, executortest.Numbers(1, 0, 20))
	for i := range int64(20) {
		if r.Outputs[i] != "[null,28]" {
			t.Errorf("task %d: %s %v", i, r.Outputs[i], r.Failed[i])
		}
	}
}
