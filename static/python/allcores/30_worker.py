

# The side inside a task. A job of this client runs the program
#
#     import allcores
#     call = allcores._program(MANIFEST)
#
# whose function call gets each input and returns the document of the result. The manifest,
# a JSON text, has
#
#     format       1
#     python       the client's version, such as [3, 11]
#     initializer  an input, as below, to be called once in each process; or absent
#     modules      the sources that the inputs need unless they name others
#
# An input of format 1 is an object with
#
#     fn         "module:qualified.name" of the function, or how it looks if it is pickled
#     args       documents of the arguments (see 20_values.py); absent if there are none
#     kwargs     the same by name
#     call       instead of both, the document of one pickle of (function or None, args, kwargs)
#     by         "cloudpickle" if that made the pickle
#     modules    sha256 of a blob with the sources that it needs, if they are others
#
# Sources are {"modules": {NAME: [SHA256, PATH, KIND]}, "main": [SHA256, PATH, NAME, ARGV]},
# KIND being one of _MODULE, _PACKAGE, _NAMESPACE. They are loaded from the client's texts,
# under the client's paths, before installed modules of the same names. __main__ is run
# under the name __mp_main__, once a function or pickle needs it, and is then both.


class _Worker:
    """What a job of this client has in one worker process."""

    def __init__(self, manifest):
        if manifest.get("format") != 1:
            raise Error("a program of format {0}, which this version ({1}) cannot run".format(manifest.get("format"), VERSION))
        self.python = tuple(manifest["python"])
        self.initializer = manifest.get("initializer")
        self.failed = None  # payload of the initializer's failure
        self.functions = {}  # by name; only of modules, which have them anyway
        self.finder = _Finder()
        self.lock = threading.RLock()
        self.seen = set()  # sha256 of the sources that were added
        self.finder.add(manifest.get("sources"))
        self.call = self.first if self.initializer else self.run

    def first(self, task):
        """Run the initializer, then the task; once the initializer has run, only tasks."""
        with self.lock:
            if self.call == self.first:
                try:
                    fn, args, kwargs = self.read(self.initializer)
                    fn(*args, **kwargs)
                except BaseException as e:
                    _log_initializer()
                    self.failed = _payload_of(e, "initializer")
                self.call = self.run if self.failed is None else self.refuse
        return self.call(task)

    def refuse(self, task):
        """Fail, as the initializer did."""
        e = Error("the initializer failed in this process")
        e.__allcores_payload__ = self.failed
        raise e

    def run(self, task):
        """Run one task and return the document of its result."""
        try:
            if len(task) == 2 and "args" in task:
                fn = self.functions.get(task["fn"]) or self.function(task["fn"])
                args, kwargs = task["args"], {}
                for x in args:
                    if type(x) is dict and _MARK in x:
                        args = self.decoded(args)
                        break
                x = None
            else:
                fn, args, kwargs = self.read(task)
        except BaseException as e:
            _carry(e, "arguments" if not isinstance(e, Error) else "raised")
            raise
        del task
        try:
            result = fn(*args, **kwargs)
        except BaseException as e:
            _carry(e, "raised")
            raise
        finally:
            fn = args = kwargs = None
        try:
            return _encode(result, _task_put)
        except BaseException as e:
            _carry(e, "result", _repr_of(result))
            raise
        finally:
            result = None

    def read(self, task):
        """Return the function and the arguments of an input."""
        if task.get("modules"):
            self.need(task["modules"])
        if "call" not in task:
            kwargs = task.get("kwargs") or {}
            kwargs = dict(zip(kwargs, self.decoded(kwargs.values())))
            return self.function(task["fn"]), self.decoded(task.get("args") or ()), kwargs
        if task.get("by") == "cloudpickle":
            self.check_cloudpickle(task["fn"])
        data = _pickle_of(task["call"], _task_get)
        self.load_main(b"__main__" in data or b"__mp_main__" in data)
        fn, args, kwargs = pickle.loads(data)
        return fn if fn is not None else self.function(task["fn"]), args, kwargs

    def decoded(self, documents):
        """Return the values of documents; the same pickle twice is one object, as it was."""
        values, pickles = [], {}
        for x in documents:
            if type(x) is not dict or _MARK not in x:
                values.append(x)
            elif x[_MARK] == "same":
                values.append(values[x["index"]])
            else:
                data = _pickle_of(x, _task_get)
                self.load_main(b"__main__" in data or b"__mp_main__" in data)
                values.append(pickle.loads(data))
        return values

    def function(self, name):
        """Return the function of a name, importing its module."""
        module, _, path = name.partition(":")
        if module == "__main__":
            self.load_main(True)
        with self.lock:
            found = __import__(module, fromlist=("",)) if module not in sys.modules else sys.modules[module]
        for part in path.split("."):
            found = getattr(found, part)
        self.functions[name] = found
        return found

    def need(self, sha):
        """Add the sources of a blob, unless they were added before."""
        with self.lock:
            if sha not in self.seen:
                self.finder.add(json.loads(_task_get(sha)))
                self.seen.add(sha)

    def load_main(self, needed):
        if needed and self.finder.main is not None:
            with self.lock:
                self.finder.load_main()

    def check_cloudpickle(self, name):
        """Raise if what cloudpickle made on the client cannot be read here."""
        if self.python != sys.version_info[:2]:
            raise Error(
                "{0} was sent as bytecode by cloudpickle, which Python {1}.{2} (the client) and Python {3}.{4} (the worker) "
                "do not share: define it with def at the top of a module, or give interpreter= the client's Python".format(
                    name, *(self.python + sys.version_info[:2])
                )
            )
        try:
            import cloudpickle  # noqa: F401
        except ImportError:
            raise Error(
                "{0} was sent by cloudpickle, which the worker's Python ({1}) does not have: install cloudpickle there, or "
                "define it with def at the top of a module".format(name, sys.executable)
            ) from None


