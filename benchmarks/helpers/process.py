"""What a process looks like from outside, by its files in /proc."""

from __future__ import annotations

import os
import re
from pathlib import Path


def rss_bytes(pid: int) -> int:
    """Resident set size: field 2 of statm."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_ns(pid: int, name: str | None = None) -> int:
    """What its threads have spent on a processor: field 1 of schedstat; of those that
    are called `name` only, if it is given.
    """
    spent = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            if name in (None, (task / "comm").read_text().strip()):
                spent += int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended since
    return spent


def wake_ups(pid: int, name: str | None = None) -> int:
    """How often they went to sleep by themselves: voluntary_ctxt_switches."""
    count = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            if name in (None, (task / "comm").read_text().strip()):
                status = (task / "status").read_text()
                count += int(re.search(r"^voluntary\w+:\s+(\d+)", status, re.M)[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return count
