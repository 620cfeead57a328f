"""The body of a cell magic, run as a cell is, once or several times."""

from __future__ import annotations

import ast
from types import CodeType
from typing import Any

from ..measure.window import OpenWindow, history, status_of
from ..report import CellReport


class CellBody:
    """The compiled body of a cell magic of `shell`. SyntaxError if it is not Python.

    Magics work in it, as in %%time; ``await`` outside of a function does not.
    """

    def __init__(self, shell: Any, text: str) -> None:
        self._shell = shell
        code = shell.transform_cell(text)
        self._number = int(shell.displayhook.prompt_count)
        # A traceback finds the source by that name.
        name = shell.compile.cache(code, self._number, raw_code=text)
        tree = shell.transform_ast(shell.compile.ast_parse(code, filename=name))
        self._value: CodeType | None = None
        last = tree.body[-1] if tree.body else None
        if isinstance(last, ast.Expr) and not _is_silenced(code, last):
            tree.body.pop()
            self._value = shell.compile(ast.Expression(last.value), name, "eval")
        self._statements: CodeType = shell.compile(tree, name, "exec")

    def run(self) -> Any:
        """Run it; the value of its last line if that is an expression, else None.

        Its exceptions are not caught.
        """
        # IPython starts a traceback below this frame: with the user's own lines.
        __tracebackhide__ = "__ipython_bottom__"
        names = (self._shell.user_global_ns, self._shell.user_ns)
        exec(self._statements, *names)
        return None if self._value is None else eval(self._value, *names)

    def repeat(self, runs: int) -> list[CellReport]:
        """Run it `runs` times, each in a window of its own; the reports.

        The reports are also in the history. An exception ends the repetition. OSError
        if /proc cannot be read.
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
                error = None  # its traceback refers to this frame: a cycle
                if report is not None:
                    history.append(report)
                    reports.append(report)
            # After the window: the value counts as kept.
            del value
        return reports


def _is_silenced(code: str, last: ast.Expr) -> bool:
    """Whether a semicolon follows the last expression, as in a cell of its own."""
    assert last.end_lineno is not None
    assert last.end_col_offset is not None
    after = code.split("\n")[last.end_lineno - 1].encode()[last.end_col_offset :]
    return after.lstrip().startswith(b";")
