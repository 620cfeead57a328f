"""A table of lines for each cell, while c.MemWatch.statements is on.

IPython runs the statements of a cell one by one; what is inside a loop, a ``with`` or
an ``if`` gets calls by an AST transformer.
"""

from __future__ import annotations

import ast
import builtins
from types import CodeType
from typing import Any

from .current_line import line_of
from .instrument import Instrument
from .line_table import LineTable

_HOOK = "__memwatch_line__"
"""In builtins: whatever compiles the transformed code finds it."""


class Recorder(ast.NodeTransformer):
    """Measures the lines of the cells of one shell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._cell: object = None
        self._table: LineTable | None = None
        self._is_block = False

    def install(self) -> None:
        """Transform the cells of the shell from now on."""
        setattr(builtins, _HOOK, self._enter_line)
        self._shell.ast_transformers.append(self)

    def remove(self) -> None:
        """Stop. Code that was transformed still runs."""
        if self in self._shell.ast_transformers:
            self._shell.ast_transformers.remove(self)
        self._table = None
        setattr(builtins, _HOOK, _do_nothing)

    def visit(self, node: ast.AST) -> ast.AST:
        """Put calls into the blocks of a cell's statements."""
        if not isinstance(node, ast.Module):
            return node

        def enter(line: int) -> ast.expr:
            name = ast.Name(_HOOK, ast.Load())
            return ast.Call(func=name, args=[ast.Constant(line)], keywords=[])

        instrument = Instrument(enter)
        for each in node.body:
            instrument.visit(each)
        return ast.fix_missing_locations(node)

    def enter(self, cell: object, name: str, source: str, code: CodeType) -> None:
        """A statement of the cell begins."""
        if cell is not self._cell or self._table is None:
            lines = source.splitlines() or [""]
            self._cell = cell
            self._table = LineTable(name, dict(enumerate(lines, 1)))
            self._table.measured.begin()
        # Code that the statement runs by a magic, such as %%time, has other lines.
        self._is_block = _HOOK in code.co_names
        self._table.measured.enter(1, line_of(code))

    def finish(self, cell: object) -> LineTable | None:
        """The cell's statements have ended; the table of its lines."""
        if cell is not self._cell or self._table is None:
            return None
        table, self._table, self._cell = self._table, None, None
        table.measured.end(1)
        return table

    def _enter_line(self, line: int) -> None:
        if self._table is not None and self._is_block:
            self._table.measured.enter(1, line)


def _do_nothing(line: int) -> None:
    pass
