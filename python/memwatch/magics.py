"""%memwatch, and its configuration: ``c.MemWatch.<trait>``."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from traitlets import Bool, Enum, Integer, TraitError, observe, validate

from . import _core, lines, machine
from .children import watch_children
from .extension import CellWatcher
from .report import CellReport
from .trouble import cause_of
from .watching import history, tell_how_peaks_are_found

__all__ = ["MemWatch", "load", "stop", "unload"]


@magics_class
class MemWatch(Magics):
    """Tells what every cell costs in memory."""

    style = Enum(
        sorted(lines.STYLES),
        "classic",
        help="The line: 'classic' as ipython_memory_usage prints it, or 'cpu' as its"
        " version 1.8 does, with the share of the processors.",
    ).tag(config=True)

    children = Bool(
        False,
        help="Whether to look at the processes that a cell starts, too: their RSS while"
        " it runs, and their PSS at its end, which the line then tells.",
    ).tag(config=True)

    max_history_reports = Integer(
        10_000,
        min=1,
        help="How many reports memwatch.history keeps; the oldest go first.",
    ).tag(config=True)

    def __init__(self, shell: Any, **traits: Any) -> None:
        super().__init__(shell, **traits)
        self.watcher = CellWatcher(shell, self._print)
        history.max_reports = self.max_history_reports

    def _print(self, number: int, report: CellReport) -> None:
        # Not print(), which writes twice: a kernel's stdout takes 20 us for each.
        sys.stdout.write(lines.STYLES[self.style](number, report) + "\n")

    @observe("max_history_reports")
    def _max_history_reports_changed(self, change: Any) -> None:
        history.max_reports = change["new"]

    @validate("style")
    def _style_can_be_had(self, proposal: Any) -> str:
        # libproc2 and what it brings weigh more than memwatch: only on demand.
        reader = _cpu_reader() if proposal["value"] == "cpu" else None
        _core.set_cpu_reader(reader)
        return str(proposal["value"])

    @validate("children")
    def _children_can_be_had(self, proposal: Any) -> bool:
        try:
            watch_children(proposal["value"])
        except ImportError as error:
            raise _without_libproc2("children", error) from None
        except OSError as error:
            raise UsageError(f"children cannot be read: {cause_of(error)}") from None
        return bool(proposal["value"])

    @line_magic
    def memwatch(self, line: str) -> None:
        """Tell what every cell costs in memory.

        ::

            %memwatch on              watch every cell, this one included
            %memwatch off             watch no longer
            %memwatch status          what is watched, how exactly, and the process
            %memwatch style           which line is printed
            %memwatch style classic   the line of ipython_memory_usage
            %memwatch style cpu       the same with the share of the processors

        The reports of all cells are in ``memwatch.history``.
        """
        word, *arguments = line.split() or ["status"]
        actions: dict[str, Callable[[list[str]], None]] = {
            "on": self._on,
            "off": self._off,
            "status": self._status,
            "style": self._style,
        }
        actions[_known(word, actions, "sub-command")](arguments)

    def _on(self, arguments: list[str]) -> None:
        _expect_none("on", arguments)
        self.watcher.start()

    def _off(self, arguments: list[str]) -> None:
        _expect_none("off", arguments)
        self.watcher.stop()

    def _style(self, arguments: list[str]) -> None:
        if not arguments:
            print(f"style {self.style}; others: {_others(lines.STYLES, self.style)}")
            return
        word, *more = arguments
        _expect_none(f"style {word}", more)
        self.style = _known(word, lines.STYLES, "style")

    def _status(self, arguments: list[str]) -> None:
        _expect_none("status", arguments)
        try:
            print("\n".join(self._describe()))
        except OSError as error:
            raise UsageError(str(error)) from None

    def _describe(self) -> list[str]:
        from . import __version__

        why: dict[str, str] = {}
        rss, found = machine.find_accuracy(why)
        group = machine.find_group(why)
        watching = "watching every cell" if self.watcher.watching else "not watching"
        memory = _core.memory()
        now = lines.mib(memory["rss_bytes"], 2)
        peak = lines.mib(memory["lifetime_peak_bytes"], 2)
        return [
            f"memwatch {__version__}: {watching}, style {self.style}",
            f"peak: {machine.describe_peak(found, why)}",
            f"RSS: {machine.describe_rss(rss, why)}",
            f"this process: {now} MiB now, {peak} MiB at most since it began",
            f"limit: {machine.describe_group(group, why)}",
            f"history: {len(history)} of at most {history.max_reports} reports",
        ]


def _cpu_reader() -> object:
    try:
        from . import _host
    except ImportError as error:
        raise _without_libproc2("the processors", error) from None
    return _host.cpu_reader()


def _without_libproc2(what: str, error: ImportError) -> UsageError:
    return UsageError(
        f"{what} cannot be read: {error}. Install libproc2"
        " (Debian, Ubuntu: libproc2-dev) and build memwatch anew."
    )


def _known(word: str, words: dict[str, Any], kind: str) -> str:
    if word in words:
        return word
    close = difflib.get_close_matches(word, words, n=1)
    meant = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(words)}"
    raise UsageError(f"%memwatch: no {kind} '{word}': {meant}")


def _others(words: dict[str, Any], word: str) -> str:
    return ", ".join(other for other in words if other != word)


def _expect_none(words: str, arguments: list[str]) -> None:
    if arguments:
        raise UsageError(f"%memwatch {words}: '{' '.join(arguments)}' is too much")


def _loaded(shell: Any) -> MemWatch | None:
    magics = shell.magics_manager.registry.get(MemWatch.__name__)
    return magics if isinstance(magics, MemWatch) else None


def load(shell: Any) -> None:
    """Register the magics with `shell` and watch its cells. Twice is once."""
    magics = _loaded(shell)
    if magics is None:
        configurables = list(shell.configurables)
        try:
            magics = MemWatch(shell)
        except TraitError as error:
            shell.configurables[:] = configurables  # Magics adds itself at once
            raise UsageError(f"memwatch is not loaded: {error}") from None
        shell.register_magics(magics)
    tell_how_peaks_are_found()
    magics.watcher.start()


def unload(shell: Any) -> None:
    """Watch no longer and take the magics away. Without load: nothing."""
    magics = _loaded(shell)
    if magics is None:
        return
    magics.watcher.stop()
    _core.set_cpu_reader(None)
    watch_children(False)
    manager = shell.magics_manager
    del manager.registry[MemWatch.__name__]
    manager.magics["line"].pop("memwatch", None)
    if magics in shell.configurables:
        shell.configurables.remove(magics)


def stop(shell: Any) -> None:
    """Watch no longer; the magics stay. Without load: nothing."""
    magics = _loaded(shell)
    if magics is not None:
        magics.watcher.stop()
