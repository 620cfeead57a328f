"""Warnings and messages to the user; none of them raises."""

from __future__ import annotations

import sys
import warnings

from .state import keep


class MemwatchWarning(RuntimeWarning):
    """memwatch cannot measure, or not as it should; the message names the cause."""


class FailureWarning:
    """Warns once, then keeps silent."""

    def __init__(self) -> None:
        self._has_warned = False

    def warn(self, error: Exception) -> None:
        """Warn once that `error` keeps memwatch from measuring.

        Never raises, not even if warnings are errors.
        """
        if self._has_warned:
            return
        self._has_warned = True
        _warn(
            f"memwatch stopped measuring: {type(error).__name__}: {cause_of(error)};"
            " your code keeps running; this warning is shown once"
        )


_warned: set[str] = keep("warned", set)


def warn_once(subject: str, message: str) -> None:
    """Warn with `message`, once per `subject` in this process.

    Never raises, not even if warnings are errors.
    """
    if subject not in _warned:
        _warned.add(subject)
        _warn(message)


def say(text: str) -> None:
    """Print `text` to stdout; characters that its encoding lacks become "?"."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding))


def cause_of(error: Exception) -> str:
    """The text of `error`, without the "[Errno 13]" of an OSError."""
    return str(error.args[-1] if isinstance(error, OSError) and error.args else error)


def _warn(message: str) -> None:
    try:
        warnings.warn_explicit(message, MemwatchWarning, "memwatch", 0)
    except Exception:
        pass
