"""One row a watched process, from its black box or from its messages. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, Literal

from .messages import Cell, Message, printable

__all__ = ["HISTORY_LENGTH", "SORTABLE", "Process", "State", "is_ascending", "sort"]

State = Literal["running", "idle", "silent", "gone"]

HISTORY_LENGTH = 32
_SILENT_NS = 3_000_000_000
"""A publisher tells something once a second at least."""
_MAX_TEXT = 512


class Process:
    """What is known of it. None is unknown, never 0."""

    __slots__ = (
        "cell", "dropped", "history", "host", "interval_ns", "is_running", "kernel_id",
        "lifetime_peak_bytes", "limit_bytes", "limit_group", "limit_set_by", "lost",
        "message", "notebook", "pid", "received", "rss_bytes", "sampled_at", "seen_ns",
        "told_ns", "user", "via", "went_ns",
    )  # fmt: skip

    def __init__(self, via: Literal["box", "stream"], kernel_id: str, pid: int) -> None:
        self.via = via
        self.kernel_id = kernel_id
        self.pid = pid
        self.host: str | None = None
        self.user: str | None = None
        self.notebook: str | None = None
        self.cell: Cell | None = None
        """The one that is open, or the last."""
        self.is_running = False
        self.rss_bytes: int | None = None
        self.lifetime_peak_bytes: int | None = None
        self.limit_bytes: int | None = None
        self.limit_set_by: str | None = None
        self.limit_group: str | None = None
        self.interval_ns: int | None = None
        self.sampled_at: str | None = None
        """When the sample was taken, by the clock of where it was."""
        self.seen_ns = 0
        """When it was, or came here: CLOCK_MONOTONIC."""
        self.told_ns = 0
        """The same of what was last told of the cell."""
        self.went_ns: int | None = None
        """When it was known to be gone."""
        self.history: deque[int] = deque(maxlen=HISTORY_LENGTH)
        """RSS, one value a refresh."""
        self.message: int | None = None
        """The number of the newest message."""
        self.received = 0
        self.lost = 0
        self.dropped: int | None = None

    def see_message(self, message: Message, now_ns: int) -> None:
        """It came at `now_ns`."""
        for name in _SAME:
            setattr(self, name, getattr(message, name))
        self.message = message.number
        if message.rss_bytes is not None:
            self.rss_bytes = message.rss_bytes
        self.seen_ns = self.told_ns = now_ns
        self.is_running = message.cell is not None and message.kind != "close"
        if message.cell is not None:
            self.cell = message.cell
        if message.kind == "bye":
            self.is_running = False
            self.went_ns = now_ns
        else:
            self.went_ns = None

    def see_box(
        self,
        box: Mapping[str, Any],
        is_alive: bool | None,
        rss_now_bytes: int | None,
        now_ns: int,
        now_real_ns: int,
    ) -> None:
        """What its black box says at `now_ns`, and /proc where no cell is running."""
        # Another machine's monotonic clock is compared by the date.
        behind_ns = box["real_ahead_ns"] - (now_real_ns - now_ns)
        shift_ns = behind_ns if is_alive is None else 0
        for name in ("host", "user", "notebook", "limit_set_by", "limit_group"):
            text = box[name]
            setattr(self, name, printable(text, _MAX_TEXT) if text else None)
        self.limit_bytes = box["limit_bytes"]
        self.lifetime_peak_bytes = box["lifetime_peak_bytes"]
        cells = box["cells"]
        open_cells = [each for each in cells if each["status"] == "open"]
        self.is_running = bool(open_cells) and is_alive is not False
        newest = (open_cells or cells)[-1] if cells else None
        self.told_ns = now_ns
        self.cell = None if newest is None else _cell_of(newest, now_ns - shift_ns)

        times, sizes = box["timeline"]["t_mono_ns"], box["timeline"]["rss_bytes"]
        if len(sizes):
            if not self.history:
                self.history.extend(_highest(sizes, HISTORY_LENGTH - 1))
            self.rss_bytes, self.seen_ns = sizes[-1], times[-1] + shift_ns
            self.sampled_at = _iso(times[-1] + box["real_ahead_ns"])
        if not self.is_running and rss_now_bytes is not None:
            self.rss_bytes, self.seen_ns = rss_now_bytes, now_ns
            self.sampled_at = _iso(now_real_ns)
        if is_alive is not False:
            self.went_ns = None
        elif self.went_ns is None:
            self.went_ns = now_ns

    def remember(self) -> None:
        """One more value of the history; call it once a refresh."""
        if self.rss_bytes is not None and self.went_ns is None:
            self.history.append(self.rss_bytes)

    def age_ns(self, now_ns: int) -> int | None:
        """Of the newest sample; None where there was none."""
        return max(0, now_ns - self.seen_ns) if self.seen_ns else None

    def state(self, now_ns: int) -> State:
        """What it does, as far as is known."""
        if self.went_ns is not None:
            return "gone"
        age_ns = self.age_ns(now_ns)
        patience_ns = max(_SILENT_NS, 10 * min(self.interval_ns or 0, 10**10))
        if age_ns is not None and age_ns > patience_ns:
            # Of a process that nobody else can ask after, this is all that is known.
            return "silent"
        return "running" if self.is_running else "idle"

    def running_ns(self, now_ns: int) -> int | None:
        """How long the open cell has been running; None where there is none."""
        if not self.is_running or self.cell is None or self.cell.running_ns is None:
            return None
        return self.cell.running_ns + max(0, now_ns - self.told_ns)

    @property
    def cell_peak_bytes(self) -> int | None:
        """The highest RSS while the cell was, or is, open."""
        return None if self.cell is None else self.cell.rss_peak_bytes

    @property
    def share(self) -> float | None:
        """RSS in hundredths of the limit; None where there is none."""
        if self.rss_bytes is None or not self.limit_bytes:
            return None
        return 100 * self.rss_bytes / self.limit_bytes

    def to_dict(self, now_ns: int) -> dict[str, Any]:
        """Everything, ready for JSON: bytes and nanoseconds."""
        share, cell = self.share, self.cell
        values = {name: getattr(self, name) for name in _TOLD}
        values["state"] = self.state(now_ns)
        values["sample_age_ns"] = self.age_ns(now_ns)
        values["limit_share_percent"] = None if share is None else round(share, 2)
        values["cell"] = None
        if cell is not None:
            values["cell"] = {name: getattr(cell, name) for name in _CELL} | {
                "is_running": self.is_running,
                "running_ns": self.running_ns(now_ns) or cell.running_ns,
            }
        return values


_TOLD = (
    "kernel_id", "via", "host", "user", "pid", "notebook", "rss_bytes",
    "lifetime_peak_bytes", "limit_bytes", "limit_set_by", "limit_group", "sampled_at",
    "message", "received", "lost", "dropped",
)  # fmt: skip
_SAME = (
    "host", "user", "pid", "notebook", "lifetime_peak_bytes", "limit_bytes",
    "limit_set_by", "limit_group", "interval_ns", "sampled_at", "dropped",
)  # fmt: skip
_CELL = tuple(Cell.__slots__)


def _cell_of(cell: Mapping[str, Any], now_ns: int) -> Cell:
    is_open = cell["status"] == "open"
    took_ns = now_ns - cell["t_mono_ns"] if is_open else cell.get("duration_ns")

    def text(name: str) -> str | None:
        value = cell[name]
        return printable(value, _MAX_TEXT) if value else None

    return Cell(
        number=cell["number"],
        label=text("label"),
        execution_count=cell["execution_count"],
        cell_id=text("cell_id"),
        source=text("source"),
        started_at=_iso(cell["t_real_ns"]),
        running_ns=None if took_ns is None else max(0, took_ns),
        rss_start_bytes=cell["rss_start_bytes"],
        rss_peak_bytes=cell["rss_peak_bytes"],
        used_bytes=None if is_open else cell.get("used_bytes"),
        status=None if is_open else cell["status"],
    )


def _iso(t_real_ns: int | None) -> str | None:
    if t_real_ns is None:
        return None
    try:
        moment = datetime.fromtimestamp(t_real_ns / 1e9, tz=timezone.utc)
    except (OverflowError, OSError, ValueError):
        return None  # a box's clock may say anything
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _highest(values: Any, count: int) -> list[int]:
    """`values` in at most `count`, each the highest of its share."""
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
"""What one may sort by."""
_ASCENDING = {"kernel", "pid", "host", "user", "notebook", "state", "cell"}


def is_ascending(column: str) -> bool:
    """Whether it is sorted from low to high where nobody asks for the reverse."""
    return column in _ASCENDING


def sort(
    processes: Iterable[Process], column: str, now_ns: int, *, reverse: bool = False
) -> list[Process]:
    """By that column: figures from high to low, names from A on, the unknown last.

    What is equal there stands by its kernel's id, so that no row jumps about.
    """
    key = _KEYS[column]
    keyed = [(key(each, now_ns), each) for each in processes]
    known = [pair for pair in keyed if pair[0] is not None]
    unknown = [each for value, each in keyed if value is None]
    known.sort(key=lambda pair: (pair[1].kernel_id, pair[1].pid))
    known.sort(key=lambda pair: pair[0], reverse=is_ascending(column) == reverse)
    unknown.sort(key=lambda each: (each.kernel_id, each.pid))
    return [each for _, each in known] + unknown
