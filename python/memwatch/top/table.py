"""The table of `memwatch top`: watched processes as rows of text. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ..display.charts import blocks
from ..display.units import clock, short
from .processes import Process

NO_PROCESSES = "No watched processes. Run %load_ext memwatch in IPython or a notebook."
_MIN_CELL = 14
_WIDE_CELL = 28
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}")
# In percent of the limit.
_LEVELS = (60, 80, 95)


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    name: str
    """For --sort."""
    title: str
    width: int
    text: Callable[[Process, int], str]
    """Its text for a process at a CLOCK_MONOTONIC time in nanoseconds."""
    is_figure: bool = False
    """Figures are aligned to the right."""


def level(process: Process) -> int:
    """How near the process is to its limit: 1, 2, 3 from 60, 80, 95 %, else 0.

    >>> level(Process("box", "4f1c", 123))
    0
    """
    share = process.share
    return 0 if share is None else sum(share >= least for least in _LEVELS)


def _kernel(process: Process, now_ns: int) -> str:
    name = process.kernel_id
    if _UUID.fullmatch(name) or len(name) <= 8:
        return name[:8]
    return "…" + name[-7:]  # the end of HOST-PID is more specific


def name_of(process: Process) -> str:
    """The notebook's name; without one, what the user can tell the process by."""
    if process.notebook:
        return process.notebook.rstrip("/").rpartition("/")[2]
    name = process.kernel_id
    if _UUID.fullmatch(name):
        return f"kernel {name[:8]}"
    if process.source == "box" and name.endswith(f"-{process.pid}"):
        return f"terminal {process.pid}"  # outside Jupyter it is HOST-PID
    return name


def _cell(process: Process, now_ns: int) -> str:
    cell = process.cell
    if cell is None:
        return ""
    # The column is narrow, and the source shown is often that of line 1.
    words = [cell.place if cell.line != 1 else cell.label or "a block"]
    if cell.status not in ("ok", "running"):
        words.append(f"({cell.status})")
    return " ".join([*words, cell.source or ""]).strip()


def _share(process: Process, now_ns: int) -> str:
    if process.share is None:
        return ""
    # Not rounded: 94.9 must not be shown as 95 with the warning level of 94. The
    # exclamation marks show the level without colours. The figure is as wide as the
    # title, so that it ends below it.
    return f"{int(min(process.share, 999)):>3} % {'!' * level(process)}"


def _time(process: Process, now_ns: int) -> str:
    # Whether the cell of a silent process still runs is unknown.
    is_known = process.state(now_ns) == "running"
    return clock(process.running_ns(now_ns)) if is_known else ""


def _size(size_bytes: int | None) -> str:
    return "" if size_bytes is None else short(size_bytes)


def _notebook(process: Process, now_ns: int) -> str:
    return name_of(process)


_HISTORY_WIDTH = 12
_NOTEBOOK_WIDTHS = 9, 18, 30
"""The least, the most, and the most in a table of at least _WIDE columns."""
_WIDE = 132


def history_top_bytes(process: Process, values: Sequence[int]) -> int:
    """The top of the scale, which begins at 0, for these values of the history.

    The limit; if the values would not reach the second of eight blocks then, the
    highest of them.
    """
    highest = max(values, default=0)
    limit_bytes = process.limit_bytes or 0
    return limit_bytes if limit_bytes and highest >= limit_bytes / 8 else highest


def _history(process: Process, now_ns: int) -> str:
    values = [*process.history][-_HISTORY_WIDTH:]
    return blocks(values, _HISTORY_WIDTH, history_top_bytes(process, values))


_COLUMNS = (
    Column("notebook", "NOTEBOOK", _NOTEBOOK_WIDTHS[0], _notebook),
    Column("kernel", "KERNEL", 8, _kernel),
    Column("pid", "PID", 8, lambda each, now_ns: str(each.pid), is_figure=True),
    Column("host", "HOST", 12, lambda each, now_ns: each.host or ""),
    Column("user", "USER", 10, lambda each, now_ns: each.user or ""),
    Column("state", "STATE", 7, lambda each, now_ns: each.state(now_ns)),
    Column(
        "rss", "RSS", 8, lambda each, now_ns: short(each.rss_bytes), is_figure=True
    ),
    Column(
        "peak", "PEAK", 8, lambda each, now_ns: _size(each.cell_peak_bytes),
        is_figure=True,
    ),
    Column(
        "highest", "HIGHEST", 8, lambda each, now_ns: _size(each.lifetime_peak_bytes),
        is_figure=True,
    ),
    Column(
        "limit", "LIMIT", 8, lambda each, now_ns: _size(each.limit_bytes),
        is_figure=True,
    ),
    Column("share", "SHARE", 9, _share),
    Column("history", "HISTORY", _HISTORY_WIDTH, _history),
    Column(
        "age", "AGE", 7, lambda each, now_ns: clock(each.age_ns(now_ns)),
        is_figure=True,
    ),
    Column(
        "lost", "LOST", 7,
        lambda each, now_ns: str(each.lost) if each.received else "", is_figure=True,
    ),
    Column(
        "time", "TIME", 8, _time, is_figure=True,
    ),
    Column("cell", "CELL", _MIN_CELL, _cell),
)  # fmt: skip
_IMPORTANT = ("time", "peak", "share", "state", "notebook")
"""The first is dropped first, and only after the cell has been cut."""
_DROP_ORDER = (
    "lost", "age", "user", "limit", "kernel", "highest", "pid", "history", "host",
    *_IMPORTANT,
)  # fmt: skip


