"""Leak verdicts: what is said of readings, and of code that runs."""

import pytest

from memwatch.compare import trials, variants
from memwatch.compare.leak import LeakTest, judge

KIB = 1024


def readings(python=None, malloc=None, rss=None, runs=20):
    made = []
    for i in range(runs):
        figures = {"python_bytes": python, "malloc_bytes": malloc, "rss_bytes": rss}
        made.append({name: of and of(i) for name, of in figures.items()})
    return made


def steady(i):
    return 50_000_000


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"rss": lambda i: 2**20 * i}, "leaks 1 MiB a run, in mapped memory"),
        (
            {"python": lambda i: 1500 * i, "rss": steady},
            "leaks 1.46 KiB a run, in Python",
        ),
        ({"malloc": lambda i: 2048 * i, "rss": steady}, "leaks 2 KiB a run, in C"),
        ({"rss": steady}, "no leak above 4 KiB a run can be shown in 20 runs"),
        ({"rss": lambda i: min(i, 3) * 2**20}, "settles after 4 runs"),
        # A cache that grows now and then.
        ({"rss": steady, "python": lambda i: 10**5 * (i // 6)}, "no leak above"),
        # Free lists.
        ({"rss": steady, "python": lambda i: 64 * i}, "no leak above"),
        ({"rss": lambda i: 10**8 - 2**20 * i}, "no leak above"),
    ],
)
def test_verdict(figures, words):
    assert str(judge(readings(**figures), {})).startswith(words)


def test_types_that_grew_in_most_runs():
    verdict = judge(readings(rss=lambda i: 2**20 * i), {"m.Node": 30, "dict": 2})
    assert verdict.types == (("m.Node", 30),)
    assert str(verdict).endswith("\n  +30 m.Node")
    assert verdict.to_dict()["growth"]["value"] == 2**20


def find(text, setup="", runs=20):
    (variant,) = variants.with_interpreters([variants.code(text)], ())
    told = []
    found = trials.find_leak(variant, runs, setup=setup, tell=told.append)
    assert len(told) == runs
    return found


MALLOC = "import ctypes; malloc = ctypes.CDLL(None).malloc"
MAPPED = "from mmap import mmap; held, page = [], b'x' * 2**16"
CACHE = """
import functools, itertools
numbers = itertools.count()
@functools.lru_cache(None)
def f(x): return bytes(1024)
"""


@pytest.mark.parametrize(
    ("setup", "text", "least"),
    [
        ("held = []", "held.append(bytes(1024))", 1 * KIB),
        ("held = []", "held.extend(object() for _ in range(64))", 1 * KIB),
        ("held = []", "held.append(bytearray(10 << 20))", 10240 * KIB),
        (MALLOC, "malloc(1024)", 0.75 * KIB),
        (MALLOC, "malloc(1 << 20)", 1000 * KIB),
        (CACHE, "f(next(numbers))", 1 * KIB),
        (MAPPED, "held.append(mmap(-1, 2**16)); held[-1].write(page)", 60 * KIB),
    ],
)  # fmt: skip
def test_leaks_are_found(setup, text, least):
    found = find(text, setup)
    assert found.state == "leaks", found
    assert found.growth.value >= least


@pytest.mark.parametrize(
    "text",
    [
        "x = [i for i in range(10_000)]",
        "import json; json.loads('[1, 2, 3]')",
        "d = dict.fromkeys(range(50_000)); del d",
        "import threading; t = threading.Thread(target=int); t.start(); t.join()",
        "x = bytearray(8 << 20)",
        "class C:\n    pass\nc = C(); c.self = c",
    ],
)
def test_no_leak(text):
    assert find(text).state != "leaks"


def test_leak_of_a_notebook_in_out(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text(
        '{"cells": [{"cell_type": "code", "source": "bytearray(1 << 20)[:-1]"}]}'
    )
    (variant,) = variants.with_interpreters(
        [variants.script_or_notebook(str(path))], ()
    )
    found = trials.find_leak(variant, 12, tell=lambda text: None)
    assert found.state == "leaks", found
    assert found.growth.value > 0.9 * 2**20


def test_leak_test_leaves_tracemalloc_as_it_was():
    import tracemalloc

    assert not tracemalloc.is_tracing()
    test = LeakTest(8)
    assert tracemalloc.is_tracing()
    test.close()
    assert not tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        LeakTest(8).close()
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()
