"""The variables of a session by what they hold: ``%memwatch vars``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, overload

from . import bindings, roots
from .holdings import SECONDS, Holdings, measure
from .roots import Session, session_of
from .rows import Variable
from .shapes import shape_of
from .types import type_name


class Variables(Sequence[Variable]):
    """Variables, the largest first; displays itself as a table."""

    def __init__(self, found: Iterable[Variable], partial: str | None) -> None:
        self._found = tuple(found)
        self.partial = partial
        """Why not all memory was looked at; None: it was."""

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Variable]:
        return iter(self._found)

    @overload
    def __getitem__(self, index: int) -> Variable: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Variable]: ...
    def __getitem__(self, index: int | slice) -> Variable | Sequence[Variable]:
        return self._found[index]

    def to_dicts(self) -> list[dict[str, Any]]:
        """The variables as dicts, by the names of the fields of Variable."""
        return [asdict(each) for each in self._found]

    def __repr__(self) -> str:
        from .tables import variables_text

        return variables_text(self._found, self.partial)

    def _repr_html_(self) -> str:
        from .tables import variables_html

        return variables_html(self._found, self.partial)


def variables(
    namespace: dict[str, Any] | None = None, *, seconds: float = SECONDS
) -> Variables:
    """The variables of this session, or of `namespace`, by the memory they hold.

    Sizes are what the allocator hands out. Runs no code of the variables' classes,
    stops after `seconds`, and changes nothing. HeapError if the heap cannot be walked.

    >>> big = bytearray(2**20)
    >>> variables({"big": big})[0].type
    'bytearray'
    """
    session = session_of(namespace=namespace)
    holdings = measure(session, seconds=seconds)
    kinds = ("variable", "output", "frame") if namespace is None else ("variable",)
    return _variables(session, holdings, kinds)


def _variables(session: Session, holdings: Holdings, kinds: Sequence[str]) -> Variables:
    chosen = [i for i, each in enumerate(holdings.roots) if each.kind in kinds]
    cells = _cells(session, [holdings.roots[i].names[0] for i in chosen])
    found = [_variable(holdings, i, cells) for i in chosen]
    found.sort(key=lambda each: (-each.alone_bytes - each.with_others_bytes, each.name))
    return Variables(found, holdings.partial)


def _variable(holdings: Holdings, i: int, cells: dict[str, int]) -> Variable:
    root = holdings.roots[i]
    name, *also = root.names
    value = root.objects[0]
    return Variable(
        name=name,
        also=tuple(also),
        type=type_name(value),
        shape=shape_of(value),
        alone_bytes=holdings.alone[i],
        with_others_bytes=holdings.with_others[i],
        cell=cells.get(name),
        command=root.command,
    )


def _cells(session: Session, names: list[str]) -> dict[str, int]:
    manager = getattr(session.shell, "history_manager", None)
    sources = list(getattr(manager, "input_hist_parsed", ()))
    found = bindings.cells_of(
        [each for each in names if not roots.is_session_name(each)], sources
    )
    for name in names:
        number = name.removeprefix("Out[").removesuffix("]")
        if number != name and number.isdecimal():
            found[name] = int(number)
    return found
