"""How often `memwatch compare` is wrong: about programs that are the same, and leaks.

A program is compared with itself 100 times, 100 pieces of code that do not leak and 28
that do are put to the leak test. At most 7 of 100 may differ, at most 5 of 100 may be
false alarms, and no leak may be missed.
"""

from __future__ import annotations

import random
import sys

from benchmarks.helpers.limits import failures, limit
from memwatch.compare import trials, variants
from memwatch.compare.comparison import Comparison

TIMES = 100

PROGRAMS = [
    "x = list(range({n}))",
    "x = {{i: str(i) for i in range({n})}}",
    "x = [object() for _ in range({n})]",
    "import random; x = [random.random() for _ in range({n})]",
]

STEADY = [
    "x = list(range({n}))",
    "x = [str(i) for i in range({n})]",
    "x = {{i: [i] for i in range({n})}}",
    "x = bytearray({n} * 100)",
    "x = b'x' * {n}; y = x + x",
    "x = sorted(range({n}), key=lambda i: -i)",
    "import json; x = json.loads(json.dumps(list(range({n}))))",
    "import re; x = re.findall(r'\\d', '1a2b' * {n})",
    "import collections; x = collections.Counter(range({n}))",
    "import collections; x = collections.deque(range({n}), maxlen=100)",
    "d = dict.fromkeys(range({n})); d.clear()",
    "import threading\nt = threading.Thread(target=int); t.start(); t.join()",
    (
        "import functools\n@functools.lru_cache(64)\ndef f(i): return [i]\n"
        "x = [f(i) for i in range({n})]"
    ),
    "class C:\n    pass\nc = C(); c.self = c; x = [C() for _ in range({n})]",
    "import io; s = io.StringIO(); s.write('x' * {n}); x = s.getvalue()",
    "import tempfile\nwith tempfile.TemporaryFile() as f: f.write(bytes({n}))",
    "def g(n):\n    yield from range(n)\nx = sum(g({n}))",
    "import decimal; x = [decimal.Decimal(i) for i in range({n})]",
    "import datetime; x = [datetime.timedelta(i) for i in range({n} // 10)]",
    "x = [i for i in range({n})]; x.extend(x); del x[{n}:]",
    "import array; x = array.array('q', range({n}))",
    "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    x = repr(e)",
    "import copy; x = copy.deepcopy([[i] for i in range({n} // 10)])",
    "import pickle; x = pickle.loads(pickle.dumps(list(range({n}))))",
    "import itertools; x = list(itertools.permutations(range(6))) * ({n} // 1000)",
]
SIZES = (100, 1_000, 10_000, 50_000)

LEAKING = {
    "Python objects": ("held = []", "held.append(bytes({size}))"),
    "small objects": ("held = []", "held += [object() for _ in range({size} // 24)]"),
    "malloc": (
        ("import ctypes; malloc = ctypes.CDLL(None).malloc\n"
        "malloc.restype = ctypes.c_void_p"),
        "ctypes.memset(malloc({size}), 1, {size})",
    ),
    "lru_cache": (
        ("import functools, itertools\nnumbers = itertools.count()\n"
        "@functools.lru_cache(None)\ndef f(i): return bytes({size})"),
        "f(next(numbers))",
    ),
    "a dictionary": ("held = {{}}", "held[len(held)] = str(len(held)).ljust({size})"),
    "a cycle with __del__ that keeps it": (
        "held = []\nclass C:\n    def __del__(self): held.append(self)",
        "c = C(); c.me = c; c.data = bytes({size}); del c",
    ),
    "a class attribute": (
        "class C:\n    held = ()",
        "C.held = (*C.held, bytes({size}))",
    ),
}  # fmt: skip
LEAK_SIZES = (2**10, 2**14, 2**20, 10 * 2**20)


def itself() -> int:
    """How many of 100 comparisons of a program with itself find a difference."""
    different = 0
    drawn = random.Random(0)
    for number in range(TIMES):
        text = PROGRAMS[number % len(PROGRAMS)].format(
            n=drawn.randint(10**5, 2 * 10**5)
        )
        pair = [variants.code(text, label=label) for label in ("A", "B")]
        made = Comparison(variants=variants.with_interpreters(pair, ()))
        made.run(runs=10, warmup=0)
        found = made.verdict(1, "memory")
        if found.is_more or found.is_less:
            different += 1
            print(f"  {text}: {made.sentences()[0]}", flush=True)
    return different


def find_leak(text: str, setup: str = "") -> str:
    (variant,) = variants.with_interpreters([variants.code(text)], ())
    found = trials.find_leak(variant, 20, setup=setup, tell=lambda text: None)
    return str(found) if found.state == "leaks" else ""


def false_alarms() -> int:
    """How many of 100 pieces of code that do not leak are said to."""
    alarms = 0
    for text in STEADY:
        for n in SIZES:
            code = text.format(n=n)
            found = find_leak(code)
            if found:
                alarms += 1
                print(f"  {code!r}: {found}", flush=True)
    return alarms


def missed() -> tuple[int, int]:
    """How many of the leaks are not found, and how many there are."""
    count = 0
    for name, (setup, text) in LEAKING.items():
        for size in LEAK_SIZES:
            if not find_leak(text.format(size=size), setup.format(size=size)):
                count += 1
                print(f"  missed: {name}, {size} bytes a run", flush=True)
    return count, len(LEAKING) * len(LEAK_SIZES)


def main() -> int:
    print("leaks ...", flush=True)
    none_of, leaks = missed()
    limit(f"leaks that are not found, of {leaks}", none_of, 0, "leaks")
    print("code that does not leak ...", flush=True)
    pieces = len(STEADY) * len(SIZES)
    limit(f"false alarms, of {pieces} pieces of code", false_alarms(), 5, "alarms")
    print("a program and itself ...", flush=True)
    limit(f"differences, of {TIMES} comparisons", itself(), 7, "differences")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
