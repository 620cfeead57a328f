"""Ways to hold 64 MiB: does %memwatch why name them, and does its command free them?

Each way runs in an IPython shell of its own. RSS tells what the command gave back; for
small objects, whose memory Python's allocator may keep, the heap walker does.

    python -m benchmarks.heap.holders            exit code 1 if one fails
    python -m benchmarks.heap.holders --write    with a table in docs/holders.md
    python -m benchmarks.heap.holders NAME ...   only these
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

SIZE_MIB = 64
LEAST_BACK = 0.95
DOCUMENT = Path(__file__).parents[2] / "docs/holders.md"
BEGIN, END = "<!-- make holders -->", "<!-- end -->"


class Way(NamedTuple):
    """A way to hold SIZE_MIB."""

    name: str
    cells: tuple[str, ...]
    expected: str
    """What the row of the largest part must contain."""
    small: bool = False
    """Whether the memory is in small objects, which pymalloc need not return."""


_NUMPY = "import numpy as np"
_BIG = "np.ones(8_388_608)"

WAYS = [
    Way("variable", ("big = bytearray(64 * 2**20)",), "big: bytearray"),
    Way("array in a variable", (_NUMPY, f"big = {_BIG}"), "big: float64 (8388608,)"),
    Way("two names", (_NUMPY, f"a = {_BIG}; b = a"), "a (also b): float64"),
    Way("Out[n]", (_NUMPY, _BIG), "Out[2]"),
    Way("Out[n] and a variable", (_NUMPY, f"x = {_BIG}", "x"), "x (also Out[3]"),
    Way("_ without Out[n]", (_NUMPY, _BIG, "del Out[2]"), "_"),
    Way("hidden _ after %reset out", (_NUMPY, _BIG, "%reset -f out"), "hidden['_']"),
    Way(
        "frame of the last exception",
        (_NUMPY, f"def g():\n    big = {_BIG}\n    1 / 0", "g()"),
        "g(): big, of the last exception",
    ),
    Way(
        "exception in a variable",
        (
            _NUMPY,
            f"def g():\n    big = {_BIG}\n    raise ValueError",
            "try:\n    g()\nexcept ValueError as error:\n    kept = error",
        ),
        "kept > g(): big",
    ),
    Way(
        "open figure",
        (
            "import matplotlib; matplotlib.use('agg')",
            "import numpy as np, matplotlib.pyplot as plt",
            f"plt.figure().data = {_BIG}",
        ),
        "plt.figure(1)",
    ),
    Way(
        "functools.lru_cache",
        (
            _NUMPY,
            "import functools\n@functools.lru_cache\ndef f(n):\n    return np.ones(n)",
            "f(8_388_608); None",
        ),
        "f (cached results)",
    ),
    Way(
        "closure",
        (
            _NUMPY,
            f"def make():\n    big = {_BIG}\n    return lambda: big",
            "f = make()",
        ),
        "f (variable big of its closure)",
    ),
    Way("default argument", (_NUMPY, f"def f(x={_BIG}): pass"), "f (default of x)"),
    Way("keyword default", (_NUMPY, f"def f(*, x={_BIG}): pass"), "f (default of x)"),
    Way("function attribute", (_NUMPY, "def f(): pass", f"f.big = {_BIG}"), "f.big"),
    Way(
        "suspended generator",
        (_NUMPY, f"def g():\n    big = {_BIG}\n    yield 1\n    del big", "x = g()",
         "next(x);"),
        "x > g(): big",
    ),
    Way(
        "suspended coroutine",
        (
            _NUMPY,
            "import types\n@types.coroutine\ndef wait():\n    yield",
            f"async def g():\n    big = {_BIG}\n    await wait()\n    del big",
            "x = g(); x.send(None)",
        ),
        "x > g(): big",
    ),
    Way(
        "running thread",
        (
            _NUMPY,
            "import threading, time\nready = threading.Event()",
            f"def work():\n    big = {_BIG}\n    ready.set()\n    time.sleep(3)",
            "worker = threading.Thread(target=work); worker.start(); ready.wait();",
        ),
        "work(): big",
    ),
    Way("class attribute", (_NUMPY, f"class C:\n    big = {_BIG}"), "C.big: float64"),
    Way(
        "attribute of an instance",
        (_NUMPY, "class C: pass", f"c = C(); c.inner = {{'a': [{_BIG}]}}"),
        "c.inner['a'][0]",
    ),
    Way(
        "slot",
        (_NUMPY, "class C:\n    __slots__ = ('big',)", f"c = C(); c.big = {_BIG}"),
        "c.big",
    ),
    Way(
        "bound method",
        (_NUMPY, "class C:\n    def f(self): pass", f"c = C(); c.big = {_BIG}",
         "m = c.f; del c"),
        "m.big",
    ),
    Way(
        "functools.partial",
        (_NUMPY, "import functools", f"p = functools.partial(print, {_BIG})"),
        "p",
    ),
    Way(
        "module of the user's",
        (
            "import pathlib, sys; sys.path.insert(0, '.')",
            "pathlib.Path('mine.py').write_text('cache = bytearray(64 * 2**20)');",
            "import mine",
        ),
        "mine.cache: bytearray",
    ),
    Way("view", (_NUMPY, f"big = {_BIG}", "v = big[:10]; del big"), "v.base"),
    Way(
        "DataFrame",
        ("import numpy as np, pandas as pd", f"df = pd.DataFrame({{'a': {_BIG}}})"),
        "df",
    ),
    Way(
        "slice of a DataFrame",
        ("import numpy as np, pandas as pd", f"df = pd.DataFrame({{'a': {_BIG}}})",
         "s = df[:10]; del df"),
        "s",
    ),
    Way(
        "column of Arrow",
        ("import numpy as np, pandas as pd, pyarrow",
         f"s = pd.Series({_BIG}).astype('double[pyarrow]')"),
        "s",
    ),
    Way(
        "polars",
        ("import numpy as np, polars as pl", f"df = pl.DataFrame({{'a': {_BIG}}})"),
        "df: DataFrame 8,388,608 x 1",
    ),
    Way("memoryview", ("m = memoryview(bytearray(64 * 2**20))",), "m.obj"),
    Way(
        "array.array",
        ("import array", "a = array.array('d', [1.0]) * 8_388_608"),
        "a: array",
    ),
    Way("mmap", ("import mmap", "m = mmap.mmap(-1, 64 * 2**20)",
                 "m.write(bytes(64 * 2**20));"), "m"),
    Way(
        "ctypes",
        ("import ctypes", "c = (ctypes.c_char * (64 * 2**20))()",
         "ctypes.memset(c, 1, len(c));"),
        "c",
    ),
    Way(
        "cycle that awaits the collector",
        ("import gc; gc.disable()",
         "class C: pass",
         "c = C(); c.self = c; c.big = bytearray(64 * 2**20); del c"),
        "cycles that nothing holds",
    ),
    Way(
        "weak cache, held elsewhere",
        (
            "import weakref\nclass C: pass",
            "cache = weakref.WeakValueDictionary()",
            "keep = [C()]; keep[0].big = bytearray(64 * 2**20)",
            "cache['c'] = keep[0]",
        ),
        "keep[0].big",
    ),
    Way(
        "many small objects",
        ("rows = [{'id': i, 'name': str(i), 'x': i / 7} for i in range(190_000)]",),
        "rows: list of 190,000 dict",
        small=True,
    ),
    Way(
        "small objects that two names share",
        ("a = [str(i) for i in range(1_000_000)]", "b = a[:]; del b[0]"),
        "a and b: list of 1,000,000 str",
        small=True,
    ),
    Way(
        "array of objects",
        (_NUMPY, "a = np.array([str(i) for i in range(1_000_000)], dtype=object)"),
        "a: object (1000000,)",
        small=True,
    ),
    Way(
        "free memory of malloc",
        ("import ctypes", "x = [b'x' * 100_000 for _ in range(671)]",
         "pin = bytes(100_000); del x"),
        "free memory that malloc keeps",
    ),
]  # fmt: skip


# ---- in the shell of one way ----


def _rss() -> float:
    from memwatch import _core

    return _core.memory()["rss_bytes"] / 2**20


def try_way(way: Way) -> dict[str, Any]:
    """Run it in a shell, ask %memwatch why, and run the command of its largest row."""
    import contextlib
    import io

    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    import memwatch

    config = Config({"HistoryManager": {"enabled": False}})
    shell = InteractiveShell.instance(config=config)
    silence = io.StringIO()
    with contextlib.redirect_stdout(silence):
        shell.run_cell("%load_ext memwatch", store_history=False)
        for cell in way.cells:
            shell.run_cell(cell, store_history=True)
        shell.run_cell("%memwatch why", store_history=True).raise_error()
        before = memwatch.why(shell=shell)
        row = next(row for row in before.rows if row.command)
        rss = _rss()
        shell.run_cell(row.command, store_history=True)
        shell.run_cell("None", store_history=True)
        back = rss - _rss()
        held = row.size_bytes / 2**20
        after = memwatch.why(shell=shell)
    left = sum(each.size_bytes for each in after.rows if each.what == row.what)
    return {
        "what": row.what,
        "command": row.command,
        "held": held,
        "back": back,
        "walker": held - left / 2**20,
        "partial": before.partial,
    }


# ---- all of them ----


def check(way: Way) -> dict[str, Any]:
    """Try one way in a process of its own; adds `named` and `freed`."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.heap.holders", "--try", way.name],
            capture_output=True, text=True, timeout=120, check=False,
            cwd=Path(__file__).parents[2],
            env=os.environ | {"HOLDERS_FOLDER": folder},
        )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"{way.name}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found["named"] = way.expected in str(found["what"])
    figure = found["walker"] if way.small else found["back"]
    found["freed"] = figure / found["held"]
    return found


