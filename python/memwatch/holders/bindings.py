"""Which cell bound a name: the last one whose code assigns it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence


def cells_of(names: Iterable[str], sources: Sequence[str]) -> dict[str, int]:
    """The number of the cell that last bound each name; absent: none did.

    `sources` are the transformed cells by number, as In has them.

    >>> cells_of(["x", "y"], ["", "x = 1", "for x in a: pass"])
    {'x': 2}
    """
    wanted = set(names)
    found: dict[str, int] = {}
    for number in range(len(sources) - 1, 0, -1):
        if len(found) == len(wanted):
            break
        for name in _bound(sources[number]) & wanted:
            found.setdefault(name, number)
    return found


def _bound(source: str) -> set[str]:
    """The global names that the code binds."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    names: set[str] = set()
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
            continue  # its variables are its own
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition(".")[0])
        todo.extend(ast.iter_child_nodes(node))
    return names
