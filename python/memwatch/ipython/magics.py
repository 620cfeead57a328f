"""%memwatch, %%memwatch, and their configuration: ``c.MemWatch.<trait>``."""

from __future__ import annotations

import math
import os
import sys
from typing import Any
from weakref import WeakSet

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_cell_magic, magics_class
from traitlets import (
    Bool,
    Enum,
    Float,
    Integer,
    TraitError,
    Unicode,
    observe,
    validate,
)
from traitlets.config import Config

from .. import _core
from ..blackbox import recording
from ..blackbox.reader import find_boxes, list_files, prune_boxes
from ..display import lines
from ..measure.children import watch_children
from ..measure.window import history, warn_if_peaks_are_sampled
from ..report import CellReport
from ..state import keep
from ..stream import publishing
from ..warn import cause_of, say, warn_once
from . import commands
from .cell_watcher import CellWatcher, inside_a_cell
from .completion import complete

__all__ = ["MemWatch", "load", "stop", "unload"]

_MIB = 2**20
_MAGICS = {"line": ["memwatch"], "cell": ["memwatch", "memwatch_quiet"]}
_COMPLETED = ("%memwatch", "%%memwatch")


@magics_class
class MemWatch(Magics):
    """Tells what every cell costs in memory."""

    style = Enum(
        sorted(lines.STYLES),
        "classic",
        help="The line: 'classic' as ipython_memory_usage prints it, or 'cpu' as its"
        " version 1.8 does, with the share of the processors.",
    ).tag(config=True)

    display = Enum(
        ["auto", "line", "sparkline"],
        "auto",
        help="What follows a cell besides its line. 'line': nothing. 'sparkline': a"
        " picture of its memory over time; blocks in a terminal. 'auto': that picture"
        " where a notebook's front end asked for the cell (it names the cell), the cell"
        " took 0.1 s or more, and its memory moved by 1 MiB or more; nothing in a"
        " terminal, a console and nbconvert.",
    ).tag(config=True)

    children = Bool(
        False,
        help="Whether to look at the processes that a cell starts, too: their RSS while"
        " it runs, and their PSS at its end, which the line then tells.",
    ).tag(config=True)

    record = Bool(
        True,
        help="Whether to keep a black box: a file of 64 KiB in Jupyter's runtime"
        " folder, gone at a clean exit, that tells after the kernel was killed which"
        " cell was running, and how far it got.",
    ).tag(config=True)

    record_dir = Unicode(
        "",
        help="Another folder for the black box, for example on a volume that outlives a"
        " pod; in it the box lies in 'memwatch-UID'. Where that is a network file"
        " system, FUSE or one that copies on write, a copy is written there, up to 10"
        " times a second, by a thread that no cell waits for. '': Jupyter's runtime"
        " folder, or $XDG_RUNTIME_DIR or /dev/shm where that is such a file system.",
    ).tag(config=True)

    publish = Unicode(
        "",
        help="Where to publish what is watched, over ZeroMQ: '@ENDPOINT' binds,"
        " '>ENDPOINT' connects, 'on' is an ipc socket in Jupyter's runtime folder, ''"
        " nowhere. tcp:// beyond this machine takes keys (memwatch keygen).",
    ).tag(config=True)

    publish_hz = Float(
        10.0,
        min=0.01,
        max=1000.0,
        help="How many samples a second are published at most.",
    ).tag(config=True)

    publish_server_key = Unicode(
        "",
        help="Of the collector that is connected to: its public key, 40 characters, or"
        " the file that has it.",
    ).tag(config=True)

    max_history_reports = Integer(
        10_000,
        min=1,
        help="How many reports memwatch.history keeps; the oldest go first.",
    ).tag(config=True)

    max_timelines_mib = Float(
        40.0,
        help="How many MiB the timelines in memwatch.history hold together; the oldest"
        " go first, their reports stay. 0: none are kept.",
    ).tag(config=True)

    min_used_mib = Float(
        None,
        allow_none=True,
        help="No line for a cell that kept less, in MiB. Where several of the min_"
        " are set: for a cell that is below all of them. None: not set.",
    ).tag(config=True)

    min_peak_mib = Float(
        None, allow_none=True, help="The same of how high it peaked above that, in MiB."
    ).tag(config=True)

    min_seconds = Float(
        None, allow_none=True, help="The same of how long it took, in seconds."
    ).tag(config=True)

    _is_ready = False
    """There is a black box, if there is to be one."""

    def __init__(self, shell: Any, **traits: Any) -> None:
        # What a cell's figures are compared with before it has a line: see
        # _least_changed(), which loading the configuration may call.
        self._least: dict[str, float] = {}
        super().__init__(shell, **traits)
        self.watcher = CellWatcher(shell, self._print, self._should_print)
        history.max_reports = self.max_history_reports
        history.max_timelines_bytes = int(self.max_timelines_mib * _MIB)
        _all.add(self)
        if self.record:
            recording.start(shell, self.record_dir)
        if self.publish:
            publishing.start_as_configured(
                self.publish, self.publish_hz, self.publish_server_key
            )
        self._is_ready = True

    def _load_config(self, cfg: Any, *which: Any, **named: Any) -> None:
        """What is impossible is warned of while loading, and the default stays."""
        try:
            super()._load_config(cfg, *which, **named)
            return
        except (TraitError, UsageError):
            if self._is_ready:
                raise  # to %config, which shows it
        for name, value in self._find_my_config(cfg).items():
            try:
                super()._load_config(Config({type(self).__name__: {name: value}}))
            except (TraitError, UsageError) as error:
                warn_once(
                    f"c.MemWatch.{name}",
                    f"invalid c.MemWatch.{name}, the default"
                    f" {getattr(self, name)!r} is used: {error}",
                )

    @observe("record", "style", "children")
    def _needs_changed(self, change: Any) -> None:
        if self._is_ready:
            if self.record:
                recording.start(self.shell, self.record_dir)
            _release()

    @observe("record_dir")
    def _record_dir_changed(self, change: Any) -> None:
        if self._is_ready and self.record:
            recording.start(self.shell, change["new"])

    @validate("publish")
    def _can_be_published(self, proposal: Any) -> str:
        endpoint = str(proposal["value"])
        if self._is_ready:  # else it comes when there is something to publish
            self._publish(endpoint, self.publish_hz, self.publish_server_key)
        return endpoint

    @observe("publish_hz", "publish_server_key")
    def _publish_otherwise(self, change: Any) -> None:
        if self._is_ready and publishing.status() is not None:
            self._publish(self.publish, self.publish_hz, self.publish_server_key)

    def _publish(self, endpoint: str, hz: float, server_key: str) -> None:
        if not endpoint:
            publishing.stop()
            return
        try:
            publishing.start(endpoint, hz, server_key)
        except publishing.PublishError as error:
            raise TraitError(str(error)) from None

    def _print(self, number: int, report: CellReport) -> None:
        # One write, where print() makes two: in a kernel each takes 10 us.
        if sys.stdout is not None:
            sys.stdout.write(lines.STYLES[self.style](number, report) + "\n")
        if self.display != "line":
            self._picture(report)

    def _picture(self, report: CellReport) -> None:
        try:
            if self.display == "sparkline" or self._is_for_a_notebook(report):
                from ..display import charts

                shell: Any = self.shell
                shell.display_pub.publish(charts.bundle(report))
        except Exception as error:
            warn_once("pictures", f"memwatch cannot show a picture: {cause_of(error)}")

    def shows(self, mime: str) -> bool:
        """Whether results go out in that form too; a terminal shows text alone."""
        shell: Any = self.shell
        return mime in shell.display_formatter.active_types

    def _is_for_a_notebook(self, report: CellReport) -> bool:
        # A kernel is not told who reads it. But notebooks' front ends say which cell
        # they have executed, and consoles, nbconvert and papermill, having none to
        # show, do not.
        if report.cell_id is None or not self.shows("text/html"):
            return False
        from ..display import charts

        return charts.has_shape(report)

    def _should_print(self, report: CellReport) -> bool:
        """Whether it is not below all that is set; what is not known is not below."""
        if not self._least:
            return True
        values = (getattr(report, name) for name in self._least)
        return any(
            value is None or value >= least
            for value, least in zip(values, self._least.values(), strict=True)
        )

    @observe("min_used_mib", "min_peak_mib", "min_seconds")
    def _least_changed(self, _: Any) -> None:
        bounds = {
            "used_bytes": (self.min_used_mib, _MIB),
            "peaked_bytes": (self.min_peak_mib, _MIB),
            "duration_ns": (self.min_seconds, 1e9),
        }
        self._least = {
            name: least * unit
            for name, (least, unit) in bounds.items()
            if least is not None
        }

    @validate("min_used_mib", "min_peak_mib", "min_seconds", "max_timelines_mib")
    def _is_a_size(self, proposal: Any) -> float | None:
        value: float | None = proposal["value"]
        if value is not None and not (math.isfinite(value) and value >= 0):
            name = proposal["trait"].name
            raise TraitError(f"MemWatch.{name} is a number of 0 or more, not {value}")
        return value

    @observe("max_timelines_mib")
    def _max_timelines_mib_changed(self, change: Any) -> None:
        history.max_timelines_bytes = int(change["new"] * _MIB)

    @validate("publish_hz")
    def _is_a_rate(self, proposal: Any) -> float:
        value: float = proposal["value"]
        if not math.isfinite(value):
            raise TraitError(f"MemWatch.publish_hz is a number, not {value}")
        return value

    @observe("max_history_reports")
    def _max_history_reports_changed(self, change: Any) -> None:
        history.max_reports = change["new"]

    @validate("style")
    def _style_can_be_had(self, proposal: Any) -> str:
        # libproc2 and what it brings weigh more than memwatch: only on demand.
        if proposal["value"] == "cpu":
            _core.set_cpu_reader(_cpu_reader())
        return str(proposal["value"])

    @validate("children")
    def _children_can_be_had(self, proposal: Any) -> bool:
        try:
            if proposal["value"]:
                watch_children(True)
        except ImportError:
            raise _without_libproc2("children") from None
        except OSError as error:
            raise TraitError(f"children cannot be read: {cause_of(error)}") from None
        return bool(proposal["value"])

    @line_cell_magic
    def memwatch(self, line: str, cell: str | None = None) -> Any:
        """Overwritten below."""
        # The frames above the user's code are not what a traceback is read for.
        __tracebackhide__ = True
        try:
            if cell is None:
                return commands.run(self, line)
            runs = commands.parse_cell_line(line)
        except (commands.CommandError, TraitError) as wrong:
            raise UsageError(str(wrong)) from None
        if runs == 0:
            return say(commands.describe())
        from .cell_body import Body

        body = Body(self.shell, cell)
        if runs is None:
            self.watcher.watch_this_cell()
            return body.run()
        from ..display import tables

        return say(tables.repeats(body.repeat(runs)))

    memwatch.__doc__ = commands.describe()

    @cell_magic
    def memwatch_quiet(self, line: str, cell: str) -> Any:
        """Run this cell without a line; ``memwatch.history`` has its report.

        ::

            %%memwatch_quiet
            frame = load()
        """
        __tracebackhide__ = True
        if line.strip():
            raise UsageError(f"%%memwatch_quiet: '{line.strip()}' is too much")
        from .cell_body import Body

        self.watcher.print_this_cell(False)
        return Body(self.shell, cell).run()


