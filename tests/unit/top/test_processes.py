"""Messages that are looked at, the rows they become, how rows are told and sorted."""

import json
from array import array

import pytest

from memwatch.stream.endpoints import is_beyond
from memwatch.top.messages import (
    MAX_BODY_BYTES,
    MessageError,
    printable,
    read_message,
    read_topic,
)
from memwatch.top.processes import HISTORY_LENGTH, SORTABLE, Process, sort
from memwatch.top.table import choose, fit, headline, level, table
from messages import SECOND, message, process, read
from support import MIB

# ---- messages ----


def test_a_message_is_read_as_it_is():
    value = message()
    found = read(value)
    for name in set(value) - {"schema", "message", "cell"}:
        assert getattr(found, name) == value[name], name
    assert found.number == 1
    for name, figure in value["cell"].items():
        assert getattr(found.cell, name) == figure
    assert found.cell.status is None


def test_a_cells_end_has_the_figures_of_its_report():
    report = {
        "duration_ns": 7, "rss_peak_bytes": 8, "used_bytes": -9, "status": "error",
        "timeline": None,
    }  # fmt: skip
    cell = read(message("close", report=report)).cell
    assert (cell.running_ns, cell.rss_peak_bytes, cell.used_bytes) == (7, 8, -9)
    assert cell.status == "error"


def test_what_is_absent_is_unknown():
    value = message(rss_bytes=None, limit_bytes=None, host=None, cell=None)
    del value["user"]
    found = read(value)
    assert found.rss_bytes is found.limit_bytes is found.host is found.user is None
    assert found.cell is None


@pytest.mark.parametrize(
    "values",
    [
        {"schema": 2}, {"schema": "1"}, {"pid": 0}, {"pid": "7"}, {"pid": True},
        {"message": 0}, {"message": None}, {"message": 1.5}, {"rss_bytes": -1},
        {"rss_bytes": 2**63}, {"rss_bytes": 1e300}, {"rss_bytes": [1]}, {"host": 7},
        {"user": ["a"]}, {"cell": {"label": 7}}, {"cell": {"running_ns": "7"}},
        {"kernel_id": "other"}, {"kind": "open"}, {"notebook": {}},
    ],
)  # fmt: skip
def test_what_is_of_another_type_or_range_is_refused(values):
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
def test_what_is_no_message_is_refused(body):
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


def test_texts_cannot_command_a_terminal():
    source = "\x1b[2J\x1b]0;title\x07\u202eabc\r\n\u200b\ud800[red]b[/red]" + "x" * 500
    cell = read(message(cell={"source": source})).cell
    assert cell.source.isprintable()
    assert len(cell.source) == 120
    assert "[red]b[/red]" in cell.source  # which no widget of ours takes for markup
    assert printable("naïve 数", 10) == "naïve 数"


# ---- rows ----


def test_a_cell_runs_ends_and_the_process_goes():
    seen = process()
    assert seen.state(SECOND) == "running"
    assert seen.running_ns(2 * SECOND) == 3 * SECOND  # two when it was told
    seen.see_message(read(message("close", report={"status": "ok"})), 2 * SECOND)
    assert seen.state(2 * SECOND) == "idle"
    assert seen.running_ns(2 * SECOND) is None
    seen.see_message(read(message(cell=None)), 3 * SECOND)
    assert seen.state(3 * SECOND) == "idle"
    assert seen.cell.label == "In [4]"  # the last
    assert seen.state(7 * SECOND) == "silent"
    seen.see_message(read(message("bye", cell=None, rss_bytes=None)), 8 * SECOND)
    assert seen.state(8 * SECOND) == "gone"
    assert seen.rss_bytes == 200 * MIB


def test_the_history_is_bounded():
    seen = process()
    for _ in range(1000):
        seen.remember()
    assert len(seen.history) == HISTORY_LENGTH


