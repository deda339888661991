"""Reads and writes frames; see __init__."""
import os, struct, threading


class Frames:
    """The frames from and to the parent."""

    def __init__(self):
        self.file = open(3, "rb", buffering=1 << 16)
        self.lock = threading.RLock()  # of what is written, and of what is collected for it
        self.writing = False           # a frame is incomplete

    def read(self):
        """Returns the next frame's type and body; None at the end."""
        head = self.file.read(5)
        if len(head) < 5:
            return None, None
        size, kind = struct.unpack("<IB", head)
        body = self.file.read(size)
        if len(body) < size:
            return None, None
        return chr(kind), body

    def write(self, kind, *parts):
        """Writes one frame; the lock must be held."""
        size = sum(map(len, parts))
        data = memoryview(b"".join((struct.pack("<IB", size, ord(kind)),) + parts))
        self.writing = True
        while data:
            data = data[os.write(4, data):]
        self.writing = False
