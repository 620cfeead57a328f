"""memwatch measures what every notebook cell costs in memory.

In IPython and Jupyter, type ``%load_ext memwatch``. From then on each cell is followed
by a line: what it kept, how high it peaked, and what the process holds.

In any Python program:

>>> import memwatch
>>> with memwatch.watch("load") as w:
...     table = bytearray(2**26)
>>> w.report.used_bytes > 2**25
True

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
    "lines",
    "load_ipython_extension",
    "profile",
    "start_watching_memory",
    "stop_watching_memory",
    "unload_ipython_extension",
    "variables",
    "watch",
    "why",
]

__version__ = "0.1.0"


def load_ipython_extension(ipython: Any) -> None:
    """Watch every cell of `ipython` from the running one on: ``%load_ext memwatch``.

    >>> get_ipython().run_line_magic("load_ext", "memwatch")  # doctest: +SKIP
    """
    from .ipython import extension

    extension.load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Stop watching and remove the magics: ``%unload_ext memwatch``.

    >>> get_ipython().run_line_magic("unload_ext", "memwatch")  # doctest: +SKIP
    """
    from .ipython import extension

    extension.unload(ipython)


def __getattr__(name: str) -> Any:
    # Loaded when they are first asked for: most sessions do not need them.
    if name == "variables":
        from .holders.variables import variables

        return variables
    if name in ("lines", "profile"):
        from .statements import functions

        return getattr(functions, name)
    if name == "why":
        from .holders.explanation import why

        return why
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def start_watching_memory() -> None:
    """Do what ``%load_ext memwatch`` does, under ipython_memory_usage's name.

    RuntimeError if no IPython is running.

    >>> start_watching_memory()  # doctest: +SKIP
    """
    load_ipython_extension(_running_ipython("start_watching_memory"))


def stop_watching_memory() -> None:
    """Stop watching; ``%memwatch on`` or start_watching_memory() resumes.

    RuntimeError if no IPython is running.

    >>> stop_watching_memory()  # doctest: +SKIP
    """
    from .ipython import extension

    extension.stop(_running_ipython("stop_watching_memory"))


def _running_ipython(function: str) -> Any:
    from .shell import running_shell

    ipython = running_shell()
    if ipython is None:
        raise RuntimeError(
            f"memwatch.{function}() needs a running IPython; to measure a block of code"
            ' without IPython, use: with memwatch.watch("label") as w: ...'
        )
    return ipython
