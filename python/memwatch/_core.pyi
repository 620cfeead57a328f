import os
from collections.abc import Sequence
from typing import Any, TypedDict, final

END_FIGURES: tuple[str, ...]
"""The figures of a window that are read at its end, besides rss_end_bytes."""

class _Accuracy(TypedDict):
    exact: bool
    hwm_resets: bool
    hwm_error: str | None
    bound_bytes: int

class _Memory(TypedDict):
    rss_bytes: int
    anon_bytes: int | None
    file_bytes: int | None
    shmem_bytes: int | None
    swap_bytes: int | None

class _OwnMemory(_Memory):
    lifetime_peak_bytes: int | None

class _Sampler(TypedDict):
    samples: int
    missed: int
    open_windows: int
    running: bool
    parked: bool

class _Cgroup(TypedDict):
    limit_bytes: int | None
    group: str | None
    oom_kills: int | None

class _MallocStats(TypedDict):
    retained_bytes: int
    in_use_bytes: int
    duration_ns: int

class _ChildProbe(TypedDict):
    rss_error: str | None
    pss_error: str | None
    hwm_error: str | None
    seize_error: str | None
    last_hwm_error: str | None

class BlackBoxError(ValueError): ...

class _Recording(TypedDict):
    path: str
    copy_error: str | None

@final
class Window:
    def __new__(
        cls,
        label: object = None,
        execution_count: int | None = None,
        cell_id: object = None,
        source: object = None,
    ) -> Window: ...
    def close(
        self,
        status: str | None = None,
        previous_rss_end_bytes: int | None = None,
        /,
    ) -> tuple[dict[str, Any], bytes, bytes] | None: ...
    def close_at_last_sample(self) -> tuple[dict[str, Any], bytes, bytes] | None: ...
    def cancel(self) -> None: ...
    def set_line(self, line: int, /) -> None: ...
    def follow(self, code: object, /) -> None: ...
    def line_event(self, code: object, line: int, /) -> Any: ...
    @property
    def thread_error(self) -> str | None: ...

class Lines:
    def __new__(cls, first: int, last: int) -> Lines: ...
    def begin(self) -> int: ...
    def enter(self, run: int, line: int, /) -> None: ...
    def end(self, run: int, /) -> None: ...
    def pause(self, run: int, value: Any, /) -> Any: ...
    def resume(self, run: int, line: int, value: Any, /) -> Any: ...
    def rows(
        self,
    ) -> list[tuple[int, int, int | None, int | None, int | None, int]]: ...

class _ProcessMemory(_Memory):
    hwm_bytes: int | None

@final
class Process:
    def __new__(cls, pid: int) -> Process: ...
    def window(self) -> Window: ...
    def memory(self) -> _ProcessMemory: ...

class _CommandFigures(TypedDict):
    exec_errno: int
    wait_status: int
    duration_ns: int
    user_ns: int
    system_ns: int
    peak_bytes: int | None
    end_bytes: int | None
    largest_peak_bytes: int | None
    largest_pid: int
    largest_name: str | None
    started: int | None
    alive: int | None
    unknown_bytes: int | None

@final
class Command:
    def __new__(
        cls,
        argv: Sequence[str | os.PathLike[str]],
        trace: bool = True,
        streams: tuple[int, int, int] = (0, 1, 2),
    ) -> Command: ...
    def run(self) -> _CommandFigures: ...
    @property
    def pid(self) -> int: ...
    @property
    def trace_error(self) -> str | None: ...

def accuracy() -> _Accuracy: ...
def memory() -> _OwnMemory: ...
def sampler() -> _Sampler: ...
def cgroup() -> _Cgroup: ...
def cgroup_folder() -> tuple[str, int]: ...
def set_attributes(instance: object, values: dict[str, object], /) -> None: ...
def set_cpu_reader(reader: object | None, /) -> None: ...
def start_recording(
    path: str | os.PathLike[str] | None,
    /,
    user: str | None = None,
    kernel_id: str | None = None,
    notebook: str | None = None,
    limit_bytes: int | None = None,
    limit_set_by: str | None = None,
    limit_group: str | None = None,
    copy: str | os.PathLike[str] | None = None,
) -> None: ...
def stop_recording() -> None: ...
def recording() -> _Recording | None: ...
def has_lost_recording() -> bool: ...
def read_blackbox(
    path: str | os.PathLike[str], next_sample: int = 0, current_only: bool = False, /
) -> tuple[dict[str, Any], bytes, bytes]: ...
def make_folder(path: str | os.PathLike[str], /) -> None: ...
def is_mappable(folder: str | os.PathLike[str], /) -> bool: ...
def start_ticks(pid: int | None, /) -> int | None: ...
def rss_bytes(pid: int | None, /) -> int | None: ...
def oom_kills(file: str, /) -> int | None: ...
def malloc_stats() -> _MallocStats | None: ...
def malloc_trim() -> bool: ...
def probe_child() -> _ChildProbe: ...
