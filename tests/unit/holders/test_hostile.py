"""The heap walker and objects that raise, lie, never return, or change."""

import ctypes
import gc
import sys
import threading

import pytest

import memwatch
from memwatch import _heap
from memwatch.holders import holdings
from support import MIB

HOSTILE = """
class Meta(type):
    def __getattribute__(cls, name): raise SystemError("metaclass asked")
    def __eq__(cls, other): raise SystemError("metaclass compared")
    def __hash__(cls): raise SystemError("metaclass hashed")

class Raises(metaclass=Meta):
    def __init__(self): object.__setattr__(self, "big", bytearray(2**20))
    def __sizeof__(self): raise SystemError("__sizeof__")
    def __len__(self): raise SystemError("__len__")
    def __iter__(self): raise SystemError("__iter__")
    def __repr__(self): raise SystemError("__repr__")
    def __hash__(self): raise SystemError("__hash__")
    def __eq__(self, other): raise SystemError("__eq__")
    def __bool__(self): raise SystemError("__bool__")
    def __getattribute__(self, name): raise SystemError("__getattribute__")
    def __del__(self): pass

class Lies:
    __class__ = property(lambda self: 1 / 0)
    __dict__ = property(lambda self: 1 / 0)
    __module__ = 5
    def __sizeof__(self): return 2**60
    def __getattr__(self, name): return self

class LyingList(list):
    def __len__(self): return 2**40
    def __iter__(self):
        while True: yield self
    def __sizeof__(self): return -1
    def __getitem__(self, i): raise SystemError

class Hangs(dict):
    def __sizeof__(self):
        while True: pass
    __len__ = __iter__ = values = items = keys = __getattr__ = __sizeof__

raises, lies, lying, hangs = Raises(), Lies(), LyingList([bytes(2**20)]), Hangs(a=1)
kinds = [Raises, Lies, Meta]
"""


def test_objects_that_raise_lie_or_never_return():
    namespace = {}
    exec(HOSTILE, namespace)
    namespace.pop("__builtins__")
    found = {each.name: each for each in memwatch.variables(namespace)}
    assert round(found["raises"].alone_bytes / MIB) == 1
    assert found["lies"].alone_bytes < 2**20
    assert found["lying"].shape == "LyingList of 1 bytes"
    assert round(found["lying"].alone_bytes / MIB) == 1
    assert found["hangs"].shape == "Hangs of 1 int"
    text = repr(memwatch.why("raises", namespace=namespace))
    assert text.startswith("raises: Raises")
    assert repr(memwatch.why(namespace=namespace))


def test_deep_nesting_and_cycles():
    deep = []
    for _ in range(50_000):
        deep = [deep]
    cycle = [bytearray(2**20)]
    cycle.append(cycle)
    found = holdings.measure(_session(deep=deep, cycle=cycle))
    sizes = {
        root.names[0]: alone + shared
        for root, alone, shared in zip(
            found.roots, found.alone, found.with_others, strict=True
        )
    }
    assert sizes["deep"] > 50_000 * 64
    assert round(sizes["cycle"] / MIB) == 1
    while deep:  # not by recursion
        deep = deep[0]


def _session(**names):
    from memwatch.holders.roots import session_of

    return session_of(None, names)


def test_a_time_budget_makes_the_table_partial():
    data = [[str(i)] for i in range(300_000)]
    found = memwatch.variables({"data": data}, seconds=0.0)
    assert found.partial == "stopped after 0 s"
    assert "partial: stopped after 0 s; sizes are lower bounds" in repr(found)
    assert gc.isenabled()


def test_ctrl_c_ends_the_walk():
    # A C function: no bytecode runs after it, in which the handler would be called.
    interrupt = ctypes.PyDLL(None).PyErr_SetInterrupt
    interrupt.restype, interrupt.argtypes = None, [ctypes.py_object]

    class Known:
        pass

    data = [[str(i)] for i in range(100_000)]
    roots = [[Known()], [data]]
    walk = _heap.Walk(roots, 0, [], [], ((Known, interrupt),), frozenset(), 60.0)
    assert walk.result()["stopped"] == "interrupt"
    assert walk.result()["objects"] < 200_000
    assert holdings._reason("interrupt", 1.0) == "interrupted"


def test_a_function_of_a_known_library_that_raises_is_counted():
    class Known:
        pass

    def fails(value):
        raise ValueError

    walk = _heap.Walk([[Known()]], 0, [], [], ((Known, fails),), frozenset(), 60.0)
    assert walk.result()["failures"] == 1


@pytest.mark.parametrize(
    "answer", [1, (1,), (1, [], (), ()), (0, ((1,),), (), ()), (0, (), (), (5,))]
)
def test_a_function_that_answers_nonsense_is_an_error(answer):
    class Known:
        pass

    with pytest.raises((TypeError, SystemError)):
        _heap.Walk(
            [[Known()]], 0, [], [], ((Known, lambda _: answer),), frozenset(), 9.0
        )
    assert gc.isenabled()


def test_threads_that_change_objects_meanwhile():
    data = {i: [i] for i in range(1000)}
    stop = threading.Event()

    def change():
        n = 0
        while not stop.is_set():
            n += 1
            data.pop(n % 1000, None)
            data[n % 1000] = {n: [n] * (n % 50)}
            if n % 100 == 0:
                data[n % 1000] = {}

    threads = [threading.Thread(target=change) for _ in range(2)]
    for each in threads:
        each.start()
    try:
        for _ in range(30):
            found = memwatch.variables({"data": data})
            assert found[0].name == "data"
            memwatch.why(namespace={"data": data})
    finally:
        stop.set()
        for each in threads:
            each.join()


def test_with_a_trace_function_and_a_profiler():
    calls = []

    def trace(frame, event, argument):
        calls.append(event)
        return trace

    def outer():
        big = bytearray(2 * 2**20)
        kept = big
        found = memwatch.why(namespace={})
        del big
        return found, kept

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        found, kept = outer()
    finally:
        sys.settrace(previous)
    assert calls
    assert len(kept) == 2 * MIB
    assert any("outer(): big" in row.what for row in found.rows)


def test_the_free_threaded_build_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    with pytest.raises(holdings.HeapError, match="runs without the GIL"):
        memwatch.variables({})


@pytest.mark.parametrize(
    "arguments",
    [
        ([1], 0, [], [], (), frozenset(), 1.0),
        ([[]], 0, [], [], (1,), frozenset(), 1.0),
        ([[]], 0, [], [], ((int,),), frozenset(), 1.0),
        ((), 0, [], [], (), frozenset(), 1.0),
    ],
)
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(TypeError):
        _heap.Walk(*arguments)


def test_a_walk_leaks_nothing():
    import memwatch._core as core

    namespace = {"a": [{"x": i} for i in range(1000)], "b": bytearray(10)}

    def walk():
        for _ in range(50):
            memwatch.variables(namespace)
        gc.collect()
        return core.malloc_stats()["in_use_bytes"], sys.getrefcount(namespace["b"])

    walk()
    first = walk()
    last = walk()
    assert last[1] == first[1]
    assert last[0] - first[0] < 64 * 1024
