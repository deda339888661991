"""Runs the tasks of one Allcores program inside a worker process.

It uses only the standard library of Python 3.8 and newer. The parent communicates
through four descriptors, which nothing that a task starts inherits:

  3  frames in: length of the body (u32), type (u8), body; little endian
  4  frames out: the same
  5  shared memory of 64-bit words, see below, and at its end room for what was
     printed and is not sent, and for faulthandler's report of a crash: the
     parent reads both when the process has died
  6  a byte here asks for a flush (see Runner.serve)

A task has a number, which grows by one from task to task over the life of the
process. Its index in its job is computed from the number and its chunk when someone
asks: the client, which `import allcores` gives a task, calls current_task. So a task
that does not ask pays nothing.

The words let the parent see and limit tasks without a message, even while a task
or a C extension holds the interpreter lock:

  HIGH    no task at or above this number has started, or will start, unless this
          word is raised first. Raised *before* the chunk's limit is read,
          so that a parent that lowers the limit, waits a moment and then reads
          HIGH knows for certain which tasks will never start.
  DIRTY   something waits to be flushed (log lines, outcomes of threads)
  RAW     grows when the parent sees something that was written to descriptor 1
          or 2 past sys.stdout and sys.stderr by a task
  ANSWERS grows after each request to flush, once a task could go on: when no other
          task holds the interpreter lock, or the event loop
  UNSENT  bytes of log records in the room for them
  SENT    how many log records were made before those
  LIMIT   eight words, one of each chunk in flight: start nothing from there on
  BEGUN   eight words, HIGH of each chunk in flight where tasks run at once: there a
          chunk may begin while tasks of the one before it have not started
  MARK    one word per thread, a cache line apart: the number of the running task, or -1
"""

running = None  # returns what current_task returns; set while tasks may run


def current_task():
    """Returns the index of the task in which the caller runs, or -1 outside of tasks.

    A thread or asyncio task that a task started counts as that task as far as context
    variables show it. Where tasks run at once and they do not, it raises RuntimeError. A
    forked process keeps the task that forked it."""
    return -1 if running is None else running()


def main():
    """Runs until the parent closes the frames."""
    from .runner import Runner
    r = Runner()
    r.vital(r.main)
