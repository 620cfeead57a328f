"""Loading and unloading the extension."""

from __future__ import annotations

from typing import Any

from ..blackbox import recording
from ..blackbox.reader import find_boxes, list_files, prune_boxes
from ..measure.window import warn_if_peaks_are_sampled
from ..warn import cause_of, say, warn_once
from . import completion
from .awaiting import AwaitingMagics
from .magics import MemWatch, shells, stop_unneeded
from .running_cells import is_inside_cell


def _loaded(shell: Any) -> MemWatch | None:
    magics = shell.magics_manager.registry.get(MemWatch.__name__)
    # Compared by module: a reload of this module creates another class.
    return magics if type(magics).__module__ == MemWatch.__module__ else None


def load(shell: Any) -> None:
    """Register the magics with `shell` and watch its cells. Idempotent."""
    magics = _loaded(shell)
    if magics is None:
        magics = MemWatch(shell)
        shell.register_magics(magics)
        completion.register(shell, magics)
        shell.input_transformers_cleanup.append(AwaitingMagics(shell))
    warn_if_peaks_are_sampled()
    magics.watcher.start()
    _report_predecessor(shell, magics.record_dir)


def _report_predecessor(shell: Any, record_dir: str) -> None:
    """Print, once, what killed the kernel before this one."""
    own = recording.box_path()
    if own is None:
        return
    try:
        message = None
        files = list_files(record_dir)
        if len(find_boxes(files=files)) > 1:  # usually only this process's
            from ..blackbox.postmortem import find_predecessor
            from ..blackbox.postmortem_text import in_one_line

            found = find_predecessor(own, record_dir)
            message = None if found is None else in_one_line(found)
        prune_boxes(files=files)  # not before it was reported
    except Exception as error:
        warn_once(
            "predecessor",
            f"cannot check whether the previous kernel was killed: {cause_of(error)}",
        )
        return
    if message is None:
        return
    if is_inside_cell(shell) or not hasattr(shell, "kernel"):
        say(message)
        return

    # A kernel that is starting has no output yet: print with its first cell.
    def report(_: Any) -> None:
        shell.events.unregister("pre_run_cell", report)
        say(message)

    shell.events.register("pre_run_cell", report)


def unload(shell: Any) -> None:
    """Stop watching and remove the magics. Idempotent."""
    magics = _loaded(shell)
    if magics is None:
        return
    magics.watcher.stop()
    shells.discard(magics)
    stop_unneeded()
    manager = shell.magics_manager
    del manager.registry[MemWatch.__name__]
    for kind, names in magics.magics.items():
        for name in names:
            manager.magics[kind].pop(name, None)
    completion.unregister(shell)
    transforms = shell.input_transformers_cleanup
    # By module: after a reload the class is another one.
    own = AwaitingMagics.__module__
    transforms[:] = [each for each in transforms if type(each).__module__ != own]
    if magics in shell.configurables:
        shell.configurables.remove(magics)


def stop(shell: Any) -> None:
    """Stop watching; the magics stay. Idempotent."""
    magics = _loaded(shell)
    if magics is not None:
        magics.watcher.stop()
