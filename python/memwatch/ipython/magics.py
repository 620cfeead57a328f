"""%memwatch, %%memwatch and %%memwatch_quiet; loading and unloading the extension."""

from __future__ import annotations

import os
import sys
from typing import Any
from weakref import WeakSet

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_cell_magic, magics_class
from traitlets import TraitError, observe, validate
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
from . import command_line
from .cell_watcher import CellWatcher
from .commands import CommandError
from .completion import complete
from .configuration import Configuration
from .running_cells import is_inside_cell

_MIB = 2**20
_MAGICS = {"line": ["memwatch"], "cell": ["memwatch", "memwatch_quiet"]}
_COMPLETED = ("%memwatch", "%%memwatch")


@magics_class
class MemWatch(Configuration, Magics):
    """Shows what every cell costs in memory."""

    # Whether __init__ is done: only then do changed traits have an effect.
    _is_ready = False

    def __init__(self, shell: Any, **traits: Any) -> None:
        # Field of the report -> the least value that gets a line. Here, because loading
        # the configuration may call _limits_changed().
        self._limits: dict[str, float] = {}
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
        """While loading, warn of an invalid value and use the default."""
        try:
            super()._load_config(cfg, *which, **named)
            return
        except (TraitError, UsageError):
            if self._is_ready:
                raise  # %config shows it
        for name, value in self._find_my_config(cfg).items():
            try:
                super()._load_config(Config({type(self).__name__: {name: value}}))
            except (TraitError, UsageError) as error:
                warn_once(
                    f"c.MemWatch.{name}",
                    f"invalid c.MemWatch.{name}; using the default"
                    f" {getattr(self, name)!r}: {error}",
                )

    @observe("record", "style", "children")
    def _needs_changed(self, change: Any) -> None:
        if self._is_ready:
            if self.record:
                recording.start(self.shell, self.record_dir)
            _stop_unneeded()

    @observe("record_dir")
    def _record_dir_changed(self, change: Any) -> None:
        if self._is_ready and self.record:
            recording.start(self.shell, change["new"])

    @validate("publish")
    def _publish_to(self, proposal: Any) -> str:
        endpoint = str(proposal["value"])
        if self._is_ready:  # else __init__ starts it
            self._publish(endpoint, self.publish_hz, self.publish_server_key)
        return endpoint

    @observe("publish_hz", "publish_server_key")
    def _publish_options_changed(self, change: Any) -> None:
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

    @observe("max_timelines_mib")
    def _max_timelines_mib_changed(self, change: Any) -> None:
        history.max_timelines_bytes = int(change["new"] * _MIB)

    @observe("max_history_reports")
    def _max_history_reports_changed(self, change: Any) -> None:
        history.max_reports = change["new"]

    @validate("style")
    def _prepare_style(self, proposal: Any) -> str:
        # libproc2 and its libraries are larger than memwatch: loaded on demand only.
        if proposal["value"] == "cpu":
            _core.set_cpu_reader(_cpu_reader())
        return str(proposal["value"])

    @validate("children")
    def _prepare_children(self, proposal: Any) -> bool:
        try:
            if proposal["value"]:
                watch_children(True)
        except ImportError:
            raise _without_libproc2("children") from None
        except OSError as error:
            raise TraitError(f"cannot read children: {cause_of(error)}") from None
        return bool(proposal["value"])

    @observe("min_used_mib", "min_peak_mib", "min_seconds")
    def _limits_changed(self, _: Any) -> None:
        limits = {
            "used_bytes": (self.min_used_mib, _MIB),
            "peaked_bytes": (self.min_peak_mib, _MIB),
            "duration_ns": (self.min_seconds, 1e9),
        }
        self._limits = {
            name: least * unit
            for name, (least, unit) in limits.items()
            if least is not None
        }

    def _should_print(self, report: CellReport) -> bool:
        """Whether the report reaches a limit; an unknown figure does."""
        if not self._limits:
            return True
        values = (getattr(report, name) for name in self._limits)
        return any(
            value is None or value >= least
            for value, least in zip(values, self._limits.values(), strict=True)
        )

    def _print(self, number: int, report: CellReport) -> None:
        # One write; print() makes two, and in a kernel each takes 10 us.
        if sys.stdout is not None:
            sys.stdout.write(lines.STYLES[self.style](number, report) + "\n")
        if self.display != "line":
            self._show_chart(report)

    def _show_chart(self, report: CellReport) -> None:
        try:
            if self.display == "sparkline" or self._is_for_notebook(report):
                from ..display import charts

                shell: Any = self.shell
                shell.display_pub.publish(charts.bundle(report))
        except Exception as error:
            warn_once("charts", f"memwatch cannot show a chart: {cause_of(error)}")

    def shows(self, mime: str) -> bool:
        """Whether the front end gets this MIME type; a terminal gets only text."""
        shell: Any = self.shell
        return mime in shell.display_formatter.active_types

    def _is_for_notebook(self, report: CellReport) -> bool:
        # A kernel does not know its front end. But notebook front ends send the cell's
        # id; consoles, nbconvert and papermill do not.
        if report.cell_id is None or not self.shows("text/html"):
            return False
        from ..display import charts

        return charts.has_shape(report)

    @line_cell_magic
    def memwatch(self, line: str, cell: str | None = None) -> Any:
        """Replaced below."""
        # A traceback need not show the frames above the user's code.
        __tracebackhide__ = True
        try:
            if cell is None:
                return command_line.run(self, line)
            runs = command_line.parse_cell_line(line)
        except (CommandError, TraitError) as error:
            raise UsageError(str(error)) from None
        if runs == 0:
            return say(command_line.describe())
        from .cell_body import CellBody

        body = CellBody(self.shell, cell)
        if runs is None:
            self.watcher.watch_this_cell()
            return body.run()
        from ..display import tables

        return say(tables.repeats(body.repeat(runs)))

    memwatch.__doc__ = command_line.describe()

    @cell_magic
    def memwatch_quiet(self, line: str, cell: str) -> Any:
        """Run this cell without printing a line; its report is in ``memwatch.history``.

        ::

            %%memwatch_quiet
            frame = load()
        """
        __tracebackhide__ = True
        if line.strip():
            raise UsageError(f"%%memwatch_quiet: unexpected argument: '{line.strip()}'")
        from .cell_body import CellBody

        self.watcher.print_this_cell(False)
        return CellBody(self.shell, cell).run()


