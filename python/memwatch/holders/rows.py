"""The rows of the tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Variable:
    """One value that variables, or ``Out``, hold."""

    name: str
    also: tuple[str, ...]
    """Other names of the same value."""
    type: str
    shape: str
    """In a few words; "": nothing to say beyond the type."""
    alone_bytes: int
    """What nothing else holds: deleting all its names frees it."""
    with_others_bytes: int
    """What other variables, frames or libraries hold too."""
    cell: int | None
    """The cell that bound the name; None: unknown."""
    command: str
    """What deletes all its names."""


class Row(NamedTuple):
    """One part of the process's memory."""

    size_bytes: int
    what: str
    command: str
    """What frees it; "": nothing that could be typed."""
