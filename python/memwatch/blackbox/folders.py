"""The runtime folder, and the other places for black boxes.

A black box must be mapped safely: it is in the runtime folder if that is on ext2 to
ext4, XFS, tmpfs or an overlay on these, else in a private folder in
``$XDG_RUNTIME_DIR`` or ``/dev/shm``. Other file systems may hang: they are used in a
thread, for a limited time.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from .. import _core

_PATIENCE_S = 0.25
_ASK_AGAIN_S = 10.0
_SHARED_MEMORY = "/dev/shm"

_T = TypeVar("_T")

_safe: dict[Path, bool | None] = {}
"""Whether files in the folder can be mapped; None: it did not respond ..."""
_silent_since: dict[Path, float] = {}
"""... at that time of time.monotonic()."""


def runtime_folder() -> Path:
    """``memwatch`` in Jupyter's runtime folder; it may not exist.

    Without a home folder: the first of this user's private folders.
    """
    jupyter = _jupyter_runtime_folder()
    if jupyter is None:
        return _own_folders()[0]
    # Absolute: os.chdir() must not change it.
    return Path(os.path.abspath(jupyter), "memwatch")


def make_runtime_folder() -> Path:
    """The same, created with mode 0700.

    OSError, one line: it cannot be created, or belongs to another user.
    """
    folder = runtime_folder()
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _core.make_folder(folder)
    except OSError as error:
        if os.path.lexists(folder) and folder.lstat().st_uid != os.geteuid():
            raise PermissionError(
                f"the runtime folder {folder} belongs to another user; set"
                " JUPYTER_RUNTIME_DIR to a folder of your own"
            ) from None
        why = os.strerror(error.errno or 0)
        raise OSError(
            error.errno, f"cannot create the runtime folder {folder}: {why}"
        ) from None
    return folder


def readable(path: str | os.PathLike[str]) -> str:
    r"""`path` as printable text: bytes that are not UTF-8 become ``\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def box_folders(record_dir: str = "") -> list[Path]:
    """The folders that may have black boxes; they may not exist.

    `record_dir` is ``c.MemWatch.record_dir``.
    """
    folders = [runtime_folder(), *_own_folders()]
    if record_dir:
        folders.append(_own_folder_in(record_dir))
    return list(dict.fromkeys(folders))


def find_place(record_dir: str = "") -> tuple[Path | None, Path | None]:
    """Two folders, created: for the black box, and for a copy of it.

    The first is None if no folder can be mapped safely: the box is in memory only. The
    second is None if no copy is needed; it may not exist yet if its file system does
    not respond. OSError, one line: the folder cannot be used.
    """
    if record_dir:
        wanted = _own_folder_in(record_dir)
        if _is_usable(wanted, partial(_make_own_folder, wanted)):
            return wanted, None
        try:
            return find_place()[0], wanted
        except OSError:
            return _find_own_folder(), wanted
    wanted = runtime_folder()
    if _is_usable(wanted, make_runtime_folder):
        return wanted, None
    other = _find_own_folder()
    return other, None if other is not None else wanted


def ask(folder: Path, call: Callable[[], _T]) -> _T:
    """``call()``, which uses files in `folder`; its exceptions pass through.

    TimeoutError: it took more than 0.25 s; then the folder is not used for 10 s.
    """
    if _safe.get(folder) is None and not _is_silent(folder):
        _safe[folder] = _within(partial(_core.is_mappable, folder))
    if _safe[folder]:
        return call()
    if _safe[folder] is False:
        answer = _within(lambda: (call(),))
        if answer is not None:
            return answer[0]
        _safe[folder] = None
    if not _is_silent(folder):
        _silent_since[folder] = time.monotonic()
    raise TimeoutError(f"the file system of {folder} does not respond")


def _is_silent(folder: Path) -> bool:
    since = _silent_since.get(folder)
    return since is not None and time.monotonic() - since < _ASK_AGAIN_S


def home_folder() -> str | None:
    """The home folder of this user, links resolved; None: unknown."""
    home = os.path.expanduser("~")
    return None if home.startswith("~") else os.path.realpath(home)


def _is_usable(folder: Path, make: Callable[[], object]) -> bool:
    """Whether the folder was created and can be mapped. OSError: not created."""

    def make_and_look() -> bool:
        make()
        return _core.is_mappable(folder)

    _safe[folder] = _within(make_and_look)
    if _safe[folder] is None:
        _silent_since[folder] = time.monotonic()
    return bool(_safe[folder])


def _within(call: Callable[[], _T]) -> _T | None:
    """The result of `call`; None if it takes longer: then it continues in a thread."""
    answers: list[_T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            answers.append(call())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="memwatch-files", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return call()  # no thread can be created
    thread.join(_PATIENCE_S)
    if errors:
        raise errors[0]
    return answers[0] if answers else None


def _own_folder_in(folder: str) -> Path:
    return Path(os.path.abspath(folder), f"memwatch-{os.geteuid()}")


def _own_folders() -> list[Path]:
    """The private folders besides the runtime folder, the best first."""
    parents = [os.environ.get("XDG_RUNTIME_DIR"), _SHARED_MEMORY]
    return [_own_folder_in(each) for each in parents if each]


def _find_own_folder() -> Path | None:
    """The first of them that can be created and mapped."""
    for folder in _own_folders():
        try:
            if _is_usable(folder, partial(_core.make_folder, folder)):
                return folder
        except OSError:
            continue
    return None


def _make_own_folder(folder: Path) -> None:
    try:
        _core.make_folder(folder)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise OSError(error.errno, f"cannot use the folder {folder}: {why}") from None


def _jupyter_runtime_folder() -> str | None:
    # The rule of jupyter_core, on Linux: importing that takes 6 ms.
    runtime = os.environ.get("JUPYTER_RUNTIME_DIR")
    if runtime:
        return runtime
    data = os.environ.get("JUPYTER_DATA_DIR")
    if not data:
        home = home_folder()
        share = os.environ.get("XDG_DATA_HOME")
        if home is None and not share:
            return None  # jupyter_core would make a folder with the name "~"
        paths = sys.modules.get("jupyter_core.paths")
        if paths is not None:
            return str(paths.jupyter_runtime_dir())
        share = share or os.path.join(home or "", ".local/share")
        data = os.path.join(share, "jupyter")
    return os.path.join(data, "runtime")
