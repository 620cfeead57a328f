"""Messages received over ZeroMQ, checked before use. Pure.

Anybody may have sent a message. Each value has its type and its range, or the whole
message is refused. Texts are cut and made printable, because a terminal would obey the
control characters in them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, get_args

from ..display.units import printable
from ..report import CellReport

Kind = Literal["sample", "open", "close", "bye"]

MAX_BODY_BYTES = 8 * 1024
"""The longest body of schema 1."""
_MAX_INTEGER = 2**63 - 1
_MAX_TOPIC_BYTES = 160
_MAX_NAME = 136
_MAX_SHORT = 64
_MAX_PATH = 512
_MAX_SOURCE = 120
_MAX_TIME = 40

_KINDS: dict[str, Kind] = {each: each for each in get_args(Kind)}


class MessageError(ValueError):
    """Not a message of memwatch; the text says why."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message; the fields have the names of its keys, except `number`."""

    kind: Kind
    kernel_id: str
    host: str | None
    user: str | None
    pid: int
    notebook: str | None
    number: int
    """``message``: counts the messages of this publisher from 1."""
    dropped: int | None
    interval_ns: int | None
    sampled_at: str | None
    t_mono_ns: int | None
    rss_bytes: int | None
    lifetime_peak_bytes: int | None
    limit_bytes: int | None
    limit_set_by: str | None
    limit_group: str | None
    cell: CellReport | None
    """The open cell, or the one that has ended."""
    cell_number: int | None
    """0 for the first cell of that process, and so on."""


def read_topic(topic: bytes) -> tuple[Kind, str]:
    """The kind and the kernel id of ``memwatch.<kind>.<kernel id>``. MessageError.

    >>> read_topic(b"memwatch.sample.4f1c")
    ('sample', '4f1c')
    """
    if len(topic) > _MAX_TOPIC_BYTES:
        _refuse("topic too long")
    try:
        name, kind, kernel_id = topic.decode("utf-8").split(".", 2)
    except ValueError:
        _refuse("invalid topic: expected memwatch.KIND.KERNEL_ID")
    if name != "memwatch" or kind not in _KINDS or not kernel_id:
        _refuse("invalid topic: expected memwatch.KIND.KERNEL_ID")
    if not kernel_id.isprintable() or len(kernel_id) > _MAX_NAME:
        _refuse("kernel id not printable or too long")
    return _KINDS[kind], kernel_id


def read_message(kind: Kind, kernel_id: str, body: bytes) -> Message:
    """The message in `body`; its topic had that kind and kernel id. MessageError."""
    if len(body) > MAX_BODY_BYTES:
        _refuse("body too long")
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise MessageError("body is not JSON") from None
    if type(value) is not dict:
        _refuse("body is not a JSON object")
    if value.get("schema") != 2:
        _refuse("unknown schema: expected 2")
    if value.get("kind") != kind or value.get("kernel_id") != kernel_id:
        _refuse("topic and body differ")
    pid, number = _integer(value, "pid"), _integer(value, "message")
    if not pid or not number:
        _refuse("pid or message number missing")
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
        cell_number=_integer(_object(value, "cell") or {}, "number"),
    )


def _cell(message: dict[str, Any]) -> CellReport | None:
    value = _object(message, "cell")
    if value is None:
        return None
    report = _object(message, "report") or {}
    without_result = "unknown" if message["kind"] == "close" else "running"

    def figure(name: str) -> int | None:
        found = _integer(report, name)
        return _integer(value, name) if found is None else found

    return CellReport(
        label=_text(value, "label", _MAX_NAME),
        execution_count=_integer(value, "execution_count"),
        cell_id=_text(value, "cell_id", _MAX_NAME),
        source=_text(value, "source", _MAX_SOURCE),
        line=_integer(value, "line", least=1),
        started_at=_text(value, "started_at", _MAX_TIME),
        duration_ns=figure("duration_ns"),
        rss_start_bytes=figure("rss_start_bytes"),
        rss_end_bytes=_integer(report, "rss_end_bytes"),
        rss_peak_bytes=figure("rss_peak_bytes"),
        used_bytes=_integer(report, "used_bytes", least=-_MAX_INTEGER),
        peaked_bytes=_integer(report, "peaked_bytes"),
        risen_bytes=_integer(report, "risen_bytes"),
        status=_text(report, "status", _MAX_SHORT) or without_result,
    )


def _object(container: dict[str, Any], name: str) -> dict[str, Any] | None:
    value = container.get(name)
    if value is not None and type(value) is not dict:
        _refuse(f"{name} is not an object")
    return value


def _integer(container: dict[str, Any], name: str, least: int = 0) -> int | None:
    value = container.get(name)
    if value is None:
        return None
    # Not isinstance(), which accepts true as 1.
    if type(value) is not int or not least <= value <= _MAX_INTEGER:
        _refuse(f"{name} is not an integer in its range")
    return value


def _text(container: dict[str, Any], name: str, length: int) -> str | None:
    value = container.get(name)
    if value is None:
        return None
    if type(value) is not str:
        _refuse(f"{name} is not a text")
    return printable(value, length) or None


def _refuse(reason: str) -> NoReturn:
    raise MessageError(reason)


def _no_constant(name: str) -> NoReturn:
    raise MessageError(f"{name} is not JSON")


# json.loads() would accept NaN, and bytes in UTF-16.
_DECODER = json.JSONDecoder(parse_constant=_no_constant)
