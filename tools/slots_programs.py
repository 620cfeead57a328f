"""The programs of slots_table.py, and what runs in the interpreters to count."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Program:
    """A program that makes the objects, in `x`."""

    name: str
    text: str
    setup: str = ""
    path: str | None = None

    @classmethod
    def of_file(cls, name: str) -> Program:
        path = ROOT / "notebooks" / name
        return cls(name, path.read_text(), path=str(path))


SLOTS, NO_SLOTS = Program.of_file("slots.py"), Program.of_file("noslots.py")
# `a` is not a constant: (1, 1) would be one tuple for all.
OTHERS = [
    replace(SLOTS, name="class with `__slots__`"),
    replace(NO_SLOTS, name="class without"),
    Program(
        "`dataclass(slots=True)`",
        "x = [Pair(1, 1) for i in range(1024*256)]",
        "from dataclasses import dataclass\n"
        "@dataclass(slots=True)\n"
        "class Pair:\n    name: int\n    identifier: int\n",
    ),
    Program(
        "`namedtuple`",
        "x = [Pair(1, 1) for i in range(1024*256)]",
        "from collections import namedtuple\n"
        "Pair = namedtuple('Pair', ['name', 'identifier'])\n",
    ),
    Program(
        "`dict`",
        "x = [{'name': a, 'identifier': a} for i in range(1024*256)]",
        "a = 1\n",
    ),
    Program("`tuple`", "x = [(a, a) for i in range(1024*256)]", "a = 1\n"),
]
ARRAY = Program(
    "NumPy structured array",
    "x = numpy.ones(1024*256, dtype=[('name', 'i8'), ('identifier', 'i8')])",
    "import numpy\n",
)

ASK = """
import json, platform, sys
try:
    import numpy
    numpy = numpy.__version__
except ImportError:
    numpy = None
name, version = platform.python_implementation(), platform.python_version()
if name == "PyPy":
    name += " " + ".".join(map(str, sys.pypy_version_info[:3]))
    version = "(Python " + version + ")"
print(json.dumps([name + " " + version, numpy, sys.version_info[:2]]))
"""

COUNT = """
import gc, json, sys
setup, text = json.load(sys.stdin)
names, code = {}, compile(text, "program", "exec")
exec(setup, names)
seen = None
if sys.implementation.name == "cpython":
    import tracemalloc
    tracemalloc.start()
    exec(code, names)
    traces = tracemalloc.take_snapshot().traces
    # pymalloc serves up to 512 bytes, in steps of 16; the list is larger.
    sizes = [each.size for each in traces if each.size <= 512]
    x = names["x"]
    if type(x) is list:
        held = sum(-(-size // 16) * 16 for size in sizes)
        dicts = [each for each in gc.get_referents(x[-1]) if type(each) is dict]
        seen = sum(map(sys.getsizeof, [x[-1], *dicts])) + 8
        held += 8 * len(x)
    else:
        held = sys.getsizeof(x)
        seen = held / len(x)
else:
    def arenas():
        gc.collect()
        return gc.get_stats()._s.total_arena_memory  # in bytes nowhere else
    before = arenas()
    exec(code, names)
    x = names["x"]
    held = arenas() - before + 8 * len(x)
print(json.dumps([seen, held / len(x)]))
"""

FILE_PAGES = """
def _pages_of_files():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[2])
_before = _pages_of_files()
"""

FILL_NURSERY = "for _i in range(60000): [_i, _i + 1]\n"
