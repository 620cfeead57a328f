"""What is said to the user: warnings, once, and text; none of it ends their code."""

from __future__ import annotations

import sys
import warnings

from .state import keep

__all__ = ["FailureWarning", "MemwatchWarning", "cause_of", "say", "warn_once"]


class MemwatchWarning(RuntimeWarning):
    """memwatch cannot measure, or not as it should; the message names the cause."""


class FailureWarning:
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
        _warn(
            f"memwatch stopped measuring: {type(error).__name__}: {cause_of(error)};"
            " your code keeps running; this warning is shown once"
        )


_told: set[str] = keep("told", set)


def warn_once(subject: str, message: str) -> None:
    """Warn with `message`, unless something was said of `subject` in this process.

    Never raises, not even where warnings are made errors.
    """
    if subject not in _told:
        _told.add(subject)
        _warn(message)


def say(text: str) -> None:
    """Print `text` to stdout; a "?" stands for what its encoding has no bytes for."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding))


def cause_of(error: Exception) -> str:
    """What `error` says, without the "[Errno 13]" that OSError begins with."""
    told = error.args[-1] if isinstance(error, OSError) and error.args else error
    return str(told)


def _warn(message: str) -> None:
    try:
        warnings.warn_explicit(message, MemwatchWarning, "memwatch", 0)
    except Exception:
        pass
