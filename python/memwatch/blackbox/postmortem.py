"""What the black box of an ended process shows."""

from __future__ import annotations

import os
import signal as signals
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .. import _core
from .._core import BlackBoxError
from ..report import CellReport, iso_8601
from .reader import (
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

_GROWTH_NS = 1_000_000_000
_SHORTEST_GROWTH_NS = 20_000_000
_LOG_SLACK_NS = 10_000_000_000
_FIRST_PID_NAMESPACE = 0xEFFFFFFC  # of the whole machine: PROC_PID_INIT_INO
_MOST_LOOKED_AT = 16
_COPIED = (
    "pid", "kernel_id", "notebook", "user", "host", "lifetime_peak_bytes",
    "limit_bytes", "limit_set_by", "limit_group",
)  # fmt: skip
"""Fields that the black box has by the same names."""
_CLEAN = "clean exit, which could not remove the black box"


@dataclass(frozen=True)
class PostMortem:
    """Bytes, nanoseconds, ISO 8601 in UTC; None: unknown."""

    schema: int
    path: str
    pid: int
    kernel_id: str | None
    notebook: str | None
    user: str | None
    host: str | None
    alive: bool | None
    """Whether it still runs; None: it ran on another machine or in a container."""
    cells: list[CellReport]
    """The cells that were running, the outermost first."""
    previous_cell: str | None
    """The label of the last cell, if none was running."""
    rss_bytes: int | None
    """At the last sample."""
    sampled_at: str | None
    sample_age_ns: int | None
    """How long ago that is; the process ended some time after it."""
    sample_interval_ns: int | None
    """Mean interval of the last samples."""
    growth_bytes_per_s: int | None
    """Over the last second of the running cell."""
    lifetime_peak_bytes: int | None
    limit_bytes: int | None
    limit_set_by: str | None
    limit_group: str | None
    oom_kills_before: int | None
    """OOM kills in its cgroup when the box was created ..."""
    oom_kills_now: int | None
    """... and now."""
    signal: int | None
    """The signal that ended it."""
    signal_told_by: str | None
    """The source of `signal`: "you" (the caller) or "the kernel's log"."""
    ended_at: str | None
    """The time of a clean exit that could not remove the box."""
    verdict: str

    def to_dict(self) -> dict[str, Any]:
        """All fields by name: ready for JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {"cells": [each.to_dict() for each in self.cells]}


def examine(
    path: str | os.PathLike[str], box: Box, signal: int | None = None
) -> PostMortem:
    """Examine `box`; `signal` ended the process, if the caller knows that."""
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
        alive=alive,
        cells=[each.report for each in running],
        previous_cell=ended[-1].report.label if ended and not running else None,
        rss_bytes=rss_bytes[-1] if rss_bytes else None,
        sampled_at=None if last_ns is None else iso_8601(date_ns(box, last_ns)),
        sample_age_ns=None if last_ns is None else age_ns(box, last_ns),
        sample_interval_ns=_interval_ns(t_ns) if running else None,
        growth_bytes_per_s=_growth(t_ns, rss_bytes, running[0]) if running else None,
        oom_kills_before=box["oom_kills"],
        oom_kills_now=kills_now,
        signal=signal,
        signal_told_by=told_by,
        ended_at=None if ended_ns is None else iso_8601(ended_ns),
        verdict=verdict,
        **{name: box[name] for name in _COPIED},
    )


def find_dead(pid: int | None = None, record_dir: str = "") -> list[tuple[Path, Box]]:
    """The boxes of killed processes, newest first; with `pid`, all boxes of that pid.

    Boxes of another machine, container or boot, whose processes may still run, come
    last. `record_dir` is a further folder to search.
    """
    found = []
    for path, box in _readable(find_boxes(record_dir)):
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
    others = [
        path
        for path in find_boxes(record_dir)[:_MOST_LOOKED_AT]
        if path != own and not path.name.endswith(".reported.box")
    ]
    for path, box in _readable(others):
        if box["t_ended_ns"] is None and _is_predecessor(box, me):
            found.append((last_seen_age_ns(box), path, box))
    for _, path, box in sorted(found, key=lambda each: each[0]):
        try:
            mark_reported(path)
        except OSError:
            continue
        return examine(path, box)
    return None


def _readable(paths: Iterable[Path]) -> Iterator[tuple[Path, Box]]:
    for path in paths:
        try:
            yield path, read_found_box(path)
        except (BlackBoxError, OSError):
            continue


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
    """Whether the kernel's log says that it OOM-killed this process."""
    t_ns = box["timeline"]["t_mono_ns"]
    # The log has pids of the machine's first namespace.
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
    """Its records: nanoseconds since boot, text. Empty if it cannot be read."""
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
    """The next record; None: the end."""
    while True:
        try:
            return os.read(log, 8192)
        except BrokenPipeError:
            continue  # it was overwritten
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
