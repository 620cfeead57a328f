"""memwatch tells what every notebook cell costs in memory.

In IPython and Jupyter: ``%load_ext memwatch``, and from then on each cell is followed
by a line with what it kept, how high it peaked above that, and what the process holds.

Anywhere in Python: ``with memwatch.watch("label") as w: ...``, then ``w.report``.

``memwatch.history`` has the reports of all cells and blocks.
"""

from __future__ import annotations

from typing import Any

from .measure.history import History
from .measure.window import history, watch
from .report import CellReport
from .warn import MemwatchWarning

__all__ = [
    "CellReport",
    "History",
    "MemwatchWarning",
    "history",
    "load_ipython_extension",
    "start_watching_memory",
    "stop_watching_memory",
    "unload_ipython_extension",
    "watch",
]

__version__ = "0.1.0"


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext memwatch``: watch every cell from the running one on."""
    from .ipython import magics

    magics.load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """``%unload_ext memwatch``: watch no longer, take the magics away."""
    from .ipython import magics

    magics.unload(ipython)


def start_watching_memory() -> None:
    """As ``%load_ext memwatch``, for who comes from ipython_memory_usage.

    RuntimeError where no IPython is running.
    """
    load_ipython_extension(_running_ipython("start_watching_memory"))


def stop_watching_memory() -> None:
    """Watch no longer; ``%memwatch on`` or start_watching_memory() resumes.

    RuntimeError where no IPython is running.
    """
    from .ipython import magics

    magics.stop(_running_ipython("stop_watching_memory"))


def _running_ipython(function: str) -> Any:
    import sys

    # A shell cannot be running where nobody has imported IPython.
    if "IPython" in sys.modules:
        from IPython import get_ipython

        ipython = get_ipython()
        if ipython is not None:
            return ipython
    raise RuntimeError(
        f"memwatch.{function}() needs a running IPython; to measure a block of code"
        ' without IPython, use: with memwatch.watch("label") as w: ...'
    )
