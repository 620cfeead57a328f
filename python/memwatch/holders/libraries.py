"""Memory that objects of known libraries hold outside of Python's view.

An extension type need not tell the garbage collector what it holds, nor sys.getsizeof()
how large it is. Each function here takes an object of one type and returns None or
(bytes of its own, buffers ((address, bytes), ...), objects that it holds, arrays of
pointers to objects ((address, length), ...)). Buffers are counted once, whoever refers
to them. A library that is not imported is not imported here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, cast

from .types import is_a

Answer = tuple[
    int, tuple[tuple[int, int], ...], tuple[object, ...], tuple[tuple[int, int], ...]
]
Known = tuple[tuple[type, Callable[[Any], Answer | None]], ...]

TRUSTED = frozenset(sys.stdlib_module_names) | {
    "lxml", "matplotlib", "numpy", "pandas", "polars", "pyarrow", "scipy", "sklearn",
    "torch",
}  # fmt: skip
"""Packages whose __sizeof__, if it is in C, may be called."""


def known() -> Known:
    """The types of the libraries that are imported, with their functions.

    >>> import mmap
    >>> known()[0][0]
    <class 'mmap.mmap'>
    """
    found: list[tuple[type, Callable[[Any], Answer | None]]] = []
    for module, names, function in _FUNCTIONS:
        loaded = sys.modules.get(module)
        for name in names:
            kind = getattr(loaded, name, None)
            if is_a(kind, type):
                found.append((cast(type, kind), function))
    return tuple(found)


def _own(size: int) -> Answer:
    return size, (), (), ()


def _mmap(value: Any) -> Answer | None:
    try:
        return _own(len(value))
    except ValueError:  # closed
        return None


def _ctypes(value: Any) -> Answer:
    import ctypes

    base, kept = value._b_base_, value._objects
    size = ctypes.sizeof(value)
    # Small values are inside the object.
    own = size if base is None and value._b_needsfree_ and size > 16 else 0
    return own, (), tuple(each for each in (base, kept) if each is not None), ()


def _numpy_array(value: Any) -> Answer | None:
    array = sys.modules["numpy"].ndarray
    base = array.base.__get__(value)
    kind = array.dtype.__get__(value)
    objects: tuple[tuple[int, int], ...] = ()
    if kind.hasobject and kind.names is None and base is None:
        # The memory of an array that owns it is without gaps.
        address = array.ctypes.__get__(value).data
        objects = ((address, array.size.__get__(value)),)
    if base is None and not objects:
        return None
    return 0, (), () if base is None else (base,), objects


def _pandas_table(value: Any) -> Answer:
    return _own(value.sizeof())


def _arrow_array(value: Any) -> Answer:
    buffers = (each for each in value.buffers() if each is not None)
    return 0, tuple((each.address, each.size) for each in buffers), (), ()


def _joined(answers: Iterable[Answer]) -> Answer:
    return 0, tuple(buffer for each in answers for buffer in each[1]), (), ()


def _arrow_chunks(value: Any) -> Answer:
    return _joined(_arrow_array(each) for each in value.chunks)


def _arrow_table(value: Any) -> Answer:
    return _joined(
        _arrow_array(each) if hasattr(each, "buffers") else _arrow_chunks(each)
        for each in value.columns
    )


def _arrow_buffer(value: Any) -> Answer:
    parent = value.parent
    if parent is not None:
        return 0, (), (parent,), ()
    return 0, ((value.address, value.size),), (), ()


def _polars(value: Any) -> Answer:
    # It does not tell where its buffers are: a column that two frames share counts
    # twice.
    return _own(value.estimated_size())


def _sklearn_tree(value: Any) -> Answer:
    # sklearn/tree/_tree.pyx: nodes and values in arrays of `capacity`.
    node = value.__getstate__()["nodes"].dtype.itemsize
    values = 8 * value.n_outputs * value.max_n_classes
    return _own(value.capacity * (node + values))


def _torch_tensor(value: Any) -> Answer | None:
    if value.device.type != "cpu" or value.layout is not sys.modules["torch"].strided:
        return None
    storage = value.untyped_storage()
    held = tuple(each for each in (value.grad, value.grad_fn) if each is not None)
    return 0, ((storage.data_ptr(), storage.nbytes()),), held, ()


def _buffer_of(value: Any) -> Answer:
    return _own(memoryview(value).nbytes)


_FUNCTIONS: list[tuple[str, tuple[str, ...], Callable[[Any], Answer | None]]] = [
    ("mmap", ("mmap",), _mmap),
    ("_ctypes", ("_SimpleCData", "Array", "Structure", "Union"), _ctypes),
    ("numpy", ("ndarray",), _numpy_array),
    ("pandas._libs.hashtable", ("HashTable",), _pandas_table),
    ("pyarrow", ("Array",), _arrow_array),
    ("pyarrow", ("ChunkedArray",), _arrow_chunks),
    ("pyarrow", ("Table", "RecordBatch"), _arrow_table),
    ("pyarrow", ("Buffer",), _arrow_buffer),
    ("polars._plr", ("PySeries", "PyDataFrame"), _polars),
    ("sklearn.tree._tree", ("Tree",), _sklearn_tree),
    ("torch", ("Tensor",), _torch_tensor),
    ("matplotlib.backends._backend_agg", ("RendererAgg",), _buffer_of),
]
"""Module, names of types in it, and the function for objects of these types."""
