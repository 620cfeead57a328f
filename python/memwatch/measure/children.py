"""Measure child processes, on demand: only then libproc2 is loaded."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..state import keep
from ..warn import cause_of, warn_once

if TYPE_CHECKING:
    from .._procps import ChildrenFigures, ChildrenWindow


class _Own:
    watching = False
    has_hook = False


_own = keep("children", _Own)


def watch_children(on: bool) -> None:
    """Turn measuring children on or off.

    ImportError: memwatch was built without libproc2. OSError: it cannot read /proc.
    """
    if on:
        from .. import _procps

        _procps.start_children()
        if not _own.has_hook:
            # It cannot be removed. It costs 0.2 us per event.
            sys.addaudithook(_procps.count_started_children)
            _own.has_hook = True
    _own.watching = on


def start() -> None:
    """Make windows on the children of other processes possible. Idempotent.

    ImportError and OSError as watch_children().
    """
    from .. import _procps

    _procps.start_children()


def open_window(*pids: Sequence[int]) -> ChildrenWindow | None:
    """A window on the children, or on those of other processes, without these.

    None: off, or not possible. For other processes start() is needed before.
    """
    if not (pids or _own.watching):
        return None
    from .. import _procps

    try:
        return _procps.ChildrenWindow(*pids)
    except OSError as error:
        _warn(error)
        return None


def close_window(window: ChildrenWindow | None) -> ChildrenFigures:
    """Its figures by CellReport's names; empty if unknown."""
    if window is None:
        return {}
    try:
        figures = window.close()
    except OSError as error:
        _warn(error)
        return {}
    return {} if figures is None else figures


def _warn(error: OSError) -> None:
    warn_once("children", f"cannot measure child processes: {cause_of(error)}")
