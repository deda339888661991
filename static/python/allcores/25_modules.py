

# Which modules travel, and how. A *local* module is one with source that lies neither in
# the standard library nor among installed packages. A function needs its own module, the
# modules that its pickled arguments name, and what those import, directly or not. They
# are found by reading import statements; nothing is imported for it.

_MODULE, _PACKAGE, _NAMESPACE = 0, 1, 2
_STDLIB = os.path.realpath(os.path.dirname(os.__file__)) + os.sep
_THIS = os.path.realpath(__file__)


class _Source:
    """A local module: its name, path, kind, text and the names it may import."""

    __slots__ = ("name", "path", "kind", "data", "imports")

    def __init__(self, name, path, kind, data, imports):
        self.name, self.path, self.kind, self.data, self.imports = name, path, kind, data, imports


class _Sources:
    """Finds local modules and keeps what it has read. A file that changed is read again."""

    def __init__(self):
        self._lock = threading.Lock()
        self._read = {}  # by path: the file's state, and the module

    def closure(self, names):
        """Return the local modules of these names and those that they need, by name."""
        found, left = {}, list(names)
        while left:
            name = left.pop()
            for part in _with_parents(name):
                if part in found:
                    continue
                source = found[part] = self.find(part)
                if source is not None:
                    left.extend(source.imports)
                    if source.kind != _MODULE:
                        left.extend(_loaded_below(part))
        return {name: source for name, source in found.items() if source is not None}

    def find(self, name):
        """Return the local module of a name, or None if there is none."""
        spec = _spec_of(name)
        if spec is None:
            return None
        if spec.origin is None or spec.origin == "namespace":
            places = spec.submodule_search_locations
            if places is None or not any(_is_local(os.path.join(place, "")) for place in places):
                return None
            return _Source(name, "", _NAMESPACE, b"", ())
        if not spec.has_location or not _is_local(spec.origin):
            return None
        return self._load(name, spec)

    def _load(self, name, spec):
        path = spec.origin
        try:
            s = os.stat(path)
            state = (name, s.st_mtime_ns, s.st_size)
        except OSError:
            state = (name, 0, 0)  # in a zip file
        with self._lock:
            kept = self._read.get(path)
        if kept is not None and kept[0] == state:
            return kept[1]
        data = _source_of(spec)
        if data is None:
            return None
        is_package = spec.submodule_search_locations is not None
        package = name if is_package else name.rpartition(".")[0]
        source = _Source(name, path, _PACKAGE if is_package else _MODULE, data, _imports_of(data, package))
        with self._lock:
            self._read[path] = state, source
        return source

    @staticmethod
    def main_path():
        """Return the path of __main__'s file, or None if it has none, as in an interactive interpreter."""
        return getattr(sys.modules.get("__main__"), "__file__", None)

    def main(self):
        """Return __main__ as a module whose name is that under which -m ran it, or empty.

        None if it has no file, as in an interactive interpreter.
        """
        module, path = sys.modules.get("__main__"), self.main_path()
        if not path:
            return None
        path = os.path.abspath(path)
        spec = getattr(module, "__spec__", None)
        name = spec.name if spec is not None else ""
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError:
            loader = getattr(module, "__loader__", None)
            data = loader.get_data(path) if hasattr(loader, "get_data") else None
            if data is None:
                return None
        package = getattr(module, "__package__", None) or ""
        return _Source(name, path, _MODULE, data, _imports_of(data, package))


_sources = _Sources()


def _with_parents(name):
    """Return "a", "a.b" and "a.b.c" for "a.b.c"."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _loaded_below(package):
    """Return the modules of a package that are loaded here: some import by a computed name."""
    prefix = package + "."
    return [name for name in list(sys.modules) if name.startswith(prefix)]


def _spec_of(name):
    """Return the spec of a module, found without importing anything; None if there is none."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if spec is not None:
        return spec
    from importlib.machinery import PathFinder

    parent = name.rpartition(".")[0]
    try:
        if not parent:
            return PathFinder.find_spec(name)
        above = _spec_of(parent)
        if above is None or above.submodule_search_locations is None:
            return None
        return PathFinder.find_spec(name, above.submodule_search_locations)
    except (ImportError, AttributeError, ValueError, TypeError):
        return None


def _is_local(path):
    """Return whether a module's file is neither the standard library's nor an installed package's."""
    path = os.path.realpath(path)
    if path == _THIS or path.endswith((".so", ".pyd", ".pyc")):
        return False
    parts = path.replace("\\", "/").split("/")
    if "site-packages" in parts or "dist-packages" in parts:
        return False
    return not path.startswith(_STDLIB)


def _source_of(spec):
    """Return the bytes of a module's source, or None."""
    try:
        if os.path.exists(spec.origin):
            with open(spec.origin, "rb") as file:
                return file.read()
        text = spec.loader.get_source(spec.name)
        return None if text is None else text.encode()
    except (OSError, AttributeError, ImportError):
        return None


def _imports_of(data, package):
    """Return the names of modules that a source may import."""
    import ast

    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")
                above = above[: len(above) - node.level + 1]
                base = ".".join([part for part in above if part] + ([base] if base else []))
            if base:
                names.add(base)
            prefix = base + "." if base else ""
            names.update(prefix + alias.name for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            first = getattr(node.args[0], "value", None)
            if name in ("import_module", "__import__") and isinstance(first, str) and first:
                names.add(first if first[0] != "." else package + first)
    return tuple(sorted(names))


def _modules_in(data):
    """Return the loaded modules whose names occur in a pickle: those that it needs, and maybe others."""
    global _names_seen, _names_match
    names = len(sys.modules)
    if names != _names_seen:
        local = [name for name, module in list(sys.modules.items()) if _may_be_local(name, module)]
        local.append("__main__")
        _names_match = re.compile("|".join(map(re.escape, sorted(local, reverse=True))).encode())
        _names_seen = names
    return {name.decode() for name in set(_names_match.findall(data))}


_names_seen, _names_match = -1, None


def _may_be_local(name, module):
    file = getattr(module, "__file__", None)
    return file is not None and name not in ("__main__", "__mp_main__", __name__) and _is_local(file)
