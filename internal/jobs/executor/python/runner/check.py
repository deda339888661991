"""Checks a source without running anything of it."""
from .program import without_mark
from .values import FILE, cut


def check(source, function):
    """Returns what is wrong with a source: a list of [what, message]."""
    import ast
    import warnings
    warnings.simplefilter("ignore")
    source = without_mark(source)
    try:
        tree = ast.parse(source, FILE)
        compile(source, FILE, "exec", dont_inherit=True)
    except SyntaxError as e:
        text = (e.text or "").strip()
        where = "line %d: " % e.lineno if e.lineno else ""
        return [["source", where + str(e.msg) + (": " + cut(text, 200) if text else "")]]
    except RecursionError:
        return [["source", "is nested too deeply for Python"]]
    except MemoryError:
        return [["source", "is too complex for Python"]]
    except Exception as e:
        return [["source", "cannot be compiled: %s" % e]]
    try:
        names = bound(tree)
    except RecursionError:
        return []
    if names is None or function in names:
        return []
    functions = [s.name for s in tree.body if isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef))]
    known = "; it has " + cut(", ".join(functions), 200) if functions else ""
    return [["function", "the source has no function %s%s" % (function, known)]]


def bound(tree):
    """Returns the names that a module binds at its top level, or None when it cannot know."""
    import ast
    names = set()
    nodes = list(tree.body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
            nodes.extend(node.decorator_list)
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                if alias.name == "*":
                    return None
                names.add(alias.asname or alias.name.split(".")[0])
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif node.id in ("globals", "exec", "eval", "vars", "locals", "setattr", "__dict__"):
                return None
        elif node.__class__.__name__ in ("MatchAs", "MatchStar", "MatchMapping"):
            name = getattr(node, "name", None) or getattr(node, "rest", None)
            if name:
                names.add(name)
        nodes.extend(ast.iter_child_nodes(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            names.update(node.names)
        elif isinstance(node, ast.Name) and node.id == "globals":
            return None
    return names
