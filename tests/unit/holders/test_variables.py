"""memwatch.variables(): what variables hold alone and with others."""

import gc
import sys

import numpy as np
import pandas as pd
import pytest

import memwatch
from memwatch.holders import shapes
from memwatch.holders.bindings import cells_of
from memwatch.holders.paths import describe_path
from support import MIB


def found_in(code, **names):
    """The variables that `code` makes, by name."""
    namespace = dict(names)
    exec(code, namespace)
    namespace.pop("__builtins__")
    return {each.name: each for each in memwatch.variables(namespace)}


def mib(size):
    return round(size / MIB, 1)


def test_what_is_held_alone_and_shared():
    found = found_in(
        "a = bytearray(8 * 2**20)\n"
        "b = [bytearray(4 * 2**20), a]\n"
        "c = {'b': b, 'own': bytes(2 * 2**20)}\n"
    )
    assert mib(found["a"].alone_bytes) == 0
    assert mib(found["a"].with_others_bytes) == 8
    assert mib(found["b"].with_others_bytes) == 12
    assert mib(found["c"].alone_bytes) == 2
    assert mib(found["c"].with_others_bytes) == 12


def test_names_of_one_value_are_one_row():
    found = found_in("a = b = bytearray(2**20)")
    assert found["a"].also == ("b",)
    assert mib(found["a"].alone_bytes) == 1
    assert found["a"].command == "%xdel a"
    assert "b" not in found


def test_views_share_the_memory_of_their_base():
    found = found_in(
        "a = np.ones(2**20)\nv = a[:10]\nm = memoryview(bytearray(2**20))\nn = m[:5]",
        np=np,
    )
    assert mib(found["v"].with_others_bytes) == mib(found["a"].with_others_bytes) == 8
    assert mib(found["m"].with_others_bytes) == 1
    assert found["v"].shape == "float64 (10,)"
    assert found["n"].shape == "memoryview of 5 bytes"


def test_arrays_of_objects_hold_their_items():
    found = found_in("a = np.array([bytes(2**20), {'x': 1}], dtype=object)", np=np)
    assert mib(found["a"].alone_bytes) == 1


def test_pandas():
    found = found_in(
        "f = pd.DataFrame({'a': np.ones(2**17)})\ns = f['a']", np=np, pd=pd
    )
    assert mib(found["f"].with_others_bytes) == 1
    assert mib(found["s"].with_others_bytes) == 1
    assert found["f"].shape == "DataFrame 131,072 x 1"
    assert found["s"].shape == "Series 131,072"


def test_instances_are_as_large_as_the_allocator_makes_them():
    code = (
        "class C:\n"
        "    def __init__(self):\n"
        "        self.a = self.b = self.c = None\n"
        "x = [C() for _ in range(10_000)]\n"
    )
    one = (found_in(code)["x"].alone_bytes - 10_000 * 8) / 10_000
    # Measured with PYTHONMALLOC=malloc: 3.10 has a dict, 3.11 and 3.12 a block of
    # values, 3.13 has them inside the object.
    expected = {(3, 10): 152, (3, 11): 104, (3, 12): 96, (3, 13): 96}
    assert one == pytest.approx(expected.get(sys.version_info[:2], 96), abs=17)


def test_small_objects_are_rounded_as_pymalloc_does():
    found = found_in("x = [float(i) for i in range(100_000)]")
    assert found["x"].alone_bytes == pytest.approx(100_000 * (32 + 8), rel=0.02)


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ([{}, {}], "list of 2 dict"),
        ([1, "a"], "list of 2"),
        ([], "list of 0"),
        ({"a": [1]}, "dict of 1 list"),
        (b"abc", "bytes of 3"),
        (np.zeros((2, 3), dtype="int8"), "int8 (2, 3)"),
        (pd.Index([1, 2]), "Index 2"),
        (1.5, ""),
    ],
)
def test_shapes(value, shape):
    assert shapes.shape_of(value) == shape


def test_the_cell_that_bound_a_name():
    sources = [
        "",
        "x = 1\nimport numpy as np",
        "for x in y: pass",
        "def f():\n    z = 1",
        "x.append(1)",
        "this is no Python",
        "with open(f) as g, h as (i, j): pass",
    ]
    names = ["x", "np", "f", "z", "g", "i", "unknown"]
    assert cells_of(names, sources) == {"x": 2, "np": 1, "f": 3, "g": 6, "i": 6}


def test_ways_are_written_as_a_user_would(ip):
    class Node:
        __slots__ = ("next",)

    last = [1]
    node = Node()
    node.next = last
    assert describe_path("x", [node, last]) == "x.next"
    assert describe_path("x", [{1: last}, last]) == "x[1]"
    assert describe_path("x", [{"k" * 99: last}, last]) == "x[...]"
    assert describe_path("x", [(0, last), last]) == "x[1]"
    assert describe_path("x", [{*()}, last]) == "x > list"


def test_as_data_and_as_tables(ip):
    ip.run_cell("big = bytearray(3 * 2**20)", store_history=True)
    ip.run_cell("<script>" and "tag = ['<b>'] * 10", store_history=True)
    found = memwatch.variables()
    first = next(each for each in found if each.name == "big")
    assert (first.type, first.cell) == ("bytearray", 1)
    sizes = {each["name"]: each["alone_bytes"] for each in found.to_dicts()}
    assert sizes["big"] == first.alone_bytes
    assert len(found) == len(list(found)) == len(found[:])
    text = repr(found)
    assert "   3.00       0.00    1  big  bytearray of 3,145,728\n" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "<td>3.00</td>" in found._repr_html_()
    assert repr(memwatch.variables({})) == "no variables"


def test_more_variables_than_rows():
    found = memwatch.variables({f"v{i}": bytearray(100) for i in range(50)})
    assert len(found) == 50
    assert repr(found).splitlines()[-1] == "and 20 more; for all: memwatch.variables()"


def test_nothing_changes(ip):
    ip.run_cell("x = object(); y = [x]\nx", store_history=True)
    gc.collect()
    value = ip.user_ns["x"]

    def state():
        return sys.getrefcount(value), list(ip.user_ns["Out"]), list(ip.user_ns)

    before = state()
    was_enabled = gc.isenabled()
    memwatch.variables()
    memwatch.why(shell=ip)
    assert state() == before
    assert gc.isenabled() == was_enabled
