"""What is known of a process that is gone, from its black box; and no more."""

from __future__ import annotations

import os
import signal as signals
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .. import _core
from ..report import CellReport, iso_8601
from .reader import (
    BlackBoxError,
    Box,
    RecordedCell,
    age_ns,
    date_ns,
    find_boxes,
    has_our_clocks,
    is_alive,
    last_seen_age_ns,
    mark_reported,
    read_box,
    read_found_box,
)

__all__ = [
    "PostMortem",
    "examine",
    "find_dead",
    "find_predecessor",
]

_GROWTH_NS = 1_000_000_000
_SHORTEST_GROWTH_NS = 20_000_000
_LOG_SLACK_NS = 10_000_000_000
_FIRST_PID_NAMESPACE = 0xEFFFFFFC  # of the whole machine: PROC_PID_INIT_INO
_MOST_LOOKED_AT = 16
_CLEAN = "clean exit, which could not remove the black box"


@dataclass(frozen=True)
class PostMortem:
    """Bytes, nanoseconds, ISO 8601 in UTC; what is not known is None."""

    schema: int
    path: str
    pid: int
    kernel_id: str | None
    notebook: str | None
    user: str | None
    host: str | None
    alive: bool | None
    """Whether it still runs. None: that can only be told where it ran."""
    cells: list[CellReport]
    """Those that were running, the outermost first."""
    previous_cell: str | None
    """Where none was: the label of the one that had ended last."""
    rss_bytes: int | None
    """At the last sample."""
    sampled_at: str | None
    sample_age_ns: int | None
    """How long ago that is now; when the process ended after it nobody has seen."""
    sample_interval_ns: int | None
    """How far apart the last samples are."""
    growth_bytes_per_s: int | None
    """Over the last second of the running cell."""
    lifetime_peak_bytes: int | None
    limit_bytes: int | None
    limit_set_by: str | None
    limit_group: str | None
    oom_kills_before: int | None
    """The count of its cgroup when the box was made."""
    oom_kills_now: int | None
    signal: int | None
    """That it ended by."""
    signal_told_by: str | None
    """Who says so: whoever asked for this, or the kernel's log."""
    ended_at: str | None
    """When it ended by a clean exit that could not remove the box."""
    verdict: str

    def to_dict(self) -> dict[str, Any]:
        """All fields by name: ready for JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {"cells": [each.to_dict() for each in self.cells]}


def examine(
    path: str | os.PathLike[str], box: Box, signal: int | None = None
) -> PostMortem:
    """What `box` tells. `signal` is what it ended by, where somebody saw that."""
    t_ns, rss_bytes = box["timeline"]["t_mono_ns"], box["timeline"]["rss_bytes"]
    running = [each for each in box["cells"] if each.status == "running"]
    ended = [each for each in box["cells"] if each.status != "running"]
    alive = is_alive(box)
    kills_now = None
    if alive is not None and box["oom_file"] is not None:
        kills_now = _core.oom_kills(box["oom_file"])
    told_by = None if signal is None else "you"
    if signal is None and not alive and _is_in_the_log(box):
        signal, told_by = int(signals.SIGKILL), "the kernel's log"
    last_ns = t_ns[-1] if t_ns else None
    ended_ns = box["t_ended_ns"]
    verdict = _verdict(alive, signal, box["oom_kills"], kills_now)
    if ended_ns is not None and not alive:
        verdict = _CLEAN
    return PostMortem(
        schema=2,
        path=os.fspath(path),
        pid=box["pid"],
        kernel_id=box["kernel_id"],
        notebook=box["notebook"],
        user=box["user"],
        host=box["host"],
        alive=alive,
        cells=[each.report for each in running],
        previous_cell=ended[-1].report.label if ended and not running else None,
        rss_bytes=rss_bytes[-1] if rss_bytes else None,
        sampled_at=None if last_ns is None else iso_8601(date_ns(box, last_ns)),
        sample_age_ns=None if last_ns is None else age_ns(box, last_ns),
        sample_interval_ns=_interval_ns(t_ns) if running else None,
        growth_bytes_per_s=_growth(t_ns, rss_bytes, running[0]) if running else None,
        lifetime_peak_bytes=box["lifetime_peak_bytes"],
        limit_bytes=box["limit_bytes"],
        limit_set_by=box["limit_set_by"],
        limit_group=box["limit_group"],
        oom_kills_before=box["oom_kills"],
        oom_kills_now=kills_now,
        signal=signal,
        signal_told_by=told_by,
        ended_at=None if ended_ns is None else iso_8601(ended_ns),
        verdict=verdict,
    )


def find_dead(pid: int | None = None, record_dir: str = "") -> list[tuple[Path, Box]]:
    """The boxes of processes that do not run here, newest first; of `pid` only, if
    that is given, and then of one that runs, or ended by a clean exit, too.

    Those of another machine, container or boot, which may run there, come last.
    `record_dir` is another place to look in.
    """
    found = []
    for path in find_boxes(record_dir):
        try:
            box = read_found_box(path)
        except (BlackBoxError, OSError):
            continue
        alive = is_alive(box)
        wanted = not alive and box["t_ended_ns"] is None
        if pid is not None:
            wanted = box["pid"] == pid
        if wanted:
            found.append((alive is None, last_seen_age_ns(box), path, box))
    found.sort(key=lambda each: each[:2])
    return [(path, box) for _, _, path, box in found]


def find_predecessor(own: Path, record_dir: str = "") -> PostMortem | None:
    """The post-mortem of the process before this one in the same working session.

    The same session: the same kernel for Jupyter, the same notebook, or the same
    terminal. None if none was killed, or if it was reported before. `own` is the black
    box of this process.
    """
    me = read_box(own)
    found = []
    for path in find_boxes(record_dir)[:_MOST_LOOKED_AT]:
        if path == own or path.name.endswith(".told.box"):
            continue
        try:
            box = read_found_box(path)
        except (BlackBoxError, OSError):
            continue
        if box["t_ended_ns"] is None and _is_predecessor(box, me):
            found.append((last_seen_age_ns(box), path, box))
    for _, path, box in sorted(found, key=lambda each: each[0]):
        try:
            mark_reported(path)
        except OSError:
            continue
        return examine(path, box)
    return None


def _is_predecessor(other: Box, me: Box) -> bool:
    alive = is_alive(other)
    if alive or me["uid"] != other["uid"]:
        return False
    if alive is None:
        # It ran in another container: only a restarted kernel keeps its id.
        same = {"kernel_id"}
    else:
        # Kernels have sessions of their own; programs in a terminal share its session.
        same = {"kernel_id", "session_id"} | ({"notebook"} if me["notebook"] else set())
    return any(me[name] == other[name] for name in same)


# ---- what can be concluded ----


def _verdict(
    alive: bool | None, signal: int | None, before: int | None, now: int | None
) -> str:
    if alive:
        return "still running"
    rose = None if before is None or now is None or now < before else now > before
    if signal == signals.SIGKILL and rose:
        return "OOM-killed"
    if signal is not None:
        return f"killed by signal {signal} ({_name_of(signal)})"
    if alive is None:
        return "unknown: the process ran on another machine, container or boot"
    return "ended without a clean exit; the signal is unknown"


def _name_of(signal: int) -> str:
    try:
        return signals.Signals(signal).name
    except ValueError:
        return "unknown signal"


def _is_in_the_log(box: Box) -> bool:
    """Whether the kernel's log says that it killed this process for want of memory."""
    t_ns = box["timeline"]["t_mono_ns"]
    # The log names processes by the pids of the whole machine.
    if box["pid_namespace"] != _FIRST_PID_NAMESPACE or not t_ns:
        return False
    if not has_our_clocks(box):
        return False
    wanted = f"Killed process {box['pid']} ("
    for logged_ns, text in _kernel_log():
        if wanted in text and abs(logged_ns - t_ns[-1]) < _LOG_SLACK_NS:
            return True
    return False