def _cpu_reader() -> object:
    try:
        from .. import _procps
    except ImportError:
        raise _without_libproc2("cpu style") from None
    try:
        return _procps.cpu_reader()
    except OSError as error:
        raise TraitError(f"cpu style: {cause_of(error)}") from None


def _without_libproc2(part: str) -> TraitError:
    from ..optional import describe_missing

    return TraitError(f"{part}: {describe_missing(part)}")


def _complete(shell: Any, event: Any) -> list[str]:
    return complete(event.text_until_cursor, event.symbol)


_all: WeakSet[MemWatch] = keep("shells", WeakSet)
"""All shells with memwatch loaded: ``embed()`` adds a second one."""


def _forget_cells() -> None:
    for each in _all:
        each.watcher.forget_cells()


os.register_at_fork(after_in_child=_forget_cells)


def _stop_unneeded() -> None:
    """Stop the services of this process that no shell needs any more."""
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
    # Compared by module: a reload of this module creates another class.
    return magics if type(magics).__module__ == __name__ else None


def load(shell: Any) -> None:
    """Register the magics with `shell` and watch its cells. Idempotent."""
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
    _all.discard(magics)
    _stop_unneeded()
    manager = shell.magics_manager
    del manager.registry[MemWatch.__name__]
    for kind, names in _MAGICS.items():
        for name in names:
            manager.magics[kind].pop(name, None)
    for typed in _COMPLETED:
        # IPython has no unset_hook(); these keys have no other hooks.
        shell.strdispatchers["complete_command"].strs.pop(typed, None)
    if magics in shell.configurables:
        shell.configurables.remove(magics)


def stop(shell: Any) -> None:
    """Stop watching; the magics stay. Idempotent."""
    magics = _loaded(shell)
    if magics is not None:
        magics.watcher.stop()
