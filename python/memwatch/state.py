"""State that survives a reload of memwatch's modules.

``%autoreload`` and ``importlib.reload()`` execute a module again, and autoreload
empties it first. The history, the black box and the publisher must survive.

>>> keep("an example", list) is keep("an example", list)
True
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from . import _core

_T = TypeVar("_T")

# An extension module is not executed again.
_kept: dict[str, object] = vars(_core).setdefault("_kept", {})


def keep(name: str, make: Callable[[], _T]) -> _T:
    """The object of that name in this process; the first call creates it by `make`."""
    if name not in _kept:
        _kept[name] = make()
    return _kept[name]  # type: ignore[return-value]
