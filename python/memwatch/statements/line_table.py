"""What each line of a cell or a function costs: a table of lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from .. import _core
from .line_row import Line


class LineTable:
    """The lines of one piece of code that have run so far; displays itself.

    >>> table = LineTable("example", {1: "x = bytearray(2**20)"})
    >>> table.measured.begin(); table.measured.enter(1, 1); table.measured.end(1)
    1
    >>> [(each.line, each.count) for each in table]
    [(1, 1)]
    """

    def __init__(self, name: str, source: Mapping[int, str]) -> None:
        self.name = name
        """What the lines are of."""
        self.source = dict(source)
        """The text of each line, by its number."""
        first, last = min(self.source, default=1), max(self.source, default=1)
        self.measured = _core.Lines(first, last)
        """Collects the figures."""

    def __iter__(self) -> Iterator[Line]:
        for line, count, used, peaked, error, duration in self.measured.rows():
            yield Line(
                line, self.source.get(line, ""), count, used, peaked, error, duration
            )

    def to_dicts(self) -> list[dict[str, Any]]:
        """The lines as dicts, by the names of the fields of Line."""
        return [asdict(each) for each in self]

    def __repr__(self) -> str:
        from .tables import lines_text

        return lines_text(self.name, list(self))

    def _repr_html_(self) -> str:
        from .tables import lines_html

        return lines_html(self.name, list(self), self.source)