def _cpu_reader() -> object:
    try:
        from .. import _procps
    except ImportError:
        raise _without_libproc2("cpu style") from None
    try:
        return _procps.cpu_reader()
    except OSError as error:
        raise TraitError(f"cpu style: {cause_of(error)}") from None


def _complete(shell: Any, event: Any) -> list[str]:
    return complete(event.text_until_cursor, event.symbol)


def _without_libproc2(part: str) -> TraitError:
    from ..optional import describe_missing

    return TraitError(f"{part}: {describe_missing(part)}")


_all: WeakSet[MemWatch] = keep("shells", WeakSet)
"""Of all shells that have memwatch loaded: ``embed()`` adds one to that around it."""


def _forget_cells() -> None:
    for each in _all:
        each.watcher.forget_cells()


os.register_at_fork(after_in_child=_forget_cells)


def _release() -> None:
    """Stop what the process has and none of its shells needs any longer."""
    if not any(each.record and each.publish for each in _all):
        publishing.stop()
    if not any(each.record for each in _all):
        recording.stop()
    if not any(each.style == "cpu" for each in _all):
        _core.set_cpu_reader(None)
    if not any(each.children for each in _all):
        watch_children(False)


def _loaded(shell: Any) -> MemWatch | None:
    magics = shell.magics_manager.registry.get(MemWatch.__name__)
    # By name: a reload of this module makes another class of it.
    return magics if type(magics).__module__ == __name__ else None


