"""What the process's memory is made of, and what frees it: ``%memwatch why``."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .. import _core
from ..display.units import size
from ..state import keep
from . import tables
from .holdings import SECONDS, HeapError, Holdings, measure
from .paths import describe_path
from .roots import Root, Session, session_of
from .rows import Row
from .shapes import shape_of
from .types import home_of, is_a, is_exactly, type_name

_LEAST_BYTES = 2**20
"""What is smaller has no row of its own."""
_MOST_ROWS = 20
_MOST_PATHS = 5
_MOST_IN_CYCLE = 10_000
"""Objects that are followed to find a cycle."""
_VIEW = 2
"""A view is worth a copy if it holds so many times its own size."""

start: dict[str, int | None] = keep("memory at load", dict)
"""The memory of this process when memwatch was loaded; empty: it was not."""


@dataclass(frozen=True)
class Explanation:
    """Rows, the largest first, between a title and a summary; displays itself."""

    title: str
    rows: tuple[Row, ...]
    summary: str
    partial: str | None

    def __repr__(self) -> str:
        return tables.explanation_text(
            self.title, self.rows, self.summary, self.partial
        )

    def _repr_html_(self) -> str:
        return tables.explanation_html(
            self.title, self.rows, self.summary, self.partial
        )


def why(
    name: str | None = None,
    *,
    shell: Any = None,
    namespace: dict[str, Any] | None = None,
    seconds: float = SECONDS,
) -> Explanation:
    """What holds this process's memory and what frees it, or what `name` holds.

    `name` is a variable or a result such as "Out[3]", of `shell` or of `namespace`;
    see session_of() for the default. HeapError: the heap cannot be walked, or there
    is no such name.

    >>> why("big", namespace={"big": bytearray(2**20)}).rows[0].command
    'del big'
    """
    session = session_of(shell, namespace)
    if name is None:
        return explain(session, seconds=seconds)
    return explain_name(session, name, seconds=seconds)


# ---- all of it ----


def explain(session: Session, *, seconds: float = SECONDS) -> Explanation:
    """RSS now, from the largest part to the smallest. HeapError."""
    memory = _core.memory()
    malloc = _core.malloc_stats()
    holdings = measure(session, seconds=seconds, garbage=True)
    rows = list(_held(holdings))
    if holdings.garbage_bytes:
        rows.append(
            Row(holdings.garbage_bytes, "cycles that nothing holds", "gc.collect()")
        )
    if malloc is not None:
        retained = malloc["retained_bytes"]
        rows.append(Row(retained, "free memory that malloc keeps", "%memwatch trim"))
    named = sum(row.size_bytes for row in rows)
    rows = [row for row in rows if row.size_bytes >= _LEAST_BYTES]
    rows.sort(key=lambda row: -row.size_bytes)
    small = named - sum(row.size_bytes for row in rows[:_MOST_ROWS])
    rows = rows[:_MOST_ROWS]
    if small >= _LEAST_BYTES:
        rows.append(Row(small, "smaller variables and results", ""))
    rss, file = memory["rss_bytes"], memory["file_bytes"] or 0
    rows.append(Row(holdings.system_bytes, "objects of libraries and IPython", ""))
    rows.append(Row(file, "code and files that are mapped", ""))
    rest = (rss or 0) - named - holdings.system_bytes - file
    if rest >= _LEAST_BYTES:
        rows.append(
            Row(rest, "the rest: C memory of libraries, free memory of Python", "")
        )
    return Explanation(
        title=tables.growth(rss, start.get("rss_bytes")),
        rows=tuple(rows),
        summary=_summary(rss, named, file),
        partial=holdings.partial,
    )


def _summary(rss: int | None, named: int, file: int) -> str:
    begin = start.get("rss_bytes")
    if rss is None or begin is None:
        return "the growth is unknown: memwatch was not loaded at the start"
    growth = rss - begin
    if growth < _LEAST_BYTES:
        return "the session has hardly grown"
    known = named + max(0, file - (start.get("file_bytes") or file))
    share = min(100, 100 * known // growth)
    if share >= 90:
        return f"accounted for: {share} % of the growth"
    return (
        f"accounted for: {share} % of the growth; the other {size(growth - known)} are"
        " imported\nlibraries and free memory inside Python, which no name holds"
    )


def _held(holdings: Holdings) -> Iterator[Row]:
    """A row for each set of roots that holds memory."""
    for holders, held in holdings.sets:
        known = [each for each in holders if each < len(holdings.roots)]
        if not known:
            continue  # objects of libraries that no root holds
        if held < _LEAST_BYTES:
            yield Row(held, "", "")
            continue
        where, what = _describe(holdings, known[0], held)
        names = [where, *(holdings.roots[each].names[0] for each in known[1:])]
        if len(known) < len(holders):
            names.append("a library")
        yield Row(held, f"{_and(names)}: {what}", _commands(holdings, known, held))


def _and(names: list[str]) -> str:
    if len(names) > 4:
        names = [*names[:3], f"{len(names) - 3} others"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _describe(holdings: Holdings, index: int, held: int) -> tuple[str, str]:
    """The names of a root with the way to most of its memory, and what that is."""
    root = holdings.roots[index]
    name = where = root.names[0]
    path = holdings.path(index, index, held // 2)
    if path is not None and root.kind not in ("frame", "thread"):
        where = describe_path(name, path)
        if root.kind == "exception":
            where = _in_frame(path) or where
    others = []
    if root.kind != "exception":
        others = [each for each in root.names[1:] if "user_ns_hidden" not in each]
    also = f" (also {', '.join(others[:4])})" if others else ""
    value = path[-1] if path and where != name else root.objects[0]
    return f"{where}{also}", shape_of(value) or type_name(value)


def _in_frame(path: list[object]) -> str | None:
    """The last frame and its variable on the way from an exception."""
    from types import FrameType

    for place in range(len(path) - 2, -1, -1):
        frame = path[place]
        if type(frame) is FrameType:
            name = describe_path("", path[place:]).removeprefix(" > ")
            return f"{name}, of the last exception" if name else None
    return None


def _commands(holdings: Holdings, known: list[int], held: int) -> str:
    """What makes all these roots let go of so much; "": nothing that can be typed."""
    chosen = [holdings.roots[each] for each in known]
    commands = [_command(root, held) for root in chosen]
    if not all(commands):
        return ""
    if not holdings.awaiting.isdisjoint(known) or any(
        _is_in_cycle(root, holdings.walls) for root in chosen
    ):
        commands.append("import gc; gc.collect()")
    return "; ".join(dict.fromkeys(commands))


def _is_in_cycle(root: Root, walls: list[object]) -> bool:
    """Whether an object of the root leads back to itself, so that only gc frees it."""
    wanted = {id(each) for each in root.objects}
    seen = {id(each) for each in walls}
    todo = list(root.objects)
    while todo and len(seen) < _MOST_IN_CYCLE:
        for each in gc.get_referents(todo.pop()):
            if id(each) in wanted:
                return True
            if id(each) not in seen and home_of(each) is None and gc.is_tracked(each):
                seen.add(id(each))
                todo.append(each)
    return False


def _command(root: Root, held: int) -> str:
    """What makes the root let go of so much."""
    name, value = root.names[0], root.objects[0]
    if root.kind == "variable" and len(root.names) == 1:
        if type_name(value) == "_lru_cache_wrapper":
            return f"{name}.cache_clear()"
        if _is_view(value, held):
            return f"{name} = {name}.copy()"
    return root.command


def _is_view(value: Any, held: int) -> bool:
    """Whether it is an array or table that is a small part of what it holds."""
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy is not None and is_a(value, numpy.ndarray):
        own: int = numpy.ndarray.nbytes.__get__(value)
        return own * _VIEW < held and numpy.ndarray.base.__get__(value) is not None
    if pandas is not None and is_exactly(value, pandas.DataFrame, pandas.Series):
        used: Any = value.memory_usage(index=False)
        own = int(used if type(value) is pandas.Series else used.sum())
        return own * _VIEW < held
    return False


# ---- one name ----


def explain_name(
    session: Session, name: str, *, seconds: float = SECONDS
) -> Explanation:
    """What `name` holds, who else holds that, and how. HeapError."""
    holdings = measure(session, seconds=seconds)
    index = next(
        (i for i, root in enumerate(holdings.roots) if name in root.names), None
    )
    if index is None:
        raise HeapError(
            f"no variable '{name}' that holds memory: expected a name of this session"
            " or a result, Out[N]"
        )
    root = holdings.roots[index]
    value = root.objects[0]
    alone, shared = holdings.alone[index], holdings.with_others[index]
    rows = [Row(alone, "held by it alone", _command(root, alone))]
    asked: set[int] = set()
    for holders, held in holdings.sets:
        if index not in holders or len(holders) == 1:
            continue
        for other in holders:
            if other != index and other not in asked and len(asked) < _MOST_PATHS:
                asked.add(other)
                rows.append(_holder(holdings, index, other, held))
    what = shape_of(value) or type_name(value)
    names = " = ".join(root.names)
    return Explanation(
        title=f"{names}: {what}",
        rows=tuple(rows),
        summary=f"{size(alone)} alone, {size(shared)} held by others too",
        partial=holdings.partial,
    )


def _holder(holdings: Holdings, index: int, other: int, held: int) -> Row:
    """The row of another root that holds a part of what a root holds."""
    if other >= len(holdings.roots):
        return Row(held, "held by libraries too", "")
    holder = holdings.roots[other]
    path = holdings.path(other, index, held // 2) or holdings.path(other, index, 1)
    way = holder.names[0] if path is None else describe_path(holder.names[0], path)
    return Row(held, f"held by {way} too", _command(holder, held))
