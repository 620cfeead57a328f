"""%memwatch, %%memwatch and %%memwatch_quiet, and what changed traits do."""

from __future__ import annotations

import builtins
import os
import shutil
import sys
from typing import Any
from weakref import WeakSet

from IPython.core.error import UsageError
from IPython.core.magic import (
    Magics,
    cell_magic,
    line_cell_magic,
    magics_class,
    no_var_expand,
)
from traitlets import TraitError, observe, validate
from traitlets.config import Config

from .. import _core
from ..blackbox import recording
from ..display import lines
from ..measure.children import watch_children
from ..measure.limit_warning import LimitWarning
from ..measure.window import history
from ..report import CellReport
from ..state import keep
from ..stream import publishing
from ..warn import cause_of, say, warn_once
from . import command_line
from .arguments import CommandError
from .cell_watcher import CellWatcher
from .command_line import CellOptions
from .configuration import Configuration

_MIB = 2**20
_HINT_BYTES = 16 * _MIB
"""What a cell must keep before a hint is looked for."""


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
        self._limit_warning = LimitWarning()
        self.watcher = CellWatcher(shell, self._print, self._should_print, self.show)
        history.max_reports = self.max_history_reports
        history.max_timelines_bytes = int(self.max_timelines_mib * _MIB)
        shells.add(self)
        if self.record:
            recording.start(shell, self.record_dir)
        if self.publish:
            publishing.start_as_configured(
                self.publish, self.publish_hz, self.publish_server_key
            )
        self._is_ready = True
        if self.statements:
            self.watcher.record_lines(True)
        self._warn_changed()

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
            stop_unneeded()

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

    @observe("statements")
    def _statements_changed(self, change: Any) -> None:
        if self._is_ready:
            self.watcher.record_lines(change["new"])

    @observe("max_timelines_mib")
    def _max_timelines_mib_changed(self, change: Any) -> None:
        history.max_timelines_bytes = int(change["new"] * _MIB)

    @observe("max_history_reports")
    def _max_history_reports_changed(self, change: Any) -> None:
        history.max_reports = change["new"]

    @observe("warn")
    def _warn_changed(self, _: Any = None) -> None:
        if self._is_ready:
            share = self.warn.rstrip(" %")
            self._limit_warning.percent = float(share) if share else None

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
        if not self._limits or self._limit_warning.text(report):
            return True
        values = (getattr(report, name) for name in self._limits)
        return any(
            value is None or value >= least
            for value, least in zip(values, self._limits.values(), strict=True)
        )

    def _print(self, number: int, report: CellReport) -> None:
        # One write; print() makes two, and in a kernel each takes 10 us.
        if sys.stdout is not None:
            describe = lines.STYLES[self.style]
            if describe is lines.short and self._has_colour():
                describe = lines.short_in_colour
            line = describe(number, report)
            warning = self._limit_warning.text(report)
            if warning is not None:
                line = f"{line}\n{warning}"
            hint = self._hint(report)
            if hint is not None:
                line = f"{line}\n{hint}"
            sys.stdout.write(line + "\n")
        if self.display != "line":
            self._show_chart(report)

    def _hint(self, report: CellReport) -> str | None:
        used = report.used_bytes
        if not self.hints or used is None or used < _HINT_BYTES:
            return None
        from ..holders.output_hint import find_hint

        return find_hint(self.shell, report, history)

    def _has_colour(self) -> bool:
        """Whether stdout is a terminal in which IPython and the user want colour."""
        shell: Any = self.shell
        return (
            sys.stdout.isatty()
            and not os.environ.get("NO_COLOR")
            and str(shell.colors).lower() != "nocolor"
        )

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

    def show(self, found: Any) -> None:
        """Show something that has a repr() and _repr_html_()."""
        shell: Any = self.shell
        shell.display_pub.publish(
            {"text/plain": repr(found), "text/html": found._repr_html_()}
        )

    def _is_for_notebook(self, report: CellReport) -> bool:
        # A kernel does not know its front end. But notebook front ends send the cell's
        # id; consoles, nbconvert and papermill do not.
        if report.cell_id is None or not self.shows("text/html"):
            return False
        from ..display import charts

        return charts.has_shape(report)

    @property
    def columns(self) -> int:
        """The terminal's width; where it is unknown, as in a notebook, 80."""
        return shutil.get_terminal_size().columns

    @no_var_expand  # expanding the {f()} of code would call f
    @line_cell_magic
    def memwatch(self, line: str, cell: str | None = None) -> Any:
        """Replaced below."""
        # A traceback need not show the frames above the user's code.
        __tracebackhide__ = True
        shell: Any = self.shell
        if cell is not None:
            line = shell.var_expand(line, 2)
        options, code = self._parse(line, cell)
        runs = options.runs
        if code is None:
            return self._run_subcommand(shell.var_expand(line, 2))
        if runs == 0:
            return say(command_line.describe())
        from .cell_body import CellBody

        body = CellBody(self.shell, code, lines=options.lines and not options.function)
        if options.lines:
            return self._run_lines(body, options.function)
        if options.leak:
            return say(str(body.find_leak(runs)))
        if runs is None:
            self.watcher.watch_this_cell()
            return body.run()
        return self._show_repeats(body.repeat(runs))

    memwatch.__doc__ = command_line.describe()

    @cell_magic
    def memwatch_quiet(self, line: str, cell: str) -> Any:
        """Run this cell without printing a line.

        Its report is in memwatch.history.

            %%memwatch_quiet
            frame = load()
        """
        __tracebackhide__ = True
        self._parse_quiet(line)
        from .cell_body import CellBody

        self.watcher.print_this_cell(False)
        return CellBody(self.shell, cell).run()

    @cell_magic
    def memwatch_compare(self, line: str, cell: str) -> Any:
        """Compare ways to do the same: what they keep, their peaks, their time.

        Each runs several times in a fresh process of this Python. The value has all
        figures: _.comparison.to_dict()

            %%memwatch_compare
            # %% setup
            n = 100_000
            # %% list
            x = [i * i for i in range(n)]
            # %% array
            import array
            x = array.array("q", (i * i for i in range(n)))

        Options: -r N (runs; default: 10 to 30), --warmup N, --gross (with the
        interpreter's own memory), --same-result (the last expressions must be equal).
        """
        from ..compare import cell as compared

        try:
            given = compared.read(line, cell)
        except ValueError as error:
            raise UsageError(str(error)) from None
        finally:
            self.watcher.ignore_this_cell()
        return compared.show(self.shell, self.shows("text/html"), *given)

    async def run_awaiting(self, magic: str, line: str, cell: str | None) -> Any:
        """Run `magic` for code that awaits; see awaiting.py."""
        __tracebackhide__ = True
        from .cell_body import CellBody

        if magic == "memwatch_quiet":
            self._parse_quiet(line)
            self.watcher.print_this_cell(False)
            return await CellBody(self.shell, cell or "", may_await=True).run_async()
        if cell is not None:
            shell: Any = self.shell
            line = shell.var_expand(line, 1)
        options, code = self._parse(line, cell)
        runs = options.runs
        if options.leak:
            raise UsageError("%%memwatch --leak: cannot repeat a cell that awaits")
        if runs == 0:
            return say(command_line.describe())
        body = CellBody(self.shell, code or "", may_await=True, lines=options.lines)
        if options.lines:
            self.watcher.watch_this_cell()
            return await body.run_lines_async(self.show)
        if runs is None:
            self.watcher.watch_this_cell()
            return await body.run_async()
        return self._show_repeats(await body.repeat_async(runs))

    def _run_lines(self, body: Any, function: str) -> Any:
        __tracebackhide__ = True
        self.watcher.watch_this_cell()
        try:
            return body.run_lines(function, self.show)
        except CommandError as error:
            raise UsageError(str(error)) from None

    def _parse(self, line: str, cell: str | None) -> tuple[CellOptions, str | None]:
        """The options and the code; no code: a subcommand. UsageError."""
        try:
            return command_line.parse(line, cell, self._is_name)
        except CommandError as error:
            raise UsageError(str(error)) from None

    def _parse_quiet(self, line: str) -> None:
        if line.strip():
            raise UsageError(f"%%memwatch_quiet: unexpected argument: '{line.strip()}'")

    def _run_subcommand(self, line: str) -> Any:
        try:
            return command_line.run(self, line)
        except (CommandError, TraitError) as error:
            raise UsageError(str(error)) from None
        finally:
            self.watcher.ignore_this_cell()

    def _is_name(self, word: str) -> bool:
        shell: Any = self.shell
        return word in shell.user_ns or hasattr(builtins, word)

    def _show_repeats(self, reports: list[CellReport]) -> None:
        from ..display import tables

        say(tables.repeats(reports))


shells: WeakSet[MemWatch] = keep("shells", WeakSet)
"""All shells with memwatch loaded: ``embed()`` adds a second one."""


def _forget_cells() -> None:
    for each in shells:
        each.watcher.forget_cells()


os.register_at_fork(after_in_child=_forget_cells)


def stop_unneeded() -> None:
    """Stop the services of this process that no shell needs any more."""
    if not any(each.record and each.publish for each in shells):
        publishing.stop()
    if not any(each.record for each in shells):
        recording.stop()
    if not any(each.style == "cpu" for each in shells):
        _core.set_cpu_reader(None)
    if not any(each.children for each in shells):
        watch_children(False)
