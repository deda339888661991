"""Restores what a job may change in its process, for the next job."""
import builtins, gc, os, resource, signal, sys, threading
from _signal import getsignal  # without the enums of signal, whose making takes longer

from .printing import identity
from .values import MODULE

HOOKS = ("excepthook", "unraisablehook", "displayhook", "stdin", "stdout", "stderr", "__stdout__", "__stderr__", "argv",
         "dont_write_bytecode")
LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
ITIMERS = signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF
LARGE = 64 << 20  # bytes that are freed before the next job needs as many
MAIN = "__mp_main__"  # multiprocessing's name of __main__
CLIENT = "allcores"   # the client, which holds what it knows of its job: the next job imports it anew


class Baseline:
    """The state of the process before the program was loaded. It must be made after the
    streams are in place."""

    def __init__(self):
        self.environ = dict(os.environ._data)
        self.path = list(sys.path)
        self.hooks = [(name, getattr(sys, name)) for name in HOOKS]
        self.builtins = dict(vars(builtins))
        self.signals = [(int(s), getsignal(s)) for s in signal.valid_signals()]
        self.blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self.limits = limits()
        self.numbers = sys.getrecursionlimit(), sys.getswitchinterval(), gc.get_threshold(), umask(), gc.isenabled()
        self.locale = locale()
        self.descriptors = descriptors()
        self.threads = threading.active_count()
        self.modules = set(sys.modules)
        self.resident = resident()

    def loaded(self):
        """Records what the libraries that the program imports have set; loading the program
        again sets its own part again."""
        warnings = sys.modules.get("warnings")
        self.warnings = warnings and (list(warnings.filters), warnings.showwarning)

    def clean(self):
        """Returns whether restore can restore the process: it has no additional thread,
        child, descriptor or module."""
        leave = getattr(sys.modules.get(CLIENT), "_leave", None)
        if leave is not None:
            leave()
        if threading.active_count() != self.threads or has_children() or descriptors() != self.descriptors:
            return False
        if limits() != self.limits:
            return False
        # Modules of the interpreter's own directories stay; any others may have
        # changed, or be left by a task.
        library = os.path.dirname(os.__file__)
        for name in sorted(sys.modules.keys() - self.modules - {MODULE, MAIN}):
            if of_client(name):
                continue
            module = sys.modules[name]
            file = getattr(module, "__file__", None)
            if file is None and getattr(module, "__spec__", None) is None:
                if name.split(".", 1)[0] not in self.modules:
                    return False  # made by the program, not by an installed package
            elif file is not None and "-packages" not in file and not file.startswith(library):
                return False
            self.modules.add(name)
        return True

    def restore(self, env):
        """Restores the process, with these environment variables changed."""
        # The module and its functions refer to each other.
        sys.modules.pop(MODULE, None)
        for name in list(filter(of_client, sys.modules)):
            del sys.modules[name]
        if resident() > self.resident + LARGE:
            gc.collect()
        restore_environ(self.environ, env)
        sys.path[:] = self.path
        for name, value in self.hooks:
            setattr(sys, name, value)
        self.restore_interpreter()
        self.restore_signals()
        self.restore_libraries()

    def restore_interpreter(self):
        sys.settrace(None)
        sys.setprofile(None)
        threading.settrace(None)
        threading.setprofile(None)
        recursion, switch, thresholds, mask, collecting = self.numbers
        sys.setrecursionlimit(recursion)
        sys.setswitchinterval(switch)
        gc.set_threshold(*thresholds)
        (gc.enable if collecting else gc.disable)()
        os.umask(mask)
        if vars(builtins) != self.builtins:
            for name in vars(builtins).keys() - self.builtins.keys():
                delattr(builtins, name)
            vars(builtins).update(self.builtins)

    def restore_signals(self):
        for timer in ITIMERS:
            signal.setitimer(timer, 0)
        for s, handler in self.signals:
            if handler is not None and getsignal(s) is not handler:
                signal.signal(s, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.blocked)

    def restore_libraries(self):
        modules = sys.modules
        if self.warnings:
            warnings = modules["warnings"]
            warnings.filters[:], warnings.showwarning = self.warnings
            getattr(warnings, "_filters_mutated", getattr(warnings, "_filters_mutated_lock_held", int))()
        if "logging" in modules:
            restore_logging(modules["logging"])
        if "random" in modules:
            modules["random"].seed()
        if "numpy.random" in modules:
            modules["numpy.random"].seed()
        if "socket" in modules:
            modules["socket"].setdefaulttimeout(None)
        if "multiprocessing.context" in modules:
            modules["multiprocessing.context"]._default_context._actual_context = None
        if locale() != self.locale:
            import _locale
            _locale.setlocale(_locale.LC_ALL, self.locale)


def of_client(name):
    return name == CLIENT or name.startswith(CLIENT + ".")


def restore_environ(environ, changes):
    """Sets os.environ to the variables of environ, which are encoded, with the changes."""
    data = os.environ._data
    for name in data.keys() - environ.keys():
        del os.environ[os.environ.decodekey(name)]
    for name, value in environ.items():
        if data.get(name) != value:
            os.environ[os.environ.decodekey(name)] = os.environ.decodevalue(value)
    os.environ.update(changes)


def restore_logging(logging):
    """Resets all loggers except those named as a loaded module."""
    logging.disable(logging.NOTSET)
    logging.captureWarnings(False)
    loggers = [(name, logger) for name, logger in logging.root.manager.loggerDict.items()
               if isinstance(logger, logging.Logger) and name.split(".", 1)[0] not in sys.modules or name in (MODULE, "__main__")]
    for name, logger in [("", logging.root)] + loggers:
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            try:
                handler.close()
            except Exception:
                pass
        logger.filters.clear()
        logger.setLevel(logging.NOTSET if name else logging.WARNING)
        logger.propagate, logger.disabled = True, False


def has_children():
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    except (AttributeError, OSError):
        pass
    return True


def descriptors():
    """Returns the lowest free descriptor, which changes when one is opened or closed, and
    the files of the standard streams."""
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    return lowest, identity(0), identity(1), identity(2)


def limits():
    return [resource.getrlimit(r) for r in LIMITS]


def resident():
    """Returns the resident bytes of this process, or 0 without /proc."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def umask():
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def locale():
    module = sys.modules.get("_locale")
    return module and module.setlocale(module.LC_ALL)


