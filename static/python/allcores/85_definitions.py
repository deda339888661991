# Under fork a process has the parent's module as it is. Here it gets the source of the
# script without what only acts, and the global variables: so a script without
# if __name__ == "__main__" does not start again in each of its processes.


def _main_of_script(script, main):
    """Returns __main__ for the processes of a script; main returns it as it is."""
    source = main()
    if source is None or script.method() != "fork":
        return source
    return _Source(source.name, source.path, source.kind, _definitions(source.data), source.imports)


def _definitions(data):
    """Returns a source without the statements that only act: calls of what the script has
    made, loops and with blocks. All others keep their lines."""
    import ast

    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError):
        return data
    names = _Names(ast, tree)
    dropped, kept = set(), set()
    for node in tree.body:
        begin = min([node.lineno] + [d.lineno for d in getattr(node, "decorator_list", ())])
        lines = range(begin, node.end_lineno + 1)
        (dropped if names.acts(node) else kept).update(lines)
    lines = data.splitlines(True)
    for number in dropped - kept:
        lines[number - 1] = b"\n"
    return b"".join(lines)


class _Names:
    """What the names of a module stand for, and which of its statements only act."""

    def __init__(self, ast, tree):
        self.ast = ast
        self.imported, self.parallel = set(), set()  # names of imports; of them, those that start processes
        for node in tree.body:
            for found in ast.walk(node) if isinstance(node, (ast.Try, ast.If)) else (node,):
                if isinstance(found, (ast.Import, ast.ImportFrom)):
                    module = getattr(found, "module", None)
                    for alias in found.names:
                        name = alias.asname or alias.name.split(".")[0]
                        self.imported.add(name)
                        if (module or alias.name).split(".")[0] in ("multiprocessing", "concurrent", "joblib"):
                            self.parallel.add(name)

    def acts(self, node):
        """Returns whether a statement is left out."""
        ast = self.ast
        if isinstance(node, (ast.For, ast.While, ast.With, ast.AsyncFor, ast.AsyncWith, ast.Assert, ast.Raise, ast.Delete)):
            return True
        if isinstance(node, (ast.If, ast.Try)):
            if self.is_guard(node):
                return False  # it is not entered
            return any(self.acts(below) for below in ast.iter_child_nodes(node) if isinstance(below, ast.stmt))
        if isinstance(node, ast.Expr):
            return not isinstance(node.value, ast.Constant) and not self.configures(node.value)
        if isinstance(node, ast.AugAssign):
            return not self.configures(node.target)
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            return any(self.starts(call) for call in ast.walk(node.value) if isinstance(call, ast.Call))
        return False

    def is_guard(self, node):
        test = getattr(node, "test", None)
        return isinstance(test, self.ast.Compare) and any(
            isinstance(n, self.ast.Name) and n.id == "__name__" for n in self.ast.walk(test))

    def configures(self, node):
        """Returns whether an expression is about an imported module, such as sys.path.insert(…)."""
        root = self.root(node)
        return root in self.imported and root not in self.parallel and root not in ("print", "time")

    def starts(self, call):
        """Returns whether a call makes something parallel or uses what the script has made."""
        root = self.root(call.func)
        if root in self.parallel:
            return True
        return isinstance(call.func, self.ast.Attribute) and root is not None and root not in self.imported

    def root(self, node):
        """Returns the first name of an expression such as a.b(c).d, or None."""
        while isinstance(node, (self.ast.Attribute, self.ast.Call, self.ast.Subscript)):
            node = node.func if isinstance(node, self.ast.Call) else node.value
        return node.id if isinstance(node, self.ast.Name) else None
