"""What only some need: the library where it is installed, else how to get it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..optional import install_command

__all__ = ["MissingExtraError", "need"]


class MissingExtraError(Exception):
    """A library is not installed; one line, which says how to get it."""


def need(module: str, part: str, what: str) -> Any:
    """The module `module`, for `what`; MissingExtraError where there is none.

    `part`: the optional part it belongs to, a key of ``optional.PARTS``.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{what} requires {module.partition('.')[0]}:"
            f" {install_command(part)} ({error})"
        ) from error
