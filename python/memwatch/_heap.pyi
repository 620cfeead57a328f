from collections.abc import Callable
from typing import Any, TypedDict

Answer = tuple[
    int, tuple[tuple[int, int], ...], tuple[object, ...], tuple[tuple[int, int], ...]
]
Known = tuple[tuple[type, Callable[[Any], Answer | None]], ...]

class Holdings(TypedDict):
    sets: list[tuple[tuple[int, ...], int, int]]
    system_bytes: int
    system_objects: int
    many_bytes: int
    objects: int
    table_bytes: int
    failures: int
    stopped: str | None

def measure(
    roots: list[list[object]],
    system: list[object],
    walls: list[object],
    known: Known,
    trusted: frozenset[str],
    seconds: float,
    unreached: bool = False,
) -> Holdings: ...
def path(
    holder: list[object],
    roots: list[list[object]],
    system: list[object],
    walls: list[object],
    known: Known,
    trusted: frozenset[str],
    seconds: float,
    least_bytes: int,
) -> list[object] | None: ...
