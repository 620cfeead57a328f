"""Loading and unloading the extension."""

from __future__ import annotations

from typing import Any

from .. import _core
from ..blackbox import recording
from ..blackbox.reader import find_boxes, list_files, prune_boxes
from ..measure.window import warn_if_peaks_are_sampled
from ..state import keep
from ..warn import cause_of, say, warn_once
from .awaiting import AwaitingMagics
from .magics import MemWatch, shells, stop_unneeded
from .running_cells import is_inside_cell

_MAGICS = ("%memwatch", "%%memwatch")


def _loaded(shell: Any) -> MemWatch | None:
    magics = shell.magics_manager.registry.get(MemWatch.__name__)
    # Compared by module: a reload of this module creates another class.
    return magics if type(magics).__module__ == MemWatch.__module__ else None


def _memory_now() -> dict[str, Any]:
    """The memory of this process; empty: it cannot be read, as a cell will report."""
    try:
        return dict(_core.memory())
    except OSError:
        return {}


def load(shell: Any) -> None:
    """Register the magics with `shell` and watch its cells. Idempotent."""
    magics = _loaded(shell)
    if magics is None:
        keep("memory at load", _memory_now)
        magics = MemWatch(shell)
        shell.register_magics(magics)
        _add_completion(shell, magics)
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
    _remove_completion(shell)
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


# ---- completion ----


def _add_completion(shell: Any, magics: MemWatch) -> None:
    """Complete what follows the magics.

    Since IPython 8.6 by a matcher, which has types, before that by a hook.
    """

    def is_ours(magic: str, is_only_line: bool) -> bool:
        if magic != _MAGICS[0][1:]:
            return magic in _MAGICS
        # IPython takes a bare name for a magic only in cells of one line.
        is_name = magic in shell.user_ns or magic in shell.user_global_ns
        return is_only_line and bool(shell.automagic) and not is_name

    def find(line: str, is_only_line: bool = True) -> tuple[str, list[Any]]:
        if not is_ours(line.partition(" ")[0], is_only_line):
            return "", []
        from .completion import complete  # at the first Tab

        return complete(line, magics, {**shell.user_global_ns, **shell.user_ns})

    try:
        from IPython.core.completer import SimpleCompletion, context_matcher
    except ImportError:  # before 8.6

        def hook(shell: Any, event: Any) -> list[str]:
            typed, found = find(event.text_until_cursor.lstrip())
            # What IPython replaces: only the end of a word after a quote or a sign.
            symbol = event.symbol
            kept = len(typed) - len(symbol) if typed.endswith(symbol) else 0
            return [each.text[kept:] for each in found]

        for magic in _MAGICS:
            shell.set_hook("complete_command", hook, str_key=magic)
        return

    def matcher(context: Any) -> Any:
        line = context.text_until_cursor.lstrip()
        typed, found = find(line, "\n" not in context.full_text)
        return {
            "completions": [SimpleCompletion(text, type=kind) for text, kind in found],
            "matched_fragment": typed,
            "ordered": True,
            "suppress": True,  # IPython does so only if there are completions
        }

    # A priority above IPython's own: its other matchers are not even asked.
    first = context_matcher(identifier="memwatch", priority=1)(matcher)
    shell.Completer.custom_matchers.append(first)


def _remove_completion(shell: Any) -> None:
    for magic in _MAGICS:
        # IPython has no unset_hook(); these keys have no other hooks.
        shell.strdispatchers["complete_command"].strs.pop(magic, None)
    matchers = shell.Completer.custom_matchers
    # By module: each load makes another function.
    matchers[:] = [each for each in matchers if each.__module__ != __name__]
