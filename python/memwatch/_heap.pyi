from typing import TypedDict

class _Allocator(TypedDict):
    retained_bytes: int
    duration_ns: int

def allocator() -> _Allocator | None: ...
