"""Which root holds how much: one walk of the heap, with its result by root."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from . import libraries, roots
from .roots import Root, Session

SECONDS = 10.0
"""The time budget of a walk."""


class HeapError(Exception):
    """The heap cannot be walked; the message says why."""


class Holdings(NamedTuple):
    """What was found. Sizes are what the allocator hands out, in bytes."""

    walk: Any
    walls: list[object]
    """Objects that lead to every root and to the libraries."""
    roots: list[Root]
    alone: list[int]
    """By root: what only it holds, and deleting it frees."""
    with_others: list[int]
    """By root: what it holds and others hold too."""
    sets: list[tuple[tuple[int, ...], int]]
    """Indexes of roots, and what exactly these hold; the largest first."""
    garbage_bytes: int | None
    """Held by cycles that await the collector; None: it was not looked for."""
    awaiting: frozenset[int]
    """Roots whose objects such cycles refer to: freeing them takes gc.collect() too."""
    system_bytes: int
    """Objects of modules that are not the user's."""
    partial: str | None
    """Why not everything was walked; None: it was."""

    def path(self, holder: int, target: int, least_bytes: int) -> list[object] | None:
        """How the root `holder` holds something that the root `target` holds.

        A list of objects, each held by the one before it; the last takes at least
        `least_bytes`. None: there is no way, or it was not found in time.
        """
        objects = list(self.roots[holder].objects)
        found: list[object] | None = self.walk.path(
            objects, target, max(least_bytes, 1), SECONDS
        )
        return found


def check_heap() -> None:
    """HeapError if this Python's heap cannot be walked."""
    is_enabled = getattr(sys, "_is_gil_enabled", None)
    if is_enabled is not None and not is_enabled():
        raise HeapError(
            "cannot walk the heap: this Python runs without the GIL, so other threads"
            " would change objects during the walk; use a Python with the GIL"
        )


def measure(
    session: Session, *, seconds: float = SECONDS, garbage: bool = False
) -> Holdings:
    """Walk the heap of this interpreter. HeapError.

    Runs no code of the user's, changes nothing, and stops after `seconds` or at Ctrl-C:
    then `partial` says so.
    """
    check_heap()
    from .. import _heap

    walls = roots.find_walls(session)
    found = roots.find_roots(session, walls)
    walk = _heap.Walk(
        [root.objects for root in found],
        roots.count_expected(found),
        _find_system(session, walls),
        walls,
        libraries.known(),
        libraries.TRUSTED,
        seconds,
        garbage,
    )
    result = walk.result()
    count = len(found)
    alone, with_others = [0] * count, [0] * count
    garbage_bytes = 0
    sets = []
    awaiting: set[int] = set()
    for holders, size, _ in result["sets"]:
        if holders == (count + 1,):
            garbage_bytes = size
            continue
        if holders[-1] == count + 1:
            # What a cycle that awaits the collector holds too does not hold it longer.
            holders = holders[:-1]
            awaiting.update(holders)
        if len(holders) == 1 and holders[0] < count:
            alone[holders[0]] += size
        else:
            for each in holders:
                if each < count:
                    with_others[each] += size
        sets.append((holders, size))
    return Holdings(
        walk=walk,
        walls=walls,
        roots=found,
        alone=alone,
        with_others=with_others,
        sets=sorted(sets, key=lambda each: -each[1]),
        garbage_bytes=garbage_bytes if garbage else None,
        awaiting=frozenset(awaiting),
        system_bytes=result["system_bytes"],
        partial=_reason(result["stopped"], seconds),
    )


def _reason(stopped: str | None, seconds: float) -> str | None:
    if stopped == "time":
        return f"stopped after {seconds:g} s"
    if stopped == "interrupt":
        return "interrupted"
    return None if stopped is None else "out of memory"


def _find_system(session: Session, walls: list[object]) -> list[object]:
    """Where the walk of the libraries starts: their modules, and IPython's shell."""
    own = {id(each) for each in walls}
    found: list[object] = [
        module
        for name, module in list(sys.modules.items())
        if name not in ("__main__", "__mp_main__")
        and id(getattr(module, "__dict__", None)) not in own
    ]
    if session.shell is not None:
        found.append(session.shell)
    return found
