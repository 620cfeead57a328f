"""Whether windows look at the process's children too; libproc2 is loaded only then."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..state import keep
from ..warn import cause_of, warn_once

if TYPE_CHECKING:
    from .._procps import ChildrenFigures, ChildrenWindow

__all__ = ["close_window", "open_window", "watch_children"]


class _Own:
    watching = False


_own = keep("children", _Own)


def watch_children(on: bool) -> None:
    """Have windows look at the children from now on, or no longer.

    ImportError where memwatch was built without libproc2, OSError where it cannot read.
    """
    if on:
        from .. import _procps

        if _procps.start_children():
            # For good: a hook cannot be taken away again. It costs 0.2 us an event.
            sys.addaudithook(_procps.count_started_children)
    _own.watching = on


def open_window() -> ChildrenWindow | None:
    """A window on the children; None where they are not watched, or cannot be."""
    if not _own.watching:
        return None
    from .. import _procps

    try:
        return _procps.ChildrenWindow()
    except OSError as error:
        _tell(error)
        return None


def close_window(window: ChildrenWindow | None) -> ChildrenFigures:
    """What it saw, by CellReport's names; nothing where that cannot be told."""
    if window is None:
        return {}
    try:
        figures = window.close()
    except OSError as error:
        _tell(error)
        return {}
    return {} if figures is None else figures


def _tell(error: OSError) -> None:
    warn_once("children", f"cannot measure child processes: {cause_of(error)}")
