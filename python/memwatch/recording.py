"""The black box of this process: made at loading, gone at a clean exit."""

from __future__ import annotations

import atexit
import os
import re
import socket
import sys
from pathlib import Path
from typing import Any

from . import _core, machine
from .boxes import name_of
from .kept import keep
from .runtime import make_runtime_folder
from .trouble import cause_of, tell_once

__all__ = ["box_path", "start", "stop"]


class _Own:
    path: Path | None = None


_own = keep("recording", _Own)


def box_path() -> Path | None:
    """The file; None where none is written."""
    return _own.path


def start(shell: Any = None) -> None:
    """Record what is measured from now on. Twice is once.

    Raises nothing: where it cannot be done, that is warned of once.
    """
    if _own.path is not None:
        return
    try:
        path = make_runtime_folder() / name_of(os.getpid(), "box")
        limit, group = machine.find_limit({})
        _core.start_recording(
            path,
            user=_user(),
            kernel_id=_kernel_id(shell),
            notebook=os.environ.get("JPY_SESSION_NAME"),
            limit_bytes=limit["limit_bytes"],
            limit_set_by=limit["set_by"],
            limit_group=group["group"] if limit["set_by"] == "cgroup" else None,
        )
    except Exception as error:  # whatever it is: the session is to go on
        tell_once(
            "recording",
            f"there is no black box, so nothing will be known of a killed kernel:"
            f" {cause_of(error)}",
        )
        return
    _own.path = path
    atexit.register(stop)


def stop() -> None:
    """Record no longer; the box is removed. Without one: nothing."""
    if _own.path is None:
        return
    _own.path = None
    atexit.unregister(stop)
    _core.stop_recording()


def _forget() -> None:
    """In a forked child: the box is the parent's."""
    _own.path = None
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
