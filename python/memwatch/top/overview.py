"""All watched processes: of this machine from black boxes, of others by stream."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .. import _core
from .._core import BlackBoxError
from ..blackbox.reader import Box, find_boxes, is_alive, read_found_box
from ..display.units import printable
from .processes import Process

if TYPE_CHECKING:
    from .collector import Collector

GONE_SHOWN_NS = 10_000_000_000
"""How long a process is shown after a clean end ..."""
DEAD_SHOWN_NS = 600_000_000_000
"""... and how long after it died or became silent, if the user does not dismiss it."""
_MAX_NAME = 136
"""As in messages."""


class Overview:
    """The watched processes, read again at each refresh."""

    def __init__(
        self,
        collector: Collector | None = None,
        record_dir: str = "",
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`clock` is CLOCK_MONOTONIC in nanoseconds."""
        self.collector = collector
        self.record_dir = record_dir
        self.unreadable = 0
        """Number of black boxes that the last refresh could not read."""
        self.unreadable_reason: str | None = None
        """Of the last of them."""
        self._clock = clock
        self._boxes: dict[Path, Process] = {}
        self._left_behind: set[Path] = set()
        """Black boxes of processes that are not shown: dead at the first refresh."""

    def refresh(self) -> list[Process]:
        """The processes, including those that ended recently; in any order."""
        now_ns = self._clock()
        self._read_boxes(now_ns)
        local = [
            each for each in self._boxes.values() if not self._is_over(each, now_ns)
        ]
        streamed = [] if self.collector is None else self.collector.processes()
        shown = local + _merge(streamed, local)
        for process in shown:
            process.record_history()
        return [
            each
            for each in shown
            if not (each.is_dismissed or self._is_over(each, now_ns))
        ]

    def read_box(self, process: Process) -> Box | None:
        """The whole black box of the process; None without one that can be read."""
        if process.box_path is None:
            return None
        try:
            return read_found_box(process.box_path)
        except (BlackBoxError, OSError):
            return None

    def _read_boxes(self, now_ns: int) -> None:
        self.unreadable, self.unreadable_reason = 0, None
        paths = set(find_boxes(self.record_dir))
        self._left_behind &= paths
        for path in paths - self._left_behind:
            try:
                self._read_box(path, now_ns)
            except FileNotFoundError:
                paths.discard(path)
            except (BlackBoxError, OSError) as error:
                self.unreadable += 1
                self.unreadable_reason = str(error)
        for path in self._boxes.keys() - paths:
            process = self._boxes[path]
            reported = path.with_suffix(".reported.box")
            if reported in paths:
                # A restarted kernel has reported that its predecessor was killed.
                process.box_path = reported
            if process.gone_ns is None:
                # Otherwise it was removed: a clean exit.
                process.end(now_ns, died=reported in paths)
        for path, process in list(self._boxes.items()):
            # A silent process may be stopped, or idle on another machine: keep it.
            if process.gone_ns is not None and self._is_over(process, now_ns):
                del self._boxes[path]
                if path in paths:
                    self._left_behind.add(path)

    def _read_box(self, path: Path, now_ns: int) -> None:
        process = self._boxes.get(path)
        next_sample = 0 if process is None else process.next_sample
        box = read_found_box(path, next_sample, current_only=True)
        alive = is_alive(box)
        if alive is False and process is not None and process.gone_ns is None:
            # It may have ended, and removed its black box, since that was read.
            box = read_found_box(path, next_sample, current_only=True)
        if box["t_ended_ns"] is not None:  # ended, but could not remove it
            self._left_behind.add(path)
            if process is not None:
                process.end(now_ns, died=False)
            return
        if process is None:
            if alive is False:
                self._left_behind.add(path)
                return
            kernel_id = printable(box["kernel_id"] or path.stem, _MAX_NAME)
            process = Process("box", kernel_id, box["pid"], box_path=path)
            self._boxes[path] = process
        if alive is False and process.gone_ns is not None:
            return
        rss_bytes = _rss_bytes(box["pid"]) if alive else None
        # Read again: black boxes are written during the refresh.
        clocks = self._clock(), time.time_ns()
        process.update_from_box(box, alive, rss_bytes, *clocks)

    def _is_over(self, process: Process, now_ns: int) -> bool:
        """Whether it has been shown as gone, dead or silent for long enough."""
        if process.gone_ns is not None:
            shown_ns = DEAD_SHOWN_NS if process.died else GONE_SHOWN_NS
            over = now_ns - process.gone_ns > shown_ns
        else:
            age_ns = process.age_ns(now_ns)
            over = age_ns is not None and age_ns > DEAD_SHOWN_NS
        if over and self.collector is not None and process.source == "stream":
            self.collector.forget(process)
        return over


def _rss_bytes(pid: int) -> int | None:
    try:
        return _core.rss_bytes(pid)
    except OSError:
        return None


def _key(process: Process) -> tuple[str, str | None, int]:
    return process.kernel_id, process.host, process.pid


def _merge(streamed: list[Process], local: list[Process]) -> list[Process]:
    """The streamed processes that are not local; local ones take over the counts."""
    by_key = {_key(each): each for each in local}
    rest = []
    for process in streamed:
        same = by_key.get(_key(process))
        if same is None:
            rest.append(process)
            continue
        same.message, same.dropped = process.message, process.dropped
        same.received, same.lost = process.received, process.lost
    return rest
