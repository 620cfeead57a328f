"""The runtime folder: where what is only of use while processes run lies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["make_runtime_folder", "readable", "runtime_folder"]


def runtime_folder() -> Path:
    """``memwatch`` in Jupyter's runtime folder; it need not be there."""
    # In full: a relative one would be another after os.chdir().
    return Path(os.path.abspath(_jupyter_runtime_folder()), "memwatch")


def make_runtime_folder() -> Path:
    """The same, there, and for nobody else to look into (mode 0700).

    OSError, with one clear line: it cannot be made, or it is somebody else's.
    """
    folder = runtime_folder()
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise OSError(
            error.errno, f"the runtime folder {folder} cannot be made: {error.strerror}"
        ) from None
    if found.st_uid != os.geteuid():
        raise PermissionError(
            f"the runtime folder {folder} is another user's: set JUPYTER_RUNTIME_DIR to"
            " a folder of your own"
        )
    if found.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def readable(path: str | os.PathLike[str]) -> str:
    r"""`path` as text that can be printed: bytes that are not UTF-8 as ``\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _jupyter_runtime_folder() -> str:
    # jupyter_core knows; but where nobody has loaded it yet that takes 6 ms. What
    # follows is its rule, but for what JUPYTER_PLATFORM_DIRS asks of other systems.
    paths = sys.modules.get("jupyter_core.paths")
    if paths is not None:
        return str(paths.jupyter_runtime_dir())
    runtime = os.environ.get("JUPYTER_RUNTIME_DIR")
    if runtime:
        return runtime
    data = os.environ.get("JUPYTER_DATA_DIR")
    if not data:
        home = os.path.realpath(os.path.expanduser("~"))
        share = os.environ.get("XDG_DATA_HOME") or os.path.join(home, ".local/share")
        data = os.path.join(share, "jupyter")
    return os.path.join(data, "runtime")
