"""Puts a call before each line of code, so that each line can be measured.

Functions and classes that the code defines are not entered: their lines are their own.
A loop, a ``with`` or an ``if`` has a row for its first line, which stands for what it
evaluates itself, and one for each line in it.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import CodeType
from typing import Any

ENTER, BEGIN, END = b"memwatch: enter", b"memwatch: begin", b"memwatch: end"
PAUSE, RESUME = b"memwatch: pause", b"memwatch: resume"
"""Constants that take the place of functions until the code is compiled."""
RUN = "__memwatch_run__"
"""The variable of a function that has the number of its run."""

Call = Callable[[int], ast.expr]
"""Makes the call for a line; a negative one goes on and does not count."""


def call(function: bytes, *arguments: ast.expr) -> ast.expr:
    """A call of the function that will be put in the place of a constant."""
    return ast.Call(func=ast.Constant(function), args=list(arguments), keywords=[])


class Instrument(ast.NodeTransformer):
    """Puts the calls that `enter` makes before the lines of statements."""

    def __init__(self, enter: Call) -> None:
        self._enter = enter
        self._headers: list[int] = []  # lines of the loops around

    def body(self, statements: list[Any], after: int | None = None) -> list[ast.stmt]:
        """The statements with calls; one for the line `after` at the end."""
        found: list[ast.stmt] = []
        for each in statements:
            line = _first_line(each)
            found.append(self._call(line, each))
            if isinstance(each, ast.Continue) and self._headers:
                found.append(self._call(self._headers[-1], each))
            found.append(self.visit(each))
        if after is not None:
            found.append(self._call(after, statements[-1]))
        return found

    def _call(self, line: int, beside: ast.stmt) -> ast.stmt:
        statement = ast.Expr(self._enter(line))
        for node in ast.walk(statement):
            ast.copy_location(node, beside)
        return statement

    def _visit_loop(self, node: Any) -> Any:
        self._headers.append(node.lineno)
        node.body = self.body(node.body, after=node.lineno)
        self._headers.pop()
        node.orelse = self.body(node.orelse)
        return node

    visit_For = _visit_loop  # noqa: N815
    visit_AsyncFor = _visit_loop  # noqa: N815
    visit_While = _visit_loop  # noqa: N815

    def _visit_with(self, node: Any) -> Any:
        # Its end, __exit__(), belongs to its first line.
        node.body = self.body(node.body, after=-node.lineno)
        return node

    visit_With = _visit_with  # noqa: N815
    visit_AsyncWith = _visit_with  # noqa: N815

    def _visit_if(self, node: Any) -> Any:
        # "elif" is an "if" in the else: its line is its own.
        node.body = self.body(node.body)
        node.orelse = self.body(node.orelse)
        return node

    visit_If = _visit_if  # noqa: N815

    def _visit_try(self, node: Any) -> Any:
        node.body = self.body(node.body)
        for handler in node.handlers:
            handler.body = self.body(handler.body)
        node.orelse = self.body(node.orelse)
        node.finalbody = self.body(node.finalbody)
        return node

    visit_Try = _visit_try  # noqa: N815
    visit_TryStar = _visit_try  # noqa: N815

    def _visit_match(self, node: Any) -> Any:
        for case in node.cases:
            case.body = self.body(case.body)
        return node

    visit_Match = _visit_match  # noqa: N815

    def generic_visit(self, node: ast.AST) -> ast.AST:
        # Expressions, and functions and classes, stay as they are.
        return node


class _Yields(ast.NodeTransformer):
    """Ends the measuring of a generator's line while it is suspended."""

    def visit_Yield(self, node: ast.Yield) -> ast.expr:
        self.generic_visit(node)
        run = ast.Name(RUN, ast.Load())
        value = ast.Constant(None) if node.value is None else node.value
        node.value = call(PAUSE, run, value)
        return call(RESUME, run, ast.Constant(node.lineno), node)

    def _stay(self, node: Any) -> Any:
        return node

    # Their yields are not the function's.
    visit_FunctionDef = _stay  # noqa: N815
    visit_AsyncFunctionDef = _stay  # noqa: N815
    visit_Lambda = _stay  # noqa: N815
    visit_GeneratorExp = _stay  # noqa: N815
    visit_ClassDef = _stay  # noqa: N815


def _first_line(statement: ast.stmt) -> int:
    decorators: list[Any] = getattr(statement, "decorator_list", [])
    lines: list[int] = [statement.lineno, *(each.lineno for each in decorators)]
    return min(lines)


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _split(statements: list[ast.stmt]) -> tuple[list[ast.stmt], list[ast.stmt]]:
    """A docstring and imports of __future__, which must stay first, and the rest."""
    count = 0
    for statement in statements:
        if not (_is_future(statement) or (count == 0 and _is_text(statement))):
            break
        count += 1
    return statements[:count], statements[count:]


def instrument_module(tree: ast.Module, offset: int) -> ast.Module:
    """The code of a cell with calls of ENTER(1, line + offset)."""

    def enter(line: int) -> ast.expr:
        number = line + offset if line > 0 else line - offset
        return call(ENTER, ast.Constant(1), ast.Constant(number))

    instrument = Instrument(enter)
    first, rest = _split(tree.body)
    if rest:
        tree.body = [*first, *instrument.body(rest)]
    return ast.fix_missing_locations(tree)


def instrument_function(node: Any) -> Any:
    """A function's definition with calls; its lines are those of its file."""
    first, rest = _split(node.body)
    if not rest:
        first, rest = [], node.body
    rest = [_Yields().visit(each) for each in rest]
    run = ast.Name(RUN, ast.Load())
    instrument = Instrument(lambda line: call(ENTER, run, ast.Constant(line)))
    begin = ast.Assign([ast.Name(RUN, ast.Store())], call(BEGIN))
    end = ast.Expr(call(END, run))
    measured = ast.Try(
        body=instrument.body(rest), handlers=[], orelse=[], finalbody=[end]
    )
    placed: list[ast.stmt] = [begin, end, measured]
    for each in placed:
        ast.copy_location(each, rest[0])
    node.body = [*first, begin, measured]
    node.decorator_list = []
    return ast.fix_missing_locations(node)


def compile_instrumented(
    tree: Any, file: str, mode: str, functions: Mapping[bytes, Any], flags: int = 0
) -> CodeType:
    """Compile code with the functions in the places of their constants."""
    with no_warning_of_calls():
        code: CodeType = compile(tree, file, mode, flags, dont_inherit=True)
    return put_functions(code, functions)


@contextmanager
def no_warning_of_calls() -> Iterator[None]:
    """Do not warn that a constant cannot be called: it will not be one."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'bytes' object is not callable")
        yield


def put_functions(code: CodeType, functions: Mapping[bytes, Any]) -> CodeType:
    """The code with the functions in the places of their constants, also inside it."""
    return code.replace(co_consts=tuple(_put(code.co_consts, functions)))


def _put(constants: Iterable[Any], functions: Mapping[bytes, Any]) -> Iterable[Any]:
    for each in constants:
        if type(each) is bytes and each in functions:
            yield functions[each]
        elif type(each) is CodeType:
            yield put_functions(each, functions)
        else:
            yield each
