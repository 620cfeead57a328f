"""Notice that a cell has raised before its shell formats the error.

Formatting is not the cell's cost: the traceback of a KeyError in pandas takes 11 MiB
and 0.7 s.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from .running_cells import result_of_failed_cell

_METHODS = ("showtraceback", "showsyntaxerror", "showindentationerror")


class TracebackHooks:
    """Wraps the methods of `shell` that show errors.

    `on_failure` gets IPython's result of the cell and the error, None if unknown.
    """

    def __init__(
        self, shell: Any, on_failure: Callable[[Any, BaseException | None], None]
    ) -> None:
        self._shell = shell
        self._on_failure = on_failure
        # Method name -> our wrapper, and the shell's own attribute (None if its class
        # has the method).
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    def install(self) -> None:
        """Wrap the methods. Idempotent."""
        for name in _METHODS:
            if name not in self._wrapped:
                original = vars(self._shell).get(name)
                wrapper = self._wrap(getattr(self._shell, name))
                setattr(self._shell, name, wrapper)
                self._wrapped[name] = (wrapper, original)

    def remove(self) -> None:
        """Restore the methods; one that was wrapped again stays and does nothing."""
        for name, (wrapper, original) in list(self._wrapped.items()):
            if vars(self._shell).get(name) is not wrapper:
                continue
            if original is None:
                delattr(self._shell, name)
            else:
                setattr(self._shell, name, original)
            del self._wrapped[name]

    def _wrap(self, show: Any) -> Any:
        @wraps(show)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = result_of_failed_cell()
            if result is not None:
                self._on_failure(result, sys.exc_info()[1])
            return show(*args, **kwargs)

        return wrapper
