"""Finds what in an output JSON cannot represent."""
import json, re
from math import isfinite

CONTAINERS = (dict, list, tuple)
PLAIN = frozenset((int, float, str, bool, type(None)))
SHOWN = 3  # places that a note names

# What to return instead of a value of a type, by its name.
INSTEAD = {
    "set": "a list", "frozenset": "a list", "deque": "a list", "range": "a list",
    "dict_keys": "a list", "dict_values": "a list", "dict_items": "a list",
    "generator": "a list of what it yields", "map": "a list", "filter": "a list", "zip": "a list",
    "async_generator": "a list of what it yields", "coroutine": "what awaiting it gives",
    "bytes": "text, such as its base64 or hex()", "bytearray": "text, such as its base64 or hex()",
    "memoryview": "text, such as its hex()",
    "datetime": "its isoformat()", "date": "its isoformat()", "time": "its isoformat()",
    "timedelta": "its total_seconds()", "Decimal": "its str() or float()", "Fraction": "its str() or float()",
    "complex": "its parts", "UUID": "its str()", "PosixPath": "its str()", "DataFrame": "its to_dict()",
}


key_of_digits = re.compile('":(?<=[0-9]":)').search  # in this form it is found fastest


def text_keys(output, text):
    """Returns whether all keys in an output are text. Its encoding shows that for most
    outputs; only the others are searched."""
    if '":' not in text or not (key_of_digits(text) or '"null":' in text or '"true":' in text or '"false":' in text):
        return True
    return not isinstance(output, CONTAINERS) or all_text(output)


def all_text(output):
    """Returns whether every key of every dict in an output is text."""
    stack = [output]
    while stack:
        o = stack.pop()
        if isinstance(o, dict):
            try:
                "".join(o)
            except TypeError:
                return False
            o = o.values()
        if not PLAIN.issuperset(map(type, o)):
            stack.extend([v for v in o if isinstance(v, CONTAINERS)])
    return True


def survey(output):
    """Searches an output in the order of its encoding. Returns the places where keys that
    are not text become text, as (place, key, name), and a phrase about what JSON cannot
    represent, or None."""
    renamed = []
    stack = [(output, None)]
    while stack:
        o, path = stack.pop()
        if type(o).__module__ == "numpy" and hasattr(o, "tolist"):
            o = o.tolist()
        if isinstance(o, dict):
            members, names = [], set()
            first = True
            for key, value in o.items():
                name = key if isinstance(key, str) else text_of(key)
                if name is None:
                    return renamed, "a key of %s is %s" % (place(path), described(key))
                if name in names:
                    return renamed, "two keys of %s have the name %s" % (place(path), json.dumps(name))
                if first and not isinstance(key, str):
                    renamed.append((place(path), described(key), name))
                    first = False
                names.add(name)
                members.append((value, (path, name)))
            stack.extend(reversed(members))
        elif isinstance(o, (list, tuple)):
            stack.extend([(o[i], (path, i)) for i in range(len(o) - 1, -1, -1)])
        elif unencodable(o):
            return renamed, "%s is %s" % (place(path), described(o))
    return renamed, None


def text_of(key):
    """Returns the name that json makes of a key that is not text, or None when it makes none."""
    if key is None or key is True or key is False:
        return json.dumps(key)
    if isinstance(key, int):
        return int.__repr__(key)
    if isinstance(key, float) and isfinite(key):
        return float.__repr__(key)
    return None


def unencodable(o):
    """Returns whether JSON cannot represent a value that is not a container."""
    if isinstance(o, float):
        return not isfinite(o)
    if isinstance(o, int) and o.bit_length() > 2048:
        try:
            int.__repr__(o)
        except ValueError:  # of more digits than sys.get_int_max_str_digits allows
            return True
    return not (o is None or isinstance(o, (str, int)))


def described(o):
    """Describes a value and its type in a few words."""
    if isinstance(o, float) and not isfinite(o):
        return "NaN" if o != o else "Infinity" if o > 0 else "-Infinity"
    name = type(o).__name__
    if isinstance(o, int) and o.bit_length() > 2048:
        return "an int of about %d digits, too many for Python to write" % (o.bit_length() * 0.30103)
    if o is None or isinstance(o, (str, int, float)):
        return "%s %.40r" % (name, o)
    instead = INSTEAD.get(name)
    if instead is None and hasattr(type(o), "__dataclass_fields__"):
        instead = "its dataclasses.asdict()"
    return "of type %s%s" % (name, "; return %s instead" % instead if instead else "")


def place(path):
    """Returns a path such as [3].score; for the output itself "it"."""
    steps = []
    while path is not None:
        path, step = path
        if isinstance(step, int):
            steps.append("[%d]" % step)
        elif step.isidentifier() and len(step) <= 100:
            steps.append("." + step)
        else:
            steps.append("[%s]" % json.dumps(step[:100], ensure_ascii=False))
    return "".join(reversed(steps)) or "it"


def note(renamed):
    """Returns the log line about keys that became text."""
    text = ", ".join("in %s %s became %s" % (where, key, json.dumps(name)) for where, key, name in renamed[:SHOWN])
    if len(renamed) > SHOWN:
        text += " and in %d more places" % (len(renamed) - SHOWN)
    return "[output: keys in JSON are text: %s]" % text
