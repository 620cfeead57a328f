from typing import TypedDict, final

class Figures(TypedDict, total=False):
    children_count: int | None
    children_pss_bytes: int | None
    children_rss_bytes: int | None
    children_rss_peak_bytes: int | None
    children_missed: int | None
    own_pss_bytes: int | None

@final
class Window:
    def __new__(cls) -> Window: ...
    def close(self) -> Figures | None: ...
    def cancel(self) -> None: ...

def start() -> bool: ...
def audit(event: str, arguments: tuple[object, ...], /) -> None: ...
