"""The text below a cell magic, run as a cell would be, once or several times."""

from __future__ import annotations

import ast
from types import CodeType
from typing import Any

from ..measure.window import OpenWindow, history, status_of
from ..report import CellReport

__all__ = ["Body"]


class Body:
    """The text below a cell magic of `shell`. SyntaxError where it is no Python.

    Its magics work, as in %%time; ``await`` outside of a function does not.
    """

    def __init__(self, shell: Any, text: str) -> None:
        self._shell = shell
        code = shell.transform_cell(text)
        self._number = int(shell.displayhook.prompt_count)
        # By that name a traceback finds the source.
        name = shell.compile.cache(code, self._number, raw_code=text)
        tree = shell.transform_ast(shell.compile.ast_parse(code, filename=name))
        self._value: CodeType | None = None
        last = tree.body[-1] if tree.body else None
        if isinstance(last, ast.Expr) and not _is_silenced(code, last):
            tree.body.pop()
            self._value = shell.compile(ast.Expression(last.value), name, "eval")
        self._statements: CodeType = shell.compile(tree, name, "exec")

    def run(self) -> Any:
        """Run it once; the value of its last line if that is an expression, else None.

        What it raises is raised.
        """
        # IPython begins a traceback below this: with the user's own lines.
        __tracebackhide__ = "__ipython_bottom__"
        names = (self._shell.user_global_ns, self._shell.user_ns)
        exec(self._statements, *names)
        return None if self._value is None else eval(self._value, *names)

    def repeat(self, runs: int) -> list[CellReport]:
        """Run it `runs` times, each in a window of its own; the reports.

        They are in the history, too. What it raises is raised, and no further run is
        begun. OSError where /proc cannot be read.
        """
        __tracebackhide__ = "__ipython_bottom__"
        reports = []
        for run in range(1, runs + 1):
            error: BaseException | None = None
            label = f"In [{self._number}] run {run} of {runs}"
            window = OpenWindow(label)
            try:
                value = self.run()
            except BaseException as raised:
                error = raised
                raise
            finally:
                report = window.close(label=label, status=status_of(error))
                error = None  # its traceback has this frame: a cycle
                if report is not None:
                    history.append(report)
                    reports.append(report)
            # Only now: what the run made is what it kept.
            del value
        return reports


def _is_silenced(code: str, last: ast.Expr) -> bool:
    """Whether a semicolon follows the last expression, as in a cell of its own."""
    assert last.end_lineno is not None
    assert last.end_col_offset is not None
    after = code.split("\n")[last.end_lineno - 1].encode()[last.end_col_offset :]
    return after.lstrip().startswith(b";")