def box(**values):
    cell = {
        "number": 0, "status": "open", "label": "In [2]", "execution_count": 2,
        "cell_id": None, "source": "y = 2", "t_mono_ns": 4 * SECOND,
        "t_real_ns": 104 * SECOND, "rss_start_bytes": MIB, "rss_peak_bytes": 9 * MIB,
        "drift_bytes": None, "duration_ns": None, "rss_end_bytes": None,
        "used_bytes": None, "peaked_bytes": None, "peak_error_bytes": None,
    }  # fmt: skip
    cell |= values.pop("cell", {})
    return {
        "pid": 7, "real_ahead_ns": 100 * SECOND,
        "limit_bytes": 10 * MIB, "limit_set_by": "memory", "limit_group": None,
        "user": "me", "host": "here", "kernel_id": "k", "notebook": None,
        "lifetime_peak_bytes": 9 * MIB, "cells": [cell],
        "timeline": {
            "t_mono_ns": array("q", [4 * SECOND, 5 * SECOND]),
            "rss_bytes": array("q", [8 * MIB, 6 * MIB]),
        },
    } | values  # fmt: skip


def test_a_box_is_a_row_too():
    seen = Process("box", "k", 7)
    seen.see_box(box(), True, 5 * MIB, 6 * SECOND, 106 * SECOND)
    assert seen.state(6 * SECOND) == "running"
    assert seen.rss_bytes == 6 * MIB  # the box's: its sampler is at work
    assert seen.age_ns(6 * SECOND) == SECOND
    assert seen.running_ns(7 * SECOND) == 3 * SECOND
    assert seen.share == 60
    assert list(seen.history) == [8 * MIB, 6 * MIB]
    assert seen.sampled_at == "1970-01-01T00:01:45.000Z"

    ended = box(cell={"status": "error", "duration_ns": 5, "used_bytes": -1})
    seen.see_box(ended, True, 5 * MIB, 6 * SECOND, 106 * SECOND)
    assert (seen.state(6 * SECOND), seen.rss_bytes) == ("idle", 5 * MIB)
    assert seen.age_ns(6 * SECOND) == 0
    assert (seen.cell.status, seen.cell.used_bytes) == ("error", -1)

    seen.see_box(box(), False, None, 7 * SECOND, 107 * SECOND)
    assert seen.state(7 * SECOND) == "gone"


def test_another_machines_clock_is_compared_by_the_date():
    seen = Process("box", "k", 7)
    now_ns = 500 * SECOND  # of this machine, at 106 s of its date
    seen.see_box(box(), None, None, now_ns, 106 * SECOND)
    assert seen.age_ns(now_ns) == SECOND
    assert seen.running_ns(now_ns) == 2 * SECOND


def test_a_box_may_say_nothing_or_anything():
    empty = {"t_mono_ns": array("q"), "rss_bytes": array("q")}
    seen = Process("box", "k", 7)
    seen.see_box(
        box(cells=[], timeline=empty, limit_bytes=None, lifetime_peak_bytes=None),
        None, None, SECOND, SECOND,
    )  # fmt: skip
    assert seen.rss_bytes is seen.share is seen.age_ns(SECOND) is None
    assert seen.state(SECOND) == "idle"
    wild = box(cell={"t_real_ns": 2**62, "label": "\x1b[2J" * 1000})
    seen.see_box(wild, None, None, SECOND, SECOND)
    assert seen.cell.label.isprintable()
    json.dumps(seen.to_dict(SECOND))
    table([seen], 200, SECOND)


def test_rows_as_data():
    value = process(now_ns=SECOND).to_dict(2 * SECOND)
    assert value["rss_bytes"] == 200 * MIB
    assert value["limit_share_percent"] == 20
    assert value["sample_age_ns"] == SECOND
    assert (value["state"], value["cell"]["running_ns"]) == ("running", 3 * SECOND)
    assert json.loads(json.dumps(value)) == value


# ---- order ----


@pytest.mark.parametrize("column", SORTABLE)
def test_every_column_sorts_whatever_is_unknown(column):
    few = [
        process(kernel_id="a"),
        process(kernel_id="b", rss_bytes=None, limit_bytes=None, host=None, user=None),
        process(kernel_id="c", cell=None, notebook=None, lifetime_peak_bytes=None),
    ]
    for reverse in (False, True):
        found = sort(few, column, 2 * SECOND, reverse=reverse)
        assert {each.kernel_id for each in found} == {"a", "b", "c"}


