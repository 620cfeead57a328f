"""When measuring fails: say so once, and let the user's code go on."""

from __future__ import annotations

import warnings

__all__ = ["MemwatchWarning", "Trouble"]


class MemwatchWarning(RuntimeWarning):
    """memwatch cannot measure; the message names the cause."""


class Trouble:
    """Warns once, then keeps silent."""

    def __init__(self) -> None:
        self._told = False

    def tell(self, error: Exception) -> None:
        """Warn that `error` keeps memwatch from measuring, unless it was said before.

        Never raises, not even where warnings are made errors.
        """
        if self._told:
            return
        self._told = True
        cause = error.args[-1] if isinstance(error, OSError) and error.args else error
        message = (
            f"memwatch cannot measure: {type(error).__name__}: {cause}; "
            "your code runs on unmeasured, and this is said only once"
        )
        try:
            warnings.warn_explicit(message, MemwatchWarning, "memwatch", 0)
        except Exception:
            pass
