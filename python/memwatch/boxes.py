"""Black boxes: which there are, what is in them, whose processes still live."""

from __future__ import annotations

import os
import re
import time
from array import array
from pathlib import Path
from typing import Literal, TypedDict

from . import _boxes
from ._boxes import BoxError
from .runtime import runtime_folder

__all__ = [
    "Box",
    "BoxCell",
    "BoxError",
    "Series",
    "find_boxes",
    "is_alive",
    "last_seen_ns",
    "mark_told",
    "name_of",
    "prune_boxes",
    "read_box",
]

_NAME = re.compile(r"(?P<pid>\d{1,10})-(?P<start_ticks>\d{1,19})(\.told)?\.\w+(\.new)?")
_KEPT_DAYS = 7
_KEPT_FILES = 100
_DAY_NS = 24 * 3600 * 1_000_000_000


class Series(TypedDict):
    """The latest samples, oldest first."""

    t_mono_ns: array[int]
    """CLOCK_MONOTONIC of that boot, nanoseconds."""
    rss_bytes: array[int]


class BoxCell(TypedDict):
    """One cell or block. What is not known is None."""

    number: int
    """0 for the first that was opened in that process, and so on."""
    status: Literal["open", "ok", "error", "interrupted", "cancelled"]
    """``cancelled``: it ended, and nobody knows how."""
    label: str | None
    execution_count: int | None
    cell_id: str | None
    source: str | None
    """Its first line."""
    t_mono_ns: int
    """When it opened: CLOCK_MONOTONIC, nanoseconds ..."""
    t_real_ns: int
    """... and since 1970."""
    rss_start_bytes: int | None
    rss_peak_bytes: int | None
    """So far: samples, and the kernel's high-water mark, read ten times a second."""
    drift_bytes: int | None
    duration_ns: int | None
    """None until it has ended, as what follows is."""
    rss_end_bytes: int | None
    used_bytes: int | None
    peaked_bytes: int | None
    risen_bytes: int | None
    peak_error_bytes: int | None


class Box(TypedDict):
    """A black box. What was not known to its writer is None."""

    pid: int
    start_ticks: int | None
    """When it began: ``/proc/PID/stat`` field 22. With the pid it names the process."""
    pid_namespace: int | None
    """The inode of ``/proc/PID/ns/pid``: where that pid means it."""
    parent_pid: int
    session_id: int
    """getsid(): what was started in one terminal shares it."""
    uid: int
    t_mono_ns: int
    """When the box was made: CLOCK_MONOTONIC ..."""
    t_real_ns: int
    """... and since 1970: by these two its other times are told."""
    limit_bytes: int | None
    """In force then; None: none."""
    limit_set_by: str | None
    """``cgroup``, ``jupyterhub`` or ``memory``, as in ``memwatch doctor``."""
    limit_group: str | None
    oom_kills: int | None
    """Of its control group, then."""
    oom_file: str | None
    """Where that was read, below the mount of the control groups."""
    boot_id: str | None
    user: str | None
    host: str | None
    kernel_id: str | None
    notebook: str | None
    """What Jupyter started the kernel for: JPY_SESSION_NAME."""
    lifetime_peak_bytes: int | None
    samples: int
    """Written so far; the latest of them are in the timeline."""
    opened: int
    """Cells and blocks, so far; the latest of them are in `cells`."""
    untold: int
    """Those that found no room: too many were open at once."""
    cells: list[BoxCell]
    timeline: Series


def find_boxes() -> list[Path]:
    """The boxes in the runtime folder, of the living and the dead; newest first."""
    return [path for path in _files() if path.suffix == ".box"]


def read_box(path: str | os.PathLike[str]) -> Box:
    """What a box holds. BoxError, one line: it is none that can be read; OSError."""
    found, times, sizes = _boxes.read(path)
    timeline = Series(t_mono_ns=array("q", times), rss_bytes=array("q", sizes))
    box: Box = {**found, "timeline": timeline}  # type: ignore[typeddict-item]
    return box


def is_alive(box: Box) -> bool | None:
    """Whether its process lives. None: it is another machine's, or container's."""
    if box["boot_id"] != _boot_id() or box["pid_namespace"] != _pid_namespace():
        return None
    return _lives(box["pid"], box["start_ticks"])


def name_of(pid: int, kind: str) -> str:
    """The name of a file that belongs to a living process: ``PID-START.kind``."""
    return f"{pid}-{_boxes.start_ticks(pid)}.{kind}"


def mark_told(path: Path) -> None:
    """Note in its name that somebody was told of this box. OSError."""
    path.rename(path.with_suffix(".told.box"))


def last_seen_ns(box: Box) -> int:
    """When its process was last heard of, in nanoseconds since 1970."""
    times = box["timeline"]["t_mono_ns"]
    last = times[-1] if times else box["t_mono_ns"]
    return box["t_real_ns"] + last - box["t_mono_ns"]


def prune_boxes() -> None:
    """Remove what dead processes have left: after 7 days, or past 100 files.

    What another machine or container has left is only known to be dead by its long
    silence: it stays four times as long. Raises nothing: what cannot be removed stays.
    """
    for place, path in enumerate(_files()):
        try:
            if _is_stale(path, place >= _KEPT_FILES):
                path.unlink()
        except OSError:
            continue


def _is_stale(path: Path, is_too_many: bool) -> bool:
    days = (time.time() - path.lstat().st_mtime) / 86_400
    if not (is_too_many or days > _KEPT_DAYS) or _is_of_the_living(path):
        return False
    try:
        box = read_box(path)
    except (BoxError, OSError):
        return True
    # Not by the file's own time: where it lies in memory it never changes.
    days = (time.time_ns() - last_seen_ns(box)) / _DAY_NS
    if is_alive(box) is None:
        return days > 4 * _KEPT_DAYS
    return is_too_many or days > _KEPT_DAYS


def _files() -> list[Path]:
    """What has such a name in the runtime folder, the newest first."""
    try:
        with os.scandir(runtime_folder()) as entries:
            found = [
                (_changed_at(entry), entry.name, Path(entry.path))
                for entry in entries
                if _NAME.fullmatch(entry.name)
            ]
    except OSError:
        return []
    return [path for _, _, path in sorted(found, reverse=True)]


def _changed_at(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except OSError:
        return 0.0  # it went meanwhile


def _is_of_the_living(path: Path) -> bool:
    match = _NAME.fullmatch(path.name)
    return match is not None and _lives(int(match["pid"]), int(match["start_ticks"]))


def _lives(pid: int, start_ticks: int | None) -> bool:
    try:
        # One that is dead and not yet waited for has no memory any more.
        return (
            _boxes.start_ticks(pid) == start_ticks and _boxes.rss_bytes(pid) is not None
        )
    except OSError:
        return True  # nobody says that it is gone


def _boot_id() -> str | None:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def _pid_namespace() -> int | None:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return None
