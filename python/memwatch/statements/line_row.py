"""A row of a table of lines."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A line and its runs."""

    line: int
    source: str
    count: int
    """How often it ran."""
    used_bytes: int | None
    """What all its runs kept, in sum; None: unknown."""
    peaked_bytes: int | None
    """The highest peak of a run above what the process held at that run's end."""
    peak_error_bytes: int | None
    """How far that peak may be off; see CellReport."""
    duration_ns: int
    """How long all its runs took, in sum."""
