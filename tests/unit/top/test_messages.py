"""Messages: how they are checked and read."""

import json

import pytest

from memwatch.top.messages import (
    MAX_BODY_BYTES,
    MessageError,
    printable,
    read_message,
    read_topic,
)
from messages import message, read


def test_message_is_read_unchanged():
    value = message()
    found = read(value)
    for name in set(value) - {"schema", "message", "cell"}:
        assert getattr(found, name) == value[name], name
    assert found.number == 1
    assert found.cell_number == value["cell"].pop("number")
    for name, figure in value["cell"].items():
        assert getattr(found.cell, name) == figure
    assert found.cell.status == "running"


def test_end_of_a_cell_has_the_figures_of_its_report():
    report = {
        "duration_ns": 7, "rss_peak_bytes": 8, "used_bytes": -9, "status": "error",
        "timeline": None,
    }  # fmt: skip
    cell = read(message("close", report=report)).cell
    assert (cell.duration_ns, cell.rss_peak_bytes, cell.used_bytes) == (7, 8, -9)
    assert cell.status == "error"


def test_absent_values_are_unknown():
    value = message(rss_bytes=None, limit_bytes=None, host=None, cell=None)
    del value["user"]
    found = read(value)
    assert found.rss_bytes is found.limit_bytes is found.host is found.user is None
    assert found.cell is None


@pytest.mark.parametrize(
    "values",
    [
        {"schema": 1}, {"schema": "2"}, {"pid": 0}, {"pid": "7"}, {"pid": True},
        {"message": 0}, {"message": None}, {"message": 1.5}, {"rss_bytes": -1},
        {"rss_bytes": 2**63}, {"rss_bytes": 1e300}, {"rss_bytes": [1]}, {"host": 7},
        {"user": ["a"]}, {"cell": {"label": 7}}, {"cell": {"duration_ns": "7"}},
        {"kernel_id": "other"}, {"kind": "open"}, {"notebook": {}},
    ],
)  # fmt: skip
def test_values_of_wrong_type_or_range_are_refused(values):
    with pytest.raises(MessageError):
        read(message(**values), "sample")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b"7", b'"memwatch"', b"\xff\xfe", b"[" * 8000,
        b'{"a":' * 1600, b'{"rss_bytes":NaN}', b"9" * 8000, b"\0" * 100,
        b" " * (MAX_BODY_BYTES + 1), json.dumps(message())[:-1].encode(),
        json.dumps(message()).encode("utf-16"),
        json.dumps(message()).replace("209715200", "Infinity").encode(),
        json.dumps(message()).replace("209715200", "9" * 5000).encode(),
    ],
)  # fmt: skip
def test_invalid_bodies_are_refused(body):
    with pytest.raises(MessageError):
        read_message("sample", "kernel", body)


def test_topics():
    assert read_topic(b"memwatch.close.a.b-c") == ("close", "a.b-c")
    for topic in (
        b"", b"memwatch", b"memwatch.sample", b"memwatch.sample.", b"memwatch.x.a",
        b"other.sample.a", b"memwatch.sample." + b"a" * 500, b"memwatch.sample.\xff",
        b"memwatch.sample.\x1b[2J",
    ):  # fmt: skip
        with pytest.raises(MessageError):
            read_topic(topic)


def test_control_characters_are_removed():
    source = "\x1b[2J\x1b]0;title\x07\u202eabc\r\n\u200b\ud800[red]b[/red]" + "x" * 500
    cell = read(message(cell={"source": source})).cell
    assert cell.source.isprintable()
    assert len(cell.source) == 120
    assert "[red]b[/red]" in cell.source  # widgets do not interpret markup
    assert printable("naïve 数", 10) == "naïve 数"
