"""Find and read black boxes, check whether their processes run, remove old ones."""

from __future__ import annotations

import os
import re
import stat
import time
from array import array
from collections.abc import Iterable
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from .. import _core
from .._core import BlackBoxError
from ..report import DEFAULTS, CellReport, Status, iso_8601
from .folders import ask, box_folders, runtime_folder

_NAME = re.compile(r"(?P<pid>\d{1,10})-(?P<start_ticks>\d{1,19})(\.\w+)?\.\w+(\.new)?")
_KEPT_DAYS = 7
_KEPT_FILES = 100
_DAY_NS = 24 * 3600 * 1_000_000_000


Box = dict[str, Any]
"""A black box; unknown values are None.

The names are those of struct mw_blackbox_identity and struct mw_blackbox_view in
csrc/blackbox/layout.h, which documents them; `cells` is a list of RecordedCell, and
`timeline` has the latest samples, oldest first: arrays `t_mono_ns` and `rss_bytes`.
"""


class RecordedCell:
    """One cell or block of a black box."""

    __slots__ = (
        "_box", "_values", "number", "status", "t_boot_ns", "t_mono_ns", "t_real_ns",
    )  # fmt: skip

    def __init__(self, values: dict[str, Any], box: Box) -> None:
        self._values = values
        self._box = box
        self.number: int = values["number"]
        """Counts the cells of that process from 0."""
        self.status: Status = values["status"]
        self.t_mono_ns: int = values["t_mono_ns"]
        """When it started, in nanoseconds: CLOCK_MONOTONIC ..."""
        self.t_boot_ns: int = values["t_boot_ns"]
        """... CLOCK_BOOTTIME, which includes suspends ..."""
        self.t_real_ns: int = values["t_real_ns"]
        """... and CLOCK_REALTIME."""

    @property
    def report(self) -> CellReport:
        """Its report; if it is running, up to the last sample.

        Created on demand: `memwatch top` reads all cells and needs one.
        """
        values = self._values
        figures = {name: values[name] for name in DEFAULTS.keys() & values.keys()}
        figures["started_at"] = iso_8601(cell_date_ns(self._box, self))
        times = self._box["timeline"]["t_mono_ns"]
        if self.status == "running" and times:
            figures["duration_ns"] = max(0, times[-1] - self.t_mono_ns)
        return CellReport(**figures)


Files = list[tuple[float, Path]]
"""Modification times and paths."""


def find_boxes(record_dir: str = "", files: Files | None = None) -> list[Path]:
    """All boxes, the latest changed first; each once, also if it has a copy.

    `record_dir` is ``c.MemWatch.record_dir``; `files`, the result of list_files().
    """
    found: dict[str, tuple[float, Path]] = {}
    for changed_at, path in list_files(record_dir) if files is None else files:
        name = path.name.removesuffix(".box").removesuffix(".reported")
        # A box that was reported counts as reported, whatever its copy is.
        if path.suffix == ".box" and (
            name not in found or path.name.endswith(".reported.box")
        ):
            found[name] = changed_at, path
    return _latest_first(found.values())


def read_box(
    path: str | os.PathLike[str], next_sample: int = 0, current_only: bool = False
) -> Box:
    """Read a box. BlackBoxError says why it cannot be read; OSError.

    The timeline begins with the sample of number `next_sample`. `current_only`: of the
    cells only the newest open one, or if none is open the newest.
    """
    found, times, sizes = _core.read_blackbox(path, next_sample, current_only)
    timeline = {"t_mono_ns": array("q", times), "rss_bytes": array("q", sizes)}
    box = {**found, "timeline": timeline}
    box["cells"] = [RecordedCell(each, box) for each in found["cells"]]
    return box


def read_found_box(path: Path, next_sample: int = 0, current_only: bool = False) -> Box:
    """As read_box(), for a box of find_boxes(). TimeoutError: no response."""
    return ask(path.parent, lambda: read_box(path, next_sample, current_only))


def is_alive(box: Box) -> bool | None:
    """Whether its process runs. None: it is of another machine or container."""
    if box["boot_id"] != _boot_id() or box["pid_namespace"] != _namespace("pid"):
        return None
    if box["time_namespace"] != _namespace("time"):
        # Start times differ there: only the absence of the pid is certain.
        return None if _exists(box["pid"]) else False
    return _lives(box["pid"], box["start_ticks"])


def has_our_clocks(box: Box) -> bool:
    """Whether its monotonic times are ours: same boot, same time namespace."""
    is_same_boot: bool = box["boot_id"] == _boot_id()
    return is_same_boot and bool(box["time_namespace"] == _namespace("time"))