def choose(processes: Sequence[Process], width: int) -> list[Column]:
    """The columns that fit into `width` and are not the same for all processes.

    The last column, the cell, takes the rest of the width.

    >>> [each.name for each in choose([], 24)]
    ['rss', 'cell']
    """
    dropped = set()
    if len({each.host for each in processes}) < 2:
        dropped.add("host")
    if len({each.user for each in processes}) < 2:
        dropped.add("user")
    if not any(each.received for each in processes):
        dropped.add("lost")
    columns = [each for each in _COLUMNS if each.name not in dropped]
    least, most, most_if_wide = _NOTEBOOK_WIDTHS
    # Of a thousand kernels most have one of a few notebooks.
    one_of_each = {each.notebook or each.kernel_id: each for each in processes}
    longest = max((len(name_of(each)) for each in one_of_each.values()), default=0)
    most = most_if_wide if width >= _WIDE else most
    columns[0] = replace(columns[0], width=min(max(longest, least), most))
    for name in _DROP_ORDER:
        extra = 0 if name in _IMPORTANT else _WIDE_CELL - _MIN_CELL
        if _width(columns) + extra <= width:
            continue
        columns = [each for each in columns if each.name != name]
    *others, cell = columns
    left = width - _width(others) - 1
    return [*others, replace(cell, width=max(left, 4))]


def _width(columns: Sequence[Column]) -> int:
    return sum(each.width + 1 for each in columns) - 1


def title(column: Column, arrow: str = "") -> str:
    """The title, and after it the arrow of the sorted column, which moves no title.

    As wide as the column and the gap behind it, where the arrow of a figure is.

    >>> title(_COLUMNS[2]), title(_COLUMNS[2], "▲")
    ('     PID ', '     PID▲')
    """
    text = fit(column.title, column.width, to_right=column.is_figure)
    end = len(text.rstrip())
    return f"{text[:end]}{arrow}".ljust(column.width + 1)


def row(process: Process, columns: Iterable[Column], now_ns: int) -> list[str]:
    """The texts of the columns, each as wide as its column."""
    return [
        fit(each.text(process, now_ns), each.width, to_right=each.is_figure)
        for each in columns
    ]


def table(processes: Sequence[Process], width: int, now_ns: int) -> str:
    """The titles and a row for each process, in the given order."""
    columns = choose(processes, width)
    titles = "".join(title(each) for each in columns)
    rows = (" ".join(row(each, columns, now_ns)) for each in processes)
    return "\n".join(line[:width].rstrip() for line in (titles, *rows))


def headline(processes: Sequence[Process], now_ns: int) -> str:
    """The number of processes, their states, and their total RSS.

    >>> headline([], 0)
    '0 processes; RSS 0.0 MiB in all'
    """
    states = [each.state(now_ns) for each in processes]
    known = [
        each.rss_bytes
        for each, state in zip(processes, states, strict=True)
        if state not in ("died", "gone") and each.rss_bytes is not None
    ]
    parts = [f"{len(states)} process{'' if len(states) == 1 else 'es'}"]
    parts += [
        f"{states.count(state)} {state}"
        for state in ("running", "silent", "died", "gone")
        if state in states
    ]
    return f"{', '.join(parts)}; RSS {short(sum(known))} in all"


def fit(text: str, width: int, *, to_right: bool = False) -> str:
    """`text` in exactly `width` columns of a terminal, cut with an ellipsis.

    >>> fit("notebook.ipynb", 9)
    'notebook…'
    """
    if text.isascii():
        text = text if len(text) <= width else text[: width - 1] + "…"
        return text.rjust(width) if to_right else text.ljust(width)
    used = sum(map(_columns_of, text))
    if used > width:
        while used > width - 1:
            used -= _columns_of(text[-1])
            text = text[:-1]
        text, used = text + "…", used + 1
    padding = " " * (width - used)
    return padding + text if to_right else text + padding


# Not wcwidth or rich: `memwatch top --once` needs only click, which ignores width.
def _columns_of(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) == "Me":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
