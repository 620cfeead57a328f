"""All watched processes: this machine's by their black boxes, others by the stream."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from .. import _core
from ..blackbox.reader import BlackBoxError, find_boxes, is_alive, read_found_box
from .messages import printable
from .processes import Process

if TYPE_CHECKING:
    from .collector import Collector

__all__ = ["Overview"]

_GONE_SHOWN_NS = 10_000_000_000
_SILENT_SHOWN_NS = 600_000_000_000
_MAX_NAME = 136
"""As of what comes in messages."""


class Overview:
    """What there is, refreshed when it is asked for."""

    def __init__(
        self, collector: Collector | None = None, record_dir: str = ""
    ) -> None:
        self.collector = collector
        self.record_dir = record_dir
        self.unreadable = 0
        """Black boxes that could not be read at the last refresh ..."""
        self.why_unreadable: str | None = None
        """... and why the last of them could not."""
        self._boxes: dict[Path, Process] = {}
        self._left_behind: set[Path] = set()
        """Boxes of processes that were dead when we came: for the post-mortem."""

    def refresh(self) -> list[Process]:
        """The processes, those that went a moment ago among them; in no order."""
        now_ns = time.monotonic_ns()
        self._look_at_boxes(now_ns)
        near = [
            each for each in self._boxes.values() if not self._is_over(each, now_ns)
        ]
        far = [] if self.collector is None else self.collector.look()
        shown = near + _without_those(far, near)
        for process in shown:
            process.remember()
        return [each for each in shown if not self._is_over(each, now_ns)]

    def _look_at_boxes(self, now_ns: int) -> None:
        self.unreadable, self.why_unreadable = 0, None
        paths = set(find_boxes(self.record_dir))
        self._left_behind &= paths
        for path in paths - self._left_behind:
            try:
                self._look_at_box(path, now_ns)
            except FileNotFoundError:
                paths.discard(path)
            except (BlackBoxError, OSError) as error:
                self.unreadable += 1
                self.why_unreadable = str(error)
        for path in self._boxes.keys() - paths:
            # Removed: a clean exit.
            process = self._boxes[path]
            process.is_running = False
            if process.went_ns is None:
                process.went_ns = now_ns
        for path, process in list(self._boxes.items()):
            # Who is only silent may be stopped, or idle elsewhere: it may come back.
            if process.went_ns is not None and self._is_over(process, now_ns):
                del self._boxes[path]
                if path in paths:
                    self._left_behind.add(path)

    def _look_at_box(self, path: Path, now_ns: int) -> None:
        box = read_found_box(path)
        alive = is_alive(box)
        process = self._boxes.get(path)
        if box["t_ended_ns"] is not None:  # it could not be removed
            self._left_behind.add(path)
            if process is not None:
                process.is_running, process.went_ns = False, now_ns
            return
        if process is None:
            if alive is False:
                self._left_behind.add(path)
                return
            kernel_id = printable(box["kernel_id"] or path.stem, _MAX_NAME)
            process = Process("box", kernel_id, box["pid"])
            self._boxes[path] = process
        if alive is False and process.went_ns is not None:
            return
        rss_bytes = _rss_bytes(box["pid"]) if alive else None
        # Not the beginning of this refresh: boxes are written to meanwhile.
        clocks = time.monotonic_ns(), time.time_ns()
        process.see_box(box, alive, rss_bytes, *clocks)

    def _is_over(self, process: Process, now_ns: int) -> bool:
        """Whether it has been shown for long enough as what is no more."""
        if process.went_ns is not None:
            over = now_ns - process.went_ns > _GONE_SHOWN_NS
        else:
            age_ns = process.age_ns(now_ns)
            over = age_ns is not None and age_ns > _SILENT_SHOWN_NS
        if over and self.collector is not None and process.via == "stream":
            self.collector.forget(process)
        return over


def _rss_bytes(pid: int) -> int | None:
    try:
        return _core.rss_bytes(pid)
    except OSError:
        return None


def _name(process: Process) -> tuple[str, str | None, int]:
    return process.kernel_id, process.host, process.pid


def _without_those(far: list[Process], near: list[Process]) -> list[Process]:
    """`far` less those that are here too: a box tells more. They keep the counts."""
    here = {_name(each): each for each in near}
    rest = []
    for process in far:
        same = here.get(_name(process))
        if same is None:
            rest.append(process)
            continue
        same.message, same.dropped = process.message, process.dropped
        same.received, same.lost = process.received, process.lost
    return rest