def _table(ways: list[Way], results: list[dict[str, Any]]) -> str:
    lines = [
        "| way | `%memwatch why` says | command | given back |",
        "| --- | --- | --- | ---: |",
    ]
    for way, found in zip(ways, results, strict=True):
        share = f"{100 * found['freed']:.0f} %"
        if way.small:
            share += " (by the walker)"
        lines.append(
            f"| {way.name} | {found['what']} | `{found['command']}` | {share} |"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """See the module."""
    if arguments[:1] == ["--try"]:
        os.chdir(os.environ["HOLDERS_FOLDER"])
        way = next(each for each in WAYS if each.name == arguments[1])
        print(json.dumps(try_way(way)))
        return 0
    names = [each for each in arguments if each != "--write"]
    chosen = [each for each in WAYS if not names or each.name in names]
    results = []
    failed = 0
    for way in chosen:
        found = check(way)
        results.append(found)
        is_right = found["named"] and abs(found["held"] / SIZE_MIB - 1) < 0.1
        good = is_right and found["freed"] >= LEAST_BACK
        failed += not good
        print(
            f"{'ok' if good else 'FAILED':<7}{way.name}: {found['what']}"
            f" [{found['command']}] held {found['held']:.1f}, RSS back"
            f" {found['back']:.1f}, walker {found['walker']:.1f} MiB"
        )
    print(f"{len(chosen) - failed} of {len(chosen)} named right and freed")
    if "--write" in arguments:
        from memwatch.files import write_whole

        text = DOCUMENT.read_text()
        head, _, rest = text.partition(BEGIN)
        tail = rest.partition(END)[2]
        write_whole(DOCUMENT, f"{head}{BEGIN}\n{_table(chosen, results)}\n{END}{tail}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
