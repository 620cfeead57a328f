"""Messages as memwatch publishes them."""

from __future__ import annotations

import json
from typing import Any

from memwatch.top.messages import Kind, Message, read_message
from memwatch.top.processes import Process

SECOND = 10**9
"""Nanoseconds."""


def message(kind: str = "sample", **values: Any) -> dict[str, Any]:
    """A complete message with `values` in it, and those of ``cell`` in its cell."""
    cell = {
        "number": 3,
        "label": "In [4]",
        "execution_count": 4,
        "cell_id": None,
        "source": "x = 1",
        "started_at": "2026-11-22T12:00:00.000Z",
        "duration_ns": 2_000_000_000,
        "rss_start_bytes": 100 * 2**20,
        "rss_peak_bytes": 300 * 2**20,
    }
    given = values.pop("cell", {})
    return {
        "schema": 2,
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
    """The two frames of a message."""
    topic = f"memwatch.{value['kind']}.{value['kernel_id']}"
    return [topic.encode(), json.dumps(value).encode()]


def read(
    value: dict[str, Any], kind: Kind | None = None, kernel_id: str = "kernel"
) -> Message:
    """The message as the collector reads it."""
    return read_message(kind or value["kind"], kernel_id, json.dumps(value).encode())


def process(now_ns: int = SECOND, **values: Any) -> Process:
    """A process that has sent one message, received at `now_ns`."""
    value = message(**values)
    found = Process("stream", value["kernel_id"], value["pid"])
    found.update_from_message(read(value, kernel_id=value["kernel_id"]), now_ns)
    return found