_worker = None


def _program(manifest):
    """Return the function that runs the inputs of a job of this client."""
    global _worker
    if _worker is not None:
        _worker.finder.remove()
    _worker = _Worker(json.loads(manifest))
    _worker.finder.install()
    worker = _worker

    def call(task):
        return worker.call(task)

    return call


def _carry(e, kind, value=None):
    """Attach to an exception what the client needs to raise it again."""
    try:
        BaseException.__setattr__(e, "__allcores_payload__", _payload_of(e, kind, value))
    except Exception:
        pass  # the server keeps its type and message


def _log_initializer():
    import logging

    logging.getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=True)


class _Finder:
    """Imports the client's modules: a finder and loader for sys.meta_path."""

    def __init__(self):
        self.modules = {}  # by name: sha256, path, kind
        self.main = None  # sha256, path, name under which -m ran it, sys.argv
        self.texts = {}  # by sha256: sources that were fetched
        self.before = sys.modules.get("__main__")
        self.loading_main = False
        self.main_loaded = False

    def add(self, sources):
        if sources:
            self.modules.update(sources.get("modules", ()))
            if self.main is None:
                self.main = sources.get("main")

    def install(self):
        sys.meta_path.insert(0, self)

    def remove(self):
        """Undo what a job before this one has changed in the process."""
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(self)
        for name in self.modules:
            sys.modules.pop(name, None)
        if self.main_loaded:
            sys.modules.pop("__mp_main__", None)
            if self.before is not None:
                sys.modules["__main__"] = self.before

    def find_spec(self, name, path=None, target=None):
        entry = self.modules.get(name)
        if entry is None:
            return None
        _, origin, kind = entry
        from importlib.machinery import ModuleSpec

        spec = ModuleSpec(name, self, origin=origin or None, is_package=kind != _MODULE)
        if kind == _PACKAGE:
            spec.submodule_search_locations = [os.path.dirname(origin)]
        spec.has_location = kind != _NAMESPACE
        return spec

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        _, path, kind = self.modules[module.__name__]
        if kind != _NAMESPACE:
            exec(self.compiled(module.__name__, path), module.__dict__)

    def is_package(self, name):
        return self.modules[name][2] != _MODULE

    def get_source(self, name):
        entry = self.main if name == "__mp_main__" else self.modules[name]
        return self.text(entry[0]) if entry[0] else ""

    def text(self, sha):
        from importlib.util import decode_source

        if sha not in self.texts:
            self.texts[sha] = decode_source(_task_get(sha))
        return self.texts[sha]

    def compiled(self, name, path):
        import linecache

        text = self.get_source(name)
        # An entry without a time of change is never checked against a file.
        linecache.cache[path] = (len(text), None, text.splitlines(True), path)
        return compile(text, path, "exec", dont_inherit=True)

    def load_main(self):
        """Run the client's __main__, as multiprocessing does under spawn, unless it was run."""
        if self.main_loaded or self.loading_main:
            return
        _, path, name, argv = self.main
        module = types.ModuleType("__mp_main__")
        module.__file__, module.__loader__ = path, self
        if name:
            from importlib.machinery import ModuleSpec

            module.__spec__ = ModuleSpec(name, self, origin=path)
            module.__package__ = name.rpartition(".")[0]
        sys.argv[:] = argv
        self.loading_main = True
        sys.modules["__main__"] = sys.modules["__mp_main__"] = module
        try:
            exec(self.compiled("__mp_main__", path), module.__dict__)
            self.main_loaded = True
        except BaseException:
            sys.modules.pop("__mp_main__", None)
            sys.modules["__main__"] = self.before
            raise
        finally:
            self.loading_main = False


def _importing_main():
    """Return whether this process is a worker that runs the client's __main__."""
    return _worker is not None and _worker.finder.loading_main
