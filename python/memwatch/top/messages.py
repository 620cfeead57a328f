"""What comes over ZeroMQ, looked at before it is believed. Pure.

A message may be anybody's: each value is of its type and in its range, or the whole
message is refused; texts are cut off and made printable, for a terminal would obey what
they hold of control characters.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from ..display.lines import printable

__all__ = [
    "MAX_BODY_BYTES",
    "Cell",
    "Kind",
    "Message",
    "MessageError",
    "printable",
    "read_message",
    "read_topic",
]

Kind = Literal["sample", "open", "close", "bye"]

MAX_BODY_BYTES = 8 * 1024
"""No message of schema 1 is longer."""
_MAX_INTEGER = 2**63 - 1
_MAX_TOPIC_BYTES = 160
_MAX_NAME = 136
_MAX_SHORT = 64
_MAX_PATH = 512
_MAX_SOURCE = 120
_MAX_TIME = 40

_KINDS: dict[str, Kind] = {
    "sample": "sample",
    "open": "open",
    "close": "close",
    "bye": "bye",
}


class MessageError(ValueError):
    """No message of ours; says why."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell, or block: the open one, or the one that has closed. None is unknown."""

    number: int | None
    label: str | None
    execution_count: int | None
    cell_id: str | None
    source: str | None
    started_at: str | None
    running_ns: int | None
    """When it was told; when it has closed, how long it took."""
    rss_start_bytes: int | None
    rss_peak_bytes: int | None
    used_bytes: int | None = None
    """Known when it has closed; negative where it gave memory back."""
    status: str | None = None
    """How it ended; None while it is open."""


@dataclass(frozen=True, slots=True)
class Message:
    """One of them, by the names that it has there."""

    kind: Kind
    kernel_id: str
    host: str | None
    user: str | None
    pid: int
    notebook: str | None
    number: int
    """``message``: 1, 2, 3... of this publisher."""
    dropped: int | None
    interval_ns: int | None
    sampled_at: str | None
    t_mono_ns: int | None
    rss_bytes: int | None
    lifetime_peak_bytes: int | None
    limit_bytes: int | None
    limit_set_by: str | None
    limit_group: str | None
    cell: Cell | None


def read_topic(topic: bytes) -> tuple[Kind, str]:
    """The kind and the kernel's id of ``memwatch.<kind>.<kernel id>``. MessageError."""
    if len(topic) > _MAX_TOPIC_BYTES:
        _refuse("the topic is too long")
    try:
        name, kind, kernel_id = topic.decode("utf-8").split(".", 2)
    except ValueError:
        _refuse("the topic is not memwatch.KIND.KERNEL")
    if name != "memwatch" or kind not in _KINDS or not kernel_id:
        _refuse("the topic is not memwatch.KIND.KERNEL")
    if not kernel_id.isprintable() or len(kernel_id) > _MAX_NAME:
        _refuse("the kernel's id is not printable, or too long")
    return _KINDS[kind], kernel_id


def read_message(kind: Kind, kernel_id: str, body: bytes) -> Message:
    """The message that came under a topic of that kind and kernel. MessageError."""
    if len(body) > MAX_BODY_BYTES:
        _refuse("the body is too long")
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise MessageError("the body is no JSON") from None
    if type(value) is not dict:
        _refuse("the body is no JSON object")
    if value.get("schema") != 1:
        _refuse("the body is not of schema 1")
    if value.get("kind") != kind or value.get("kernel_id") != kernel_id:
        _refuse("topic and body contradict each other")
    pid, number = _integer(value, "pid"), _integer(value, "message")
    if not pid or not number:
        _refuse("it has no pid, or no number of its own")
    return Message(
        kind=kind,
        kernel_id=kernel_id,
        host=_text(value, "host", _MAX_SHORT),
        user=_text(value, "user", _MAX_SHORT),
        pid=pid,
        notebook=_text(value, "notebook", _MAX_PATH),
        number=number,
        dropped=_integer(value, "dropped"),
        interval_ns=_integer(value, "interval_ns"),
        sampled_at=_text(value, "sampled_at", _MAX_TIME),
        t_mono_ns=_integer(value, "t_mono_ns"),
        rss_bytes=_integer(value, "rss_bytes"),
        lifetime_peak_bytes=_integer(value, "lifetime_peak_bytes"),
        limit_bytes=_integer(value, "limit_bytes"),
        limit_set_by=_text(value, "limit_set_by", _MAX_SHORT),
        limit_group=_text(value, "limit_group", _MAX_PATH),
        cell=_cell(value),
    )


def _cell(message: dict[str, Any]) -> Cell | None:
    value = _object(message, "cell")
    if value is None:
        return None
    report = _object(message, "report") or {}
    took_ns = _integer(report, "duration_ns")
    peak_bytes = _integer(report, "rss_peak_bytes")
    return Cell(
        number=_integer(value, "number"),
        label=_text(value, "label", _MAX_NAME),
        execution_count=_integer(value, "execution_count"),
        cell_id=_text(value, "cell_id", _MAX_NAME),
        source=_text(value, "source", _MAX_SOURCE),
        started_at=_text(value, "started_at", _MAX_TIME),
        running_ns=_integer(value, "running_ns") if took_ns is None else took_ns,
        rss_start_bytes=_integer(value, "rss_start_bytes"),
        rss_peak_bytes=(
            _integer(value, "rss_peak_bytes") if peak_bytes is None else peak_bytes
        ),
        used_bytes=_integer(report, "used_bytes", least=-_MAX_INTEGER),
        status=_text(report, "status", _MAX_SHORT),
    )


def _object(where: dict[str, Any], name: str) -> dict[str, Any] | None:
    value = where.get(name)
    if value is not None and type(value) is not dict:
        _refuse(f"{name} is no object")
    return value


def _integer(where: dict[str, Any], name: str, least: int = 0) -> int | None:
    value = where.get(name)
    if value is None:
        return None
    # Not isinstance(): true is not 1.
    if type(value) is not int or not least <= value <= _MAX_INTEGER:
        _refuse(f"{name} is no integer in its range")
    return value


def _text(where: dict[str, Any], name: str, length: int) -> str | None:
    value = where.get(name)
    if value is None:
        return None
    if type(value) is not str:
        _refuse(f"{name} is no text")
    return printable(value, length) or None


def _refuse(why: str) -> NoReturn:
    raise MessageError(why)


def _no_constant(name: str) -> NoReturn:
    raise MessageError(f"{name} is no JSON")


# json.loads() would take NaN, and bytes in UTF-16 for what they are.
_DECODER = json.JSONDecoder(parse_constant=_no_constant)