def age_ns(box: Box, t_mono_ns: int) -> int:
    """The age of a time near the newest sample, suspends included; never negative.

    If the clocks are not ours, by the dates.
    """
    t_boot_ns, t_real_ns = t_mono_ns + box["boot_ahead_ns"], _real_ns(box, t_mono_ns)
    return _age_ns(box, t_boot_ns, t_real_ns)


def date_ns(box: Box, t_mono_ns: int) -> int:
    """The date of that time: nanoseconds since 1970, from its age and today's date."""
    if not has_our_clocks(box):
        return _real_ns(box, t_mono_ns)
    return time.time_ns() - age_ns(box, t_mono_ns)


def cell_date_ns(box: Box, cell: RecordedCell) -> int:
    """The date of the cell's start, in the same way."""
    if not has_our_clocks(box):
        return cell.t_real_ns
    return time.time_ns() - _age_ns(box, cell.t_boot_ns, cell.t_real_ns)


def last_seen_age_ns(box: Box) -> int:
    """The age of its newest sample."""
    times = box["timeline"]["t_mono_ns"]
    return age_ns(box, times[-1] if times else box["t_mono_ns"])


def _age_ns(box: Box, t_boot_ns: int, t_real_ns: int) -> int:
    if has_our_clocks(box):
        age_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - t_boot_ns
        if age_ns >= 0:
            return age_ns
    return max(0, time.time_ns() - t_real_ns)


def _real_ns(box: Box, t_mono_ns: int) -> int:
    """By the clock at the newest sample."""
    return t_mono_ns + int(box["real_ahead_ns"])


def name_of(pid: int, kind: str) -> str:
    """The name of a file of a running process: ``PID-START.kind``."""
    return f"{pid}-{_core.start_ticks(pid)}.{kind}"


def mark_reported(path: Path) -> None:
    """Note in its name that this box was reported. OSError."""
    ask(path.parent, lambda: path.rename(path.with_suffix(".reported.box")))


def prune_boxes(record_dir: str = "", files: Files | None = None) -> None:
    """Remove files of ended processes after 7 days, or beyond 100 files.

    Whether a process of another machine or container has ended is unknown: its files
    stay four times as long. Raises nothing.
    """
    if files is None:
        files = list_files(record_dir)
    for place, path in enumerate(_latest_first(files)):
        try:
            if ask(path.parent, partial(_is_stale, path, place >= _KEPT_FILES)):
                ask(path.parent, path.unlink)
        except OSError:
            continue


def _is_stale(path: Path, is_too_many: bool) -> bool:
    days = (time.time() - path.lstat().st_mtime) / 86_400
    if not (is_too_many or days > _KEPT_DAYS) or _is_of_the_living(path):
        return False
    try:
        box = read_box(path)
    except (BlackBoxError, OSError):
        return True
    # Not by the file's time, which a mapped file in memory does not change.
    days = last_seen_age_ns(box) / _DAY_NS
    if is_alive(box) is None:
        return days > 4 * _KEPT_DAYS
    return is_too_many or days > _KEPT_DAYS


def list_files(record_dir: str = "") -> Files:
    """The files with such names; those of the best folder first."""
    found: Files = []
    for folder in box_folders(record_dir):
        try:
            found += ask(folder, partial(_scan, folder))
        except OSError:
            continue
    return found


def _latest_first(files: Iterable[tuple[float, Path]]) -> list[Path]:
    return [path for _, path in sorted(files, key=itemgetter(0), reverse=True)]


def _scan(folder: Path) -> list[tuple[float, Path]]:
    if folder != runtime_folder():
        # Other users may create it, or a link.
        found = folder.lstat()
        if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
            return []
    with os.scandir(folder) as entries:
        return [
            (_changed_at(entry), Path(entry.path))
            for entry in entries
            if _NAME.fullmatch(entry.name)
        ]


def _changed_at(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except OSError:
        return 0.0  # removed meanwhile


def _is_of_the_living(path: Path) -> bool:
    match = _NAME.fullmatch(path.name)
    return match is not None and _lives(int(match["pid"]), int(match["start_ticks"]))


def _lives(pid: int, start_ticks: int | None) -> bool:
    try:
        # A zombie has no memory.
        return (
            _core.start_ticks(pid) == start_ticks and _core.rss_bytes(pid) is not None
        )
    except OSError:
        return True  # unknown


def _exists(pid: int) -> bool:
    try:
        return _core.start_ticks(pid) is not None
    except OSError:
        return True  # unknown


def _boot_id() -> str | None:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def _namespace(kind: str) -> int | None:
    try:
        return os.stat(f"/proc/self/ns/{kind}").st_ino
    except OSError:
        return None
