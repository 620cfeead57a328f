"""What each line of a function costs: @memwatch.profile and memwatch.lines()."""

from __future__ import annotations
import __future__

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any, TypeVar, cast

from .instrument import (
    BEGIN,
    END,
    ENTER,
    PAUSE,
    RESUME,
    compile_instrumented,
    instrument_function,
)
from .line_table import LineTable

_NAME = "__memwatch_function__"
_F = TypeVar("_F", bound=Callable[..., Any])
_FUTURES = [
    getattr(__future__, name).compiler_flag for name in __future__.all_feature_names
]


class LinesError(Exception):
    """The lines cannot be measured; the message says why."""


def lines(function: _F) -> _F:
    """A copy of the function that measures its lines; `.lines` has them.

    Peaks are the kernel's high-water mark: nothing that is freed within a line is
    missed. Calls of other functions count for the line that calls. Only calls in the
    thread that called lines() are measured. LinesError: the source is not known.

    >>> def load():
    ...     text = "x" * 2**20
    ...     return len(text)
    >>> measured = lines(load)  # doctest: +SKIP
    >>> measured()  # doctest: +SKIP
    1048576
    >>> measured.lines  # doctest: +SKIP
    """
    original = _plain(function)
    table, code = _instrumented(original)
    measured = FunctionType(
        code,
        original.__globals__,
        original.__name__,
        original.__defaults__,
        original.__closure__,
    )
    measured.__kwdefaults__ = original.__kwdefaults__
    measured.__dict__.update(original.__dict__)
    for name in ("__module__", "__qualname__", "__doc__", "__annotations__"):
        setattr(measured, name, getattr(original, name))
    measured.__dict__.update(__wrapped__=original, lines=table)
    return cast(_F, measured)


def profile(function: _F) -> _F:
    """Decorator: as lines(), and print the table when the program ends.

    >>> @profile  # doctest: +SKIP
    ... def load(): ...
    """
    import atexit

    measured = lines(function)
    atexit.register(_print, measured)
    return measured


def _print(function: Any) -> None:
    if list(function.lines):
        print(function.lines)


@contextmanager
def measuring(function: Any) -> Iterator[LineTable]:
    """While the block runs, the function itself measures its lines. LinesError."""
    original = _plain(function)
    table, code = _instrumented(original)
    kept = original.__code__
    original.__code__ = code
    try:
        yield table
    finally:
        original.__code__ = kept


def _plain(function: Any) -> FunctionType:
    found = inspect.unwrap(getattr(function, "__func__", function))
    if type(found) is not FunctionType:
        raise LinesError(
            f"cannot measure the lines of {function!r}: expected a function in Python"
        )
    return found


def _instrumented(function: FunctionType) -> tuple[LineTable, CodeType]:
    code = function.__code__
    try:
        source, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(source)))
    except (OSError, TypeError, SyntaxError):
        raise LinesError(
            f"cannot measure the lines of {function.__qualname__}(): its source is not"
            " known"
        ) from None
    node = tree.body[0]
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        raise LinesError(
            f"cannot measure the lines of {function.__qualname__}: expected a function"
            " with a name, not a lambda"
        )
    ast.increment_lineno(tree, first - 1)
    text = {first + i: line.rstrip("\n") for i, line in enumerate(source)}
    table = LineTable(f"{function.__qualname__}()", text)
    measured = table.measured
    functions = {
        BEGIN: measured.begin, ENTER: measured.enter, END: measured.end,
        PAUSE: measured.pause, RESUME: measured.resume,
    }  # fmt: skip
    compiled = compile_instrumented(
        _inside_a_function(instrument_function(node), function),
        code.co_filename,
        "exec",
        functions,
        sum(flag for flag in _FUTURES if code.co_flags & flag),
    )
    found = _find(compiled)
    if found is None or found.co_freevars != code.co_freevars:
        raise LinesError(
            f"cannot measure the lines of {function.__qualname__}(): its source has"
            " changed"
        )
    names: dict[str, Any] = {"co_name": code.co_name}
    if sys.version_info >= (3, 11):
        names["co_qualname"] = code.co_qualname
    return table, found.replace(**names)


def _inside_a_function(node: Any, function: FunctionType) -> ast.Module:
    """A module in which the function finds its free variables, and its class."""
    # Another name: its own may be a variable that it uses.
    node.name = _NAME
    body: list[Any] = [node]
    *_, parent = ["", *function.__qualname__.split(".")[:-1]]
    if parent.isidentifier():
        # Names with two underscores are the class's, and super() needs it.
        body = [ast.parse(f"class {parent}: pass").body[0]]
        body[0].body = [node]
    variables = [each for each in function.__code__.co_freevars if each != "__class__"]
    if variables:
        targets: list[ast.expr] = [ast.Name(each, ast.Store()) for each in variables]
        body.insert(0, ast.Assign(targets, ast.Constant(None)))
    outer = ast.parse("def outer():\n pass")
    cast(ast.FunctionDef, outer.body[0]).body = body
    return ast.fix_missing_locations(outer)


def _find(code: CodeType) -> CodeType | None:
    """The code of the function, wherever in `code`."""
    for each in code.co_consts:
        if type(each) is CodeType:
            found = each if each.co_name == _NAME else _find(each)
            if found is not None:
                return found
    return None