def load(shell: Any) -> None:
    """Register the magics with `shell` and watch its cells. Twice is once."""
    magics = _loaded(shell)
    if magics is None:
        magics = MemWatch(shell)
        shell.register_magics(magics)
        for typed in _COMPLETED:
            shell.set_hook("complete_command", _complete, str_key=typed)
    warn_if_peaks_are_sampled()
    magics.watcher.start()
    _report_predecessor(shell, magics.record_dir)


def _report_predecessor(shell: Any, record_dir: str) -> None:
    """Say, once, where the kernel before this one was killed."""
    own = recording.box_path()
    if own is None:
        return
    try:
        told = None
        files = list_files(record_dir)
        if len(find_boxes(files=files)) > 1:  # most of the time there is only ours
            from ..blackbox import postmortem

            told = postmortem.report_predecessor(own, record_dir)
        prune_boxes(files=files)  # not before it was told
    except Exception as error:
        warn_once("predecessor", f"what was before is not known: {cause_of(error)}")
        return
    if told is None:
        return
    if inside_a_cell(shell) or not hasattr(shell, "kernel"):
        say(told)
        return

    # A kernel that is only starting has nowhere to show it: with its first cell.
    def tell(_: Any) -> None:
        shell.events.unregister("pre_run_cell", tell)
        say(told)

    shell.events.register("pre_run_cell", tell)


def unload(shell: Any) -> None:
    """Watch no longer and take the magics away. Without load: nothing."""
    magics = _loaded(shell)
    if magics is None:
        return
    magics.watcher.stop()
    _all.discard(magics)
    _release()
    manager = shell.magics_manager
    del manager.registry[MemWatch.__name__]
    for kind, names in _MAGICS.items():
        for name in names:
            manager.magics[kind].pop(name, None)
    for typed in _COMPLETED:
        # There is no unset_hook(); and only we are asked about what is ours.
        shell.strdispatchers["complete_command"].strs.pop(typed, None)
    if magics in shell.configurables:
        shell.configurables.remove(magics)


def stop(shell: Any) -> None:
    """Watch no longer; the magics stay. Without load: nothing."""
    magics = _loaded(shell)
    if magics is not None:
        magics.watcher.stop()
