"""Watched processes, from their black boxes or messages; their order. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..display.units import printable
from ..report import CellReport, iso_8601
from .messages import Message

if TYPE_CHECKING:
    from ..blackbox.reader import RecordedCell

State = Literal["running", "idle", "silent", "died", "gone"]

HISTORY_LENGTH = 64
_CELLS = 8
_SILENT_NS = 3_000_000_000
"""A publisher sends at least one message per second."""
_MAX_TEXT = 512


@dataclass(slots=True, eq=False)
class Process:
    """One watched process. None: unknown, never 0.

    >>> Process("stream", "4f1c", 123).state(0)
    'idle'
    """

    source: Literal["box", "stream"]
    kernel_id: str
    pid: int
    host: str | None = None
    user: str | None = None
    notebook: str | None = None
    cell: CellReport | None = None
    """The open one, or the last."""
    cell_number: int | None = None
    is_running: bool = False
    rss_bytes: int | None = None
    lifetime_peak_bytes: int | None = None
    limit_bytes: int | None = None
    limit_set_by: str | None = None
    limit_group: str | None = None
    interval_ns: int | None = None
    sampled_at: str | None = None
    """When the sample was taken, by the clock of its machine."""
    seen_ns: int = 0
    """When the sample was taken or received: CLOCK_MONOTONIC; 0: never."""
    received_ns: int = 0
    """When `cell` was last updated: CLOCK_MONOTONIC."""
    gone_ns: int | None = None
    """When the process was found to be gone: CLOCK_MONOTONIC."""
    died: bool = False
    """Whether it is gone without a clean end."""
    dismissed_ns: int | None = None
    """`seen_ns` when the user dismissed it: it is hidden until a newer sample."""
    box_path: Path | None = None
    """Its black box."""
    history: deque[int] = field(default_factory=lambda: deque(maxlen=HISTORY_LENGTH))
    """RSS, one value per refresh."""
    cells: deque[CellReport] = field(default_factory=lambda: deque(maxlen=_CELLS))
    """The last cells whose end was received; those of a black box are in the box."""
    next_sample: int = 0
    """The number of the first sample of the black box that was not read yet."""
    message: int | None = None
    """The number of the newest message."""
    received: int = 0
    lost: int = 0
    dropped: int | None = None

    def update_from_message(self, message: Message, now_ns: int) -> None:
        """Take over the message, received at `now_ns`."""
        for name in _COPIED:
            setattr(self, name, getattr(message, name))
        self.message = message.number
        if message.rss_bytes is not None:
            self.rss_bytes = message.rss_bytes
        self.seen_ns = self.received_ns = now_ns
        self.is_running = message.cell is not None and message.kind != "close"
        if message.cell is not None:
            self.cell, self.cell_number = message.cell, message.cell_number
            if message.kind == "close":
                self.cells.append(message.cell)
        self.gone_ns, self.died = None, False
        if message.kind == "bye":
            self.is_running = False
            self.gone_ns = now_ns

    def update_from_box(
        self,
        box: Mapping[str, Any],
        is_alive: bool | None,
        rss_now_bytes: int | None,
        now_ns: int,
        now_real_ns: int,
    ) -> None:
        """Take over its black box, and its RSS in /proc if no cell is running."""
        # Another machine's monotonic clock is converted by its date.
        behind_ns = box["real_ahead_ns"] - (now_real_ns - now_ns)
        shift_ns = behind_ns if is_alive is None else 0
        for name in ("host", "user", "notebook", "limit_set_by", "limit_group"):
            text = box[name]
            setattr(self, name, printable(text, _MAX_TEXT) if text else None)
        self.limit_bytes = box["limit_bytes"]
        self.lifetime_peak_bytes = box["lifetime_peak_bytes"]
        self.next_sample = box["samples"]
        newest = box["cells"][-1] if box["cells"] else None
        is_open = newest is not None and newest.status == "running"
        self.is_running = is_open and is_alive is not False
        self.received_ns = now_ns
        self.cell = self.cell_number = None
        if newest is not None:
            self.cell = _until(newest, now_ns - shift_ns)
            self.cell_number = newest.number

        times, sizes = box["timeline"]["t_mono_ns"], box["timeline"]["rss_bytes"]
        if len(sizes):
            if not self.history:
                self.history.extend(_highest(sizes, HISTORY_LENGTH - 1))
            self.rss_bytes, self.seen_ns = sizes[-1], times[-1] + shift_ns
            self.sampled_at = iso_8601(times[-1] + box["real_ahead_ns"])
        if not self.is_running and rss_now_bytes is not None:
            self.rss_bytes, self.seen_ns = rss_now_bytes, now_ns
            self.sampled_at = iso_8601(now_real_ns)
        if is_alive is not False:
            self.gone_ns, self.died = None, False
        elif self.gone_ns is None:
            self.record_history()  # the last sample
            self.end(now_ns, died=True)

    def end(self, now_ns: int, *, died: bool) -> None:
        """Note that it is gone; `died`: without a clean end."""
        self.is_running, self.gone_ns, self.died = False, now_ns, died

    def record_history(self) -> None:
        """Append the RSS to the history; call it once per refresh."""
        if self.rss_bytes is not None and self.gone_ns is None:
            self.history.append(self.rss_bytes)

    def age_ns(self, now_ns: int) -> int | None:
        """Age of the newest sample; None without a sample."""
        return max(0, now_ns - self.seen_ns) if self.seen_ns else None

    def state(self, now_ns: int) -> State:
        """running, idle, silent (no samples for some time), died or gone."""
        if self.gone_ns is not None:
            return "died" if self.died else "gone"
        age_ns = self.age_ns(now_ns)
        silent_ns = max(_SILENT_NS, 10 * min(self.interval_ns or 0, 10**10))
        if age_ns is not None and age_ns > silent_ns:
            return "silent"
        return "running" if self.is_running else "idle"

    def is_lost(self, now_ns: int) -> bool:
        """Whether it died, or probably did: a living publisher is never silent."""
        state = self.state(now_ns)
        return state == "died" or (state == "silent" and self.source == "stream")

    @property
    def is_dismissed(self) -> bool:
        """Whether the user dismissed it, and no sample came since."""
        return self.dismissed_ns == self.seen_ns

    def dismiss(self, now_ns: int) -> bool:
        """Hide it until a sample comes. False: it is alive, and not hidden."""
        if self.state(now_ns) in ("running", "idle"):
            return False
        self.dismissed_ns = self.seen_ns
        return True

    def running_ns(self, now_ns: int) -> int | None:
        """How long the open cell has been running; None without one."""
        if not self.is_running or self.cell is None or self.cell.duration_ns is None:
            return None
        return self.cell.duration_ns + max(0, now_ns - self.received_ns)

    @property
    def cell_peak_bytes(self) -> int | None:
        """The highest RSS since the cell was opened, until it was closed."""
        return None if self.cell is None else self.cell.rss_peak_bytes

    @property
    def share(self) -> float | None:
        """RSS in percent of the limit; None without a limit."""
        if self.rss_bytes is None or not self.limit_bytes:
            return None
        return 100 * self.rss_bytes / self.limit_bytes

    def to_dict(self, now_ns: int) -> dict[str, Any]:
        """All fields for `memwatch top --json`: bytes and nanoseconds."""
        share, cell = self.share, self.cell
        values = {name: getattr(self, name) for name in _FIELDS}
        values["state"] = "gone" if self.died else self.state(now_ns)
        values["sample_age_ns"] = self.age_ns(now_ns)
        values["limit_share_percent"] = None if share is None else round(share, 2)
        values["cell"] = None
        if cell is not None:
            values["cell"] = {name: getattr(cell, name) for name in _CELL_FIELDS} | {
                "number": self.cell_number,
                "duration_ns": self.running_ns(now_ns) or cell.duration_ns,
                "is_running": self.is_running,
            }
        return values


_FIELDS = (
    "kernel_id", "source", "host", "user", "pid", "notebook", "rss_bytes",
    "lifetime_peak_bytes", "limit_bytes", "limit_set_by", "limit_group", "sampled_at",
    "message", "received", "lost", "dropped", "died",
)  # fmt: skip
_COPIED = (
    "host", "user", "pid", "notebook", "lifetime_peak_bytes", "limit_bytes",
    "limit_set_by", "limit_group", "interval_ns", "sampled_at", "dropped",
)  # fmt: skip
_CELL_FIELDS = (
    "label", "execution_count", "cell_id", "source", "line", "started_at",
    "duration_ns", "rss_start_bytes", "rss_peak_bytes", "used_bytes", "status",
)  # fmt: skip


def _until(cell: RecordedCell, now_ns: int) -> CellReport:
    """The report of a cell of a black box, printable; if it is running, until now."""
    report = cell.report
    changes: dict[str, Any] = {
        name: printable(value, _MAX_TEXT) if (value := getattr(report, name)) else None
        for name in ("label", "cell_id", "source")
    }
    if report.status == "running":
        changes["duration_ns"] = max(0, now_ns - cell.t_mono_ns)
    return replace(report, **changes)


def _highest(values: Any, count: int) -> list[int]:
    """At most `count` values: the highest of each equal part of `values`."""
    size = len(values)
    count = min(count, size)
    return [
        max(values[size * each // count : size * (each + 1) // count])
        for each in range(count)
    ]


# ---- order ----

_KEYS: dict[str, Callable[[Process, int], Any]] = {
    "rss": lambda each, now_ns: each.rss_bytes,
    "share": lambda each, now_ns: each.share,
    "peak": lambda each, now_ns: each.cell_peak_bytes,
    "highest": lambda each, now_ns: each.lifetime_peak_bytes,
    "limit": lambda each, now_ns: each.limit_bytes,
    "time": lambda each, now_ns: each.running_ns(now_ns),
    "age": lambda each, now_ns: each.age_ns(now_ns),
    "lost": lambda each, now_ns: each.lost,
    "kernel": lambda each, now_ns: each.kernel_id,
    "pid": lambda each, now_ns: each.pid,
    "host": lambda each, now_ns: each.host,
    "user": lambda each, now_ns: each.user,
    "notebook": lambda each, now_ns: each.notebook,
    "state": lambda each, now_ns: each.state(now_ns),
    "cell": lambda each, now_ns: each.cell and each.cell.label,
}
SORTABLE = tuple(_KEYS)
"""The columns to sort by."""
_ASCENDING = {"kernel", "pid", "host", "user", "notebook", "state", "cell"}


def is_ascending(column: str) -> bool:
    """Whether the column's default order is from low to high.

    >>> is_ascending("host")
    True
    """
    return column in _ASCENDING


def sort(
    processes: Iterable[Process], column: str, now_ns: int, *, reverse: bool = False
) -> list[Process]:
    """Sort by a column: figures from high to low, names from A to Z, unknown last.

    Equal rows are sorted by kernel id, so that they do not jump.
    """
    key = _KEYS[column]
    keyed = [(key(each, now_ns), each) for each in processes]
    known = [pair for pair in keyed if pair[0] is not None]
    unknown = [each for value, each in keyed if value is None]
    known.sort(key=lambda pair: (pair[1].kernel_id, pair[1].pid))
    known.sort(key=lambda pair: pair[0], reverse=is_ascending(column) == reverse)
    unknown.sort(key=lambda each: (each.kernel_id, each.pid))
    return [each for _, each in known] + unknown
