from typing import TypedDict

class _Memory(TypedDict):
    total_bytes: int
    available_bytes: int

def memory() -> _Memory: ...
def cpu_reader() -> object: ...
