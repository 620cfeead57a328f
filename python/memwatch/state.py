"""What a reload of memwatch's modules does not reset.

``%autoreload`` and ``importlib.reload()`` execute a module again, and autoreload
empties it first. The process keeps its history, its black box and its publisher.

>>> keep("an example", list) is keep("an example", list)
True
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from . import _core

__all__ = ["keep"]

_T = TypeVar("_T")

# A module in C is not executed anew.
_kept: dict[str, object] = vars(_core).setdefault("_kept", {})


def keep(name: str, make: Callable[[], _T]) -> _T:
    """The object of that name in this process; where there is none `make` makes it."""
    if name not in _kept:
        _kept[name] = make()
    return _kept[name]  # type: ignore[return-value]
