"""What a value is, in a few words: ``float64 (200, 6)``, ``list of 31,000 dict``."""

from __future__ import annotations

import sys
from itertools import islice
from typing import Any

from .types import is_a, module_of_type, mro_of, same_types, type_name

_LOOKED_AT = 100
"""Items whose types are compared."""

_CONTAINERS: tuple[Any, ...] = (list, tuple, dict, set, frozenset)
_BUFFERS: tuple[Any, ...] = (str, bytes, bytearray)


def shape_of(value: object) -> str:
    """A short description. Runs no code of the user's.

    >>> shape_of([{}, {}])
    'list of 2 dict'
    >>> shape_of("text")
    'str of 4'
    """
    try:
        return _array(value) or _table(value) or _container(value) or ""
    except Exception:  # a library's object that is not ready
        return ""


def _array(value: Any) -> str | None:
    numpy = sys.modules.get("numpy")
    if numpy is not None and is_a(value, numpy.ndarray):
        kind = numpy.ndarray.dtype.__get__(value)
        return f"{kind} {numpy.ndarray.shape.__get__(value)}"
    torch = sys.modules.get("torch")
    if torch is not None and type(value) is torch.Tensor:
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if type(value) is memoryview:
        return f"memoryview of {value.nbytes:,} bytes"
    return None


def _table(value: Any) -> str | None:
    """Of pandas, polars and pyarrow: rows and columns."""
    for kind in mro_of(value):
        library = module_of_type(kind).partition(".")[0]
        if library not in ("pandas", "polars", "pyarrow"):
            continue
        name = kind.__name__
        if name in ("DataFrame", "Table", "RecordBatch"):
            rows, columns = kind.shape.__get__(value)  # type: ignore[attr-defined]
            return f"{name} {rows:,} x {columns:,}"
        if name in ("Series", "Index"):
            return f"{name} {kind.__len__(value):,}"  # type: ignore[attr-defined]
    return None


def _container(value: Any) -> str | None:
    for kind in (*_CONTAINERS, *_BUFFERS):
        if is_a(value, kind):
            count = f"{type_name(value)} of {kind.__len__(value):,}"
            if kind in _BUFFERS:
                return count
            items = kind.values(value) if kind is dict else kind.__iter__(value)
            same = same_types(islice(items, _LOOKED_AT))
            return count if same is None else f"{count} {same}"
    return None
