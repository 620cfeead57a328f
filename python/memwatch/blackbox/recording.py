"""The black box of this process: created at loading, removed at a clean exit."""

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


class _Own:
    """The state of the recording, besides the box, which _core has."""

    record_dir = ""
    copy: Path | None = None
    arguments: dict[str, Any]
    """The arguments of _core.start_recording() about this process."""
    followers: dict[str, Callable[[], None]]

    def __init__(self) -> None:
        self.arguments = {}
        self.followers = {}


_own = keep("recording", _Own)

followers = _own.followers
"""Functions by name, called when a new box replaces the current one."""


def box_path() -> Path | None:
    """The file, or that of a descriptor if the box is in memory; None without a box."""
    found = _recording()
    return None if found is None else Path(found["path"])


def describe() -> str:
    """The box and its copy, in one line."""
    found = _recording()
    if found is None:
        return "none"
    path = found["path"]
    text = "in memory only" if path.startswith("/proc/self/fd/") else readable(path)
    if _own.copy is not None:
        text += f"; copy: {readable(_own.copy)}"
        if found["copy_error"]:
            text += f" (not written: {found['copy_error']})"
    return text


def start(shell: Any = None, record_dir: str = "") -> None:
    """Start recording; `record_dir` is another folder for the box.

    Idempotent with the same folder. Raises nothing; warns once if it fails.
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
    except Exception as error:  # the session must continue
        _warn(error)
        return
    _make()


def renew() -> None:
    """Create a new box after the file was removed; warn once. Raises nothing."""
    lost = box_path()
    if _make():
        warn_once(
            "lost box",
            f"another program removed the black box {lost}; the new one is"
            f" {box_path()} and does not contain earlier cells",
        )


def stop() -> None:
    """Stop recording and remove the box. No effect without one."""
    if box_path() is None:
        return
    atexit.unregister(stop)
    _core.stop_recording()


def _recording() -> Any:
    try:
        return _core.recording()
    except OSError:  # /proc cannot be read
        return None


def _make() -> bool:
    """Create the box and replace the current one. False, with a warning: it failed."""
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
        _warn(error)
        stop()  # the lost one
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


def _warn(error: Exception) -> None:
    warn_once(
        "recording",
        "cannot create the black box, so a killed kernel cannot be examined:"
        f" {cause_of(error)}",
    )


def _forget() -> None:
    """In a forked child: the box belongs to the parent."""
    atexit.unregister(stop)


os.register_at_fork(after_in_child=_forget)


def _user() -> str:
    # Not from the user database, which may be remote, if the environment has it.
    name = os.environ.get("USER") or os.environ.get("LOGNAME")
    if name:
        return name
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _kernel_id(shell: Any) -> str:
    """Jupyter's id of the kernel; outside Jupyter ``HOST-PID``."""
    if getattr(shell, "kernel", None) is not None and "ipykernel" in sys.modules:
        from ipykernel.connect import get_connection_file

        try:
            name = Path(get_connection_file()).stem.removeprefix("kernel-")
        except Exception:
            name = ""  # an embedded kernel may have none
        if name:
            return re.sub(r"[^\w.-]", "_", name)
    return f"{socket.gethostname()}-{os.getpid()}"
