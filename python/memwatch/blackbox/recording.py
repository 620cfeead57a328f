"""The black box of this process: made at loading, gone at a clean exit."""

from __future__ import annotations

import atexit
import os
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import _core
from ..measure import capabilities
from ..state import keep
from ..warn import cause_of, warn_once
from .folders import find_place, readable
from .reader import name_of

__all__ = [
    "box_path",
    "describe",
    "followers",
    "renew",
    "start",
    "stop",
]


class _Own:
    """What this process records, beside the box itself, which the core has."""

    record_dir = ""
    copy: Path | None = None
    arguments: dict[str, Any]
    """What the box is to say of this process."""
    followers: dict[str, Callable[[], None]]

    def __init__(self) -> None:
        self.arguments = {}
        self.followers = {}


_own = keep("recording", _Own)

followers = _own.followers
"""By name: called when there is another box, or a new one for one that was lost."""


def box_path() -> Path | None:
    """The file; None where none is written.

    Where no file system is safe to map: a descriptor's, for this process alone.
    """
    found = _recording()
    return None if found is None else Path(found["path"])


def describe() -> str:
    """Where the box is, and its copy, for a person, in a line."""
    found = _recording()
    if found is None:
        return "none"
    path = found["path"]
    told = "in memory only" if path.startswith("/proc/self/fd/") else readable(path)
    if _own.copy is not None:
        told += f"; copy: {readable(_own.copy)}"
        if found["copy_error"]:
            told += f" (not written: {found['copy_error']})"
    return told


def start(shell: Any = None, record_dir: str = "") -> None:
    """Record what is measured from now on; `record_dir` is another place for the box.

    Twice is once, at the same place. Raises nothing: where it cannot be done, that is
    warned of once.
    """
    if box_path() is not None and record_dir == _own.record_dir:
        return
    _own.record_dir = record_dir
    try:
        limit, group = capabilities.find_limit({})
        _own.arguments = {
            "user": _user(),
            "kernel_id": _kernel_id(shell),
            "notebook": os.environ.get("JPY_SESSION_NAME"),
            "limit_bytes": limit["limit_bytes"],
            "limit_set_by": limit["set_by"],
            "limit_group": group["group"] if limit["set_by"] == "cgroup" else None,
        }
    except Exception as error:  # whatever it is: the session is to go on
        _tell(error)
        return
    _make()


def renew() -> None:
    """Make a new box: somebody has removed the file, or its folder; warn once.

    Raises nothing.
    """
    lost = box_path()
    if _make():
        warn_once(
            "lost box",
            f"another program removed the black box {lost}; the new one is"
            f" {box_path()} and does not contain earlier cells",
        )


def stop() -> None:
    """Record no longer; the box is removed. Without one: nothing."""
    if box_path() is None:
        return
    atexit.unregister(stop)
    _core.stop_recording()


def _recording() -> Any:
    try:
        return _core.recording()
    except OSError:  # /proc cannot be read: nothing is measured either
        return None


def _make() -> bool:
    """Make the box, in place of any that is there; false, with a warning: it failed."""
    try:
        folder, copies = _find_place()
        name = name_of(os.getpid(), "box")
        path = None if folder is None else folder / name
        _own.copy = None if copies is None else copies / name
        try:
            _core.start_recording(path, copy=_own.copy, **_own.arguments)
        except OSError as error:
            if path is None or _own.copy is None:
                raise
            warn_once(
                "copy", f"cannot copy the black box to {_own.copy}: {cause_of(error)}"
            )
            _own.copy = None
            _core.start_recording(path, **_own.arguments)
    except Exception as error:
        _tell(error)
        stop()  # one that was lost
        return False
    atexit.unregister(stop)
    atexit.register(stop)
    for follow in followers.values():
        follow()
    return True


def _find_place() -> tuple[Path | None, Path | None]:
    try:
        return find_place(_own.record_dir)
    except OSError as error:
        if not _own.record_dir:
            raise
        warn_once("record_dir", f"cannot use c.MemWatch.record_dir: {cause_of(error)}")
        return find_place()


def _tell(error: Exception) -> None:
    warn_once(
        "recording",
        "cannot create the black box, so a killed kernel cannot be examined:"
        f" {cause_of(error)}",
    )


def _forget() -> None:
    """In a forked child: the box is the parent's."""
    atexit.unregister(stop)


os.register_at_fork(after_in_child=_forget)


def _user() -> str:
    # The environment first: the user data base may be on the other side of a network.
    name = os.environ.get("USER") or os.environ.get("LOGNAME")
    if name:
        return name
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _kernel_id(shell: Any) -> str:
    """As Jupyter calls the kernel; outside Jupyter ``HOST-PID``."""
    if getattr(shell, "kernel", None) is not None and "ipykernel" in sys.modules:
        from ipykernel.connect import get_connection_file

        try:
            name = Path(get_connection_file()).stem.removeprefix("kernel-")
        except Exception:
            name = ""  # an embedded kernel need not have one
        if name:
            return re.sub(r"[^\w.-]", "_", name)
    return f"{socket.gethostname()}-{os.getpid()}"
