from collections.abc import Callable
from typing import Any, TypedDict

Answer = tuple[
    int, tuple[tuple[int, int], ...], tuple[object, ...], tuple[tuple[int, int], ...]
]
Known = tuple[tuple[type, Callable[[Any], Answer | None]], ...]

class Holdings(TypedDict):
    sets: list[tuple[tuple[int, ...], int, int]]
    held: list[object]
    system_bytes: int
    system_objects: int
    many_bytes: int
    objects: int
    table_bytes: int
    failures: int
    stopped: str | None

class Walk:
    def __init__(
        self,
        roots: list[list[object]],
        expected: int,
        system: list[object],
        walls: list[object],
        known: Known,
        trusted: frozenset[str],
        seconds: float,
        unreached: bool = False,
    ) -> None: ...
    def result(self) -> Holdings: ...
    def path(
        self, objects: list[object], holder: int, least_bytes: int, seconds: float
    ) -> list[object] | None: ...
