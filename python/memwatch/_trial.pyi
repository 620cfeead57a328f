from typing import TypedDict

class _Child(TypedDict):
    rss_error: str | None
    pss_error: str | None
    mark_error: str | None
    seize_error: str | None
    last_mark_error: str | None

def child() -> _Child: ...
