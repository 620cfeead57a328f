from collections.abc import Sequence
from typing import TypedDict, final

class _Memory(TypedDict):
    total_bytes: int
    available_bytes: int

class ChildrenFigures(TypedDict, total=False):
    children_count: int | None
    children_pss_bytes: int | None
    children_rss_bytes: int | None
    children_count_peak: int | None
    children_rss_peak_bytes: int | None
    children_pss_peak_bytes: int | None
    tree_pss_peak_bytes: int | None
    children_missed: int | None
    own_pss_bytes: int | None

@final
class ChildrenWindow:
    def __new__(cls, pids: Sequence[int] = ..., /) -> ChildrenWindow: ...
    def close(self) -> ChildrenFigures | None: ...
    def cancel(self) -> None: ...

def machine_memory() -> _Memory: ...
def cpu_reader() -> object: ...
def start_children() -> bool: ...
def count_started_children(event: str, arguments: tuple[object, ...], /) -> None: ...
