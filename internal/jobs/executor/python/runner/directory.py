"""The directory in which tasks begin."""
import os

SHOWN = 5  # names that a note has


class Directory:
    """The directory of the tasks of a process. What a task that runs alone leaves there
    is removed after it and named in its log. Files that the module makes stay."""

    def __init__(self, path):
        self.path = path
        os.mkdir(path)
        os.chdir(path)
        self.cwd, self.own, self.kept = path, True, set()
        self.mark()

    def loaded(self):
        """Notes the state after the module was loaded. A module may change to another
        directory, in which nothing is removed."""
        if not self.kept and self.own and not self.changed():
            return
        self.cwd = os.getcwd()
        self.own = self.cwd == self.path
        self.kept = set(os.listdir(self.path))
        self.mark()

    def mark(self):
        """Sets the directory's time of change to one that no change gives."""
        os.utime(self.path, ns=(0, 0))
        s = os.stat(self.cwd)
        self.unchanged = s.st_ino, s.st_dev, s.st_mtime if self.own else None

    def changed(self):
        """Returns whether there may be something to remove."""
        try:
            s = os.stat(".")
        except OSError:
            return True
        ino, dev, mtime = self.unchanged
        return s.st_ino != ino or s.st_dev != dev or mtime is not None and s.st_mtime != mtime

    def left(self):
        """Returns the names of what tasks left."""
        try:
            return sorted(set(os.listdir(self.path)) - self.kept)
        except OSError:
            return []  # a task removed it

    def tidy(self):
        """Removes what a task left, goes back to where tasks begin, and returns the names."""
        names = self.left()
        self.restore(names)
        return names

    def restore(self, names):
        os.makedirs(self.path, exist_ok=True)
        os.chmod(self.path, 0o700)
        for name in names:
            remove(os.path.join(self.path, name))
        try:
            os.chdir(self.cwd)
        except OSError:
            self.cwd, self.own = self.path, True
            os.chdir(self.path)
        self.kept.update(self.left())  # what could not be removed
        self.mark()

    def fresh(self):
        """Restores the state before the module was loaded."""
        if not self.kept and self.own and not self.changed():
            return
        self.kept = set()
        self.cwd, self.own = self.path, True
        self.restore(self.left())


def remove(path):
    try:
        os.unlink(path)
    except OSError:
        import shutil
        shutil.rmtree(path, ignore_errors=True)


def said(names, before):
    """Returns the log line about files that are removed."""
    text = ", ".join(name.encode("utf-8", "backslashreplace").decode()[:100] for name in names[:SHOWN])
    if len(names) > SHOWN:
        text += " and %d more" % (len(names) - SHOWN)
    return "[%s: %s; a file that is to stay is named by an absolute path]" % (before, text)