def test_figures_fall_names_rise_and_the_unknown_is_last():
    few = [
        process(kernel_id=name, rss_bytes=size)
        for name, size in [("a", 2), ("d", None), ("b", 3), ("c", 3)]
    ]

    def order(column, reverse=False):
        found = sort(few, column, SECOND, reverse=reverse)
        return "".join(each.kernel_id for each in found)

    assert order("rss") == "bcad"
    assert order("rss", reverse=True) == "abcd"
    assert order("kernel") == "abcd"
    assert order("kernel", reverse=True) == "dcba"


# ---- what is read ----


@pytest.mark.parametrize(
    ("share", "mark"), [(59, 0), (60, 1), (79, 1), (80, 2), (94, 2), (95, 3), (300, 3)]
)
def test_the_mark_does_not_need_colours(share, mark):
    seen = process(rss_bytes=share * 10**6, limit_bytes=10**8)
    assert level(seen) == mark
    text = table([seen], 120, SECOND)
    assert text.count("!") == mark
    assert f"{share} %" in text


@pytest.mark.parametrize("width", [1, 10, 20, 40, 60, 80, 100, 132, 200, 500])
def test_no_line_is_wider_than_the_terminal(width):
    few = [
        process(kernel_id="1f0d5c1e-77a5-4b6e-9b1e-1c2d3e4f5a6b"),
        process(kernel_id="數" * 40, cell={"source": "數" * 100}, host="e\u0301" * 30),
        process(pid=2**62, rss_bytes=2**62, limit_bytes=1, cell={"running_ns": 2**62}),
    ]
    lines = table(few, width, SECOND).splitlines()
    assert len(lines) == 4
    for line in lines:
        assert len(fit(line, width)) <= width + 60
        wide = sum(each in "數" for each in line) + len(line) - line.count("\u0301")
        assert wide <= width


def test_narrow_tables_keep_what_matters_most():
    few = [process()]
    assert [each.name for each in choose(few, 24)] == ["rss", "cell"]
    at_80 = [each.name for each in choose(few, 80)]
    assert at_80 == ["kernel", "pid", "state", "rss", "peak", "share", "time", "cell"]
    assert "limit" in [each.name for each in choose(few, 160)]


def test_what_all_share_is_not_told():
    same = [process(kernel_id="a"), process(kernel_id="b")]
    assert "host" not in [each.name for each in choose(same, 300)]
    two = [*same, process(kernel_id="c", host="other", user="else")]
    names = [each.name for each in choose(two, 300)]
    assert "host" in names
    assert "user" in names


def test_the_headline_leaves_out_who_is_gone():
    gone = process(kernel_id="b")
    gone.see_message(read(message("bye", kernel_id="b"), kernel_id="b"), SECOND)
    told = headline([process(), gone], SECOND)
    assert told == "2 processes, 1 running, 1 gone; RSS 200 MiB in all"


# ---- endpoints ----


def test_what_leaves_the_machine():
    for endpoint in (
        "ipc:///run/a.ipc", "tcp://127.0.0.1:5555", "tcp://[::1]:5555",
        "tcp://localhost:*", "tcp://127.1.2.3:1",
    ):  # fmt: skip
        assert not is_beyond(endpoint, connects=False)
        assert not is_beyond(endpoint, connects=True)
    for endpoint in (
        "tcp://*:5555", "tcp://0.0.0.0:5555", "tcp://10.0.0.1:5555", "tcp://hub:5555",
        "tcp://[::]:5555", "tcp://eth0:5555", "tcp://localhost.evil.example:1",
    ):  # fmt: skip
        assert is_beyond(endpoint, connects=False)
        assert is_beyond(endpoint, connects=True)
    # An interface's name to who binds, a host's to who connects.
    assert not is_beyond("tcp://lo:5555", connects=False)
    assert is_beyond("tcp://lo:5555", connects=True)
    for endpoint in (
        "", "5555", "tcp://", "tcp://a", "tcp://a:b", "tcp://a:99999", "inproc://a",
        "ipc://", "ipc://@a", "udp://a:1", "tcp://127.0.0.1:1\n", "ipc://" + "a" * 200,
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"endpoint|port|path"):
            is_beyond(endpoint, connects=True)
