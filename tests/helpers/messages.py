"""Messages as memwatch publishes them, and publishers of them."""

from __future__ import annotations

import json
import time
from typing import Any

from memwatch.top.messages import Kind, Message, read_message
from memwatch.top.processes import Process

SECOND = 10**9


def message(kind: str = "sample", **values: Any) -> dict[str, Any]:
    """One, complete; `values` go into it, those of ``cell`` into that."""
    cell = {
        "number": 3,
        "label": "In [4]",
        "execution_count": 4,
        "cell_id": None,
        "source": "x = 1",
        "started_at": "2026-11-22T12:00:00.000Z",
        "running_ns": 2_000_000_000,
        "rss_start_bytes": 100 * 2**20,
        "rss_peak_bytes": 300 * 2**20,
    }
    given = values.pop("cell", {})
    return {
        "schema": 1,
        "kind": kind,
        "kernel_id": "kernel",
        "host": "box",
        "user": "somebody",
        "pid": 123,
        "notebook": "/home/somebody/a.ipynb",
        "message": 1,
        "dropped": 0,
        "interval_ns": 100_000_000,
        "sampled_at": "2026-11-22T12:00:02.000Z",
        "t_mono_ns": 5,
        "rss_bytes": 200 * 2**20,
        "lifetime_peak_bytes": 400 * 2**20,
        "limit_bytes": 1000 * 2**20,
        "limit_set_by": "cgroup",
        "limit_group": "/user.slice",
        "cell": None if given is None else cell | given,
        **values,
    }


def frames(value: dict[str, Any]) -> list[bytes]:
    """Its two frames."""
    topic = f"memwatch.{value['kind']}.{value['kernel_id']}"
    return [topic.encode(), json.dumps(value).encode()]


def until(look: Any, timeout_s: float = 60) -> Any:
    """What `look` returns as soon as that is true."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"not true after {timeout_s} s"
        time.sleep(0.01)
    return found


def read(
    value: dict[str, Any], kind: Kind | None = None, kernel_id: str = "kernel"
) -> Message:
    """The message as a collector reads it."""
    return read_message(kind or value["kind"], kernel_id, json.dumps(value).encode())


def process(now_ns: int = SECOND, **values: Any) -> Process:
    """The process that such a message is about."""
    value = message(**values)
    seen = Process("stream", value["kernel_id"], value["pid"])
    seen.see_message(read(value, kernel_id=value["kernel_id"]), now_ns)
    return seen
