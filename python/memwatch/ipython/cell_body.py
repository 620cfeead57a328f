"""The body of a cell magic, run as a cell is, once or several times."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import CO_COROUTINE
from types import CodeType
from typing import TYPE_CHECKING, Any

from ..measure.window import OpenWindow, history, status_of
from ..report import CellReport
from .arguments import CommandError

if TYPE_CHECKING:
    from ..compare.leak import LeakVerdict
    from ..statements.line_table import LineTable


class CellBody:
    """The compiled body of a cell magic of `shell`. SyntaxError if it is not Python.

    Magics work in it, as in %%time. With `may_await`, ``await`` works in it too; then
    only run_async() and repeat_async() run it. With `lines`, its lines are measured.
    """

    def __init__(
        self, shell: Any, text: str, *, may_await: bool = False, lines: bool = False
    ) -> None:
        self._shell = shell
        code = shell.transform_cell(text)
        self._number = int(shell.displayhook.prompt_count)
        # A traceback finds the source by that name.
        name = shell.compile.cache(code, self._number, raw_code=text)
        tree = shell.transform_ast(shell.compile.ast_parse(code, filename=name))
        self._value: CodeType | None = None
        self._statements: CodeType
        last = tree.body[-1] if tree.body else None
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if may_await else 0
        with shell.compile.extra_flags(flags):
            if isinstance(last, ast.Expr) and not _is_silenced(code, last):
                tree.body.pop()
                self._value = shell.compile(ast.Expression(last.value), name, "eval")
            self.lines: LineTable | None = None
            if lines:
                self._statements = self._with_lines(code, tree, last, name)
            else:
                self._statements = shell.compile(tree, name, "exec")

    def _with_lines(
        self, code: str, tree: ast.Module, last: ast.stmt | None, name: str
    ) -> CodeType:
        from ..statements import instrument
        from ..statements.line_table import LineTable

        # The lines of the cell: the magic is the first.
        source = dict(enumerate(code.splitlines(), 2))
        self.lines = LineTable(f"In [{self._number}]", source)
        if self._value is not None and last is not None:
            # The value is evaluated after all statements, in the last one's line.
            tree.body.append(ast.copy_location(ast.Pass(), last))
        with instrument.no_warning_of_calls():
            compiled: CodeType = self._shell.compile(
                instrument.instrument_module(tree, offset=1), name, "exec"
            )
        return instrument.put_functions(
            compiled, {instrument.ENTER: self.lines.measured.enter}
        )

    def run_lines(self, function: str, show: Callable[[LineTable], object]) -> Any:
        """As run(), and show what each line cost.

        With `function`, the lines of that function instead of the body's. CommandError:
        they cannot be measured.
        """
        __tracebackhide__ = "__ipython_bottom__"
        from ..statements.functions import LinesError

        try:
            with self._measured(function, show):
                return self.run()
        except LinesError as error:
            raise CommandError(f"%memwatch lines: {error}") from None

    async def run_lines_async(self, show: Callable[[LineTable], object]) -> Any:
        """As run_async(), and show what each line cost."""
        __tracebackhide__ = "__ipython_bottom__"
        with self._measured("", show):
            return await self.run_async()

    @contextmanager
    def _measured(
        self, function: str, show: Callable[[LineTable], object]
    ) -> Iterator[None]:
        """Measure the lines of the body, or of `function`, and show them at the end."""
        if self.lines is None:
            from ..statements.functions import measuring

            with measuring(self._shell.ev(function)) as table:
                try:
                    yield
                finally:
                    show(table)
            return
        run = self.lines.measured.begin()
        try:
            yield
        finally:
            self.lines.measured.end(run)
            show(self.lines)

    def run(self) -> Any:
        """Run it; the value of its last line if that is an expression, else None.

        Its exceptions are not caught.
        """
        # IPython starts a traceback below this frame: with the user's own lines.
        __tracebackhide__ = "__ipython_bottom__"
        names = (self._shell.user_global_ns, self._shell.user_ns)
        exec(self._statements, *names)
        return None if self._value is None else eval(self._value, *names)

    async def run_async(self) -> Any:
        """As run(), for a body that awaits."""
        __tracebackhide__ = "__ipython_bottom__"
        names = (self._shell.user_global_ns, self._shell.user_ns)
        value = None
        for code in (self._statements, self._value):
            if code is not None:
                value = eval(code, *names)
                if code.co_flags & CO_COROUTINE:
                    value = await value
        return value

    def find_leak(self, runs: int | None) -> LeakVerdict:
        """Run it `runs` times, by default 20; whether it takes more memory each time.

        Its reports are not kept.
        """
        __tracebackhide__ = "__ipython_bottom__"
        from ..compare import leak

        runs = leak.RUNS if runs is None else runs
        test = leak.LeakTest(runs)
        try:
            for run in range(1, runs + 1):
                window = self._open(f"run {run} of {runs}")
                try:
                    self.run()
                finally:
                    report = window.close(label=None, status="ok")
                test.after_run(None if report is None else report.rss_end_bytes)
                del window, report
            return test.verdict()
        finally:
            test.close()

    def repeat(self, runs: int) -> list[CellReport]:
        """Run it `runs` times, each in a window of its own; the reports.

        The reports are also in the history. An exception ends the repetition. OSError
        if /proc cannot be read.
        """
        __tracebackhide__ = "__ipython_bottom__"
        reports: list[CellReport] = []
        for run in range(1, runs + 1):
            with self._window(f"run {run} of {runs}", reports):
                value = self.run()
            del value  # not before the window's end: it counts as kept
        return reports

    async def repeat_async(self, runs: int) -> list[CellReport]:
        """As repeat(), for a body that awaits."""
        __tracebackhide__ = "__ipython_bottom__"
        reports: list[CellReport] = []
        for run in range(1, runs + 1):
            with self._window(f"run {run} of {runs}", reports):
                value = await self.run_async()
            del value
        return reports

    def _label(self, name: str) -> str:
        return f"In [{self._number}] {name}"

    def _open(self, name: str) -> OpenWindow:
        return OpenWindow(self._label(name))

    @contextmanager
    def _window(self, name: str, reports: list[CellReport]) -> Iterator[None]:
        error: BaseException | None = None
        label, window = self._label(name), self._open(name)
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            report = window.close(label=label, status=status_of(error))
            error = None  # its traceback refers to this frame: a cycle
            if report is not None:
                history.append(report)
                reports.append(report)


def _is_silenced(code: str, last: ast.Expr) -> bool:
    """Whether a semicolon follows the last expression, as in a cell of its own."""
    assert last.end_lineno is not None
    assert last.end_col_offset is not None
    after = code.split("\n")[last.end_lineno - 1].encode()[last.end_col_offset :]
    return after.lstrip().startswith(b";")
