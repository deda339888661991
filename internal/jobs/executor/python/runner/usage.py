"""Measures CPU time and memory, and watches the memory limit."""
import os, signal, sys
from resource import getrusage, RUSAGE_SELF, RUSAGE_CHILDREN


def resident_peak():
    """Returns the peak of this program's resident memory in KiB, or 0 without /proc."""
    try:
        with open("/proc/self/status", "rb", buffering=0) as file:
            return int(file.read().split(b"VmHWM:", 1)[1].split(None, 1)[0])
    except (OSError, IndexError):
        return 0


class Usage:
    """What the process uses. It must be made as the process begins."""

    def __init__(self):
        # A new program keeps the peak of the process that started it.
        self.inherited = getrusage(RUSAGE_SELF).ru_maxrss
        self.kills = -1  # descriptor of the file that counts kills, or -1

    def now(self):
        """Returns the CPU seconds in user mode and in the kernel, and the peak of resident
        bytes, of the process and the children that it waited for."""
        own, below = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
        unit = 1 if sys.platform == "darwin" else 1024
        peak = own.ru_maxrss if own.ru_maxrss > self.inherited else resident_peak() or own.ru_maxrss
        return own.ru_utime + below.ru_utime, own.ru_stime + below.ru_stime, max(peak, below.ru_maxrss) * unit

    def watch_kills(self, path):
        """Names the file that counts kills."""
        self.kills = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def check_kills(self):
        """Ends this process when the kernel killed one that the running task had started,
        as both have one memory limit. The parent does so too, but may be late."""
        if self.kills < 0:
            return
        try:
            count = os.pread(self.kills, 256, 0).partition(b"oom_kill ")[2].split()
        except OSError:
            return  # the task closed or replaced it
        if count and count[0] != b"0":
            os.kill(os.getpid(), signal.SIGKILL)