def _kernel_log() -> list[tuple[int, str]]:
    """What is left of it: nanoseconds since boot, text. Empty where we may not look."""
    found = []
    try:
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        while record := _next_record(log):
            head, _, text = record.decode("utf-8", "replace").partition(";")
            fields = head.split(",")  # priority, sequence, microseconds, flags
            if len(fields) > 2 and fields[2].isdigit():
                found.append((int(fields[2]) * 1000, text))
    finally:
        os.close(log)
    return found


def _next_record(log: int) -> bytes | None:
    """One record; None: there are no more."""
    while True:
        try:
            return os.read(log, 8192)
        except BrokenPipeError:
            continue  # it was overwritten before we came: the next one
        except OSError:
            return None


def _growth(
    t_ns: Sequence[int], rss_bytes: Sequence[int], cell: RecordedCell
) -> int | None:
    if not t_ns:
        return None
    since = max(cell.t_mono_ns, t_ns[-1] - _GROWTH_NS)
    first = next(i for i, each in enumerate(t_ns) if each >= since or each == t_ns[-1])
    took_ns = t_ns[-1] - t_ns[first]
    if took_ns < _SHORTEST_GROWTH_NS:
        return None
    return (rss_bytes[-1] - rss_bytes[first]) * 1_000_000_000 // took_ns


def _interval_ns(t_ns: Sequence[int]) -> int | None:
    latest = t_ns[-6:]
    if len(latest) < 2:
        return None
    return (latest[-1] - latest[0]) // (len(latest) - 1)
