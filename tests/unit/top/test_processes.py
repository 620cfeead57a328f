"""Processes, updated from messages and black boxes; how they are sorted."""

import json
from array import array

import pytest

from memwatch.blackbox.reader import RecordedCell
from memwatch.top.processes import HISTORY_LENGTH, SORTABLE, Process, sort
from memwatch.top.table import table
from messages import SECOND, message, process, read
from support import MIB


def test_states_of_a_process():
    seen = process()
    assert seen.state(SECOND) == "running"
    assert seen.running_ns(2 * SECOND) == 3 * SECOND  # two of them in the message
    seen.update_from_message(
        read(message("close", report={"status": "ok"})), 2 * SECOND
    )
    assert seen.state(2 * SECOND) == "idle"
    assert seen.running_ns(2 * SECOND) is None
    seen.update_from_message(read(message(cell=None)), 3 * SECOND)
    assert seen.state(3 * SECOND) == "idle"
    assert seen.cell.label == "In [4]"  # the last cell
    assert seen.state(7 * SECOND) == "silent"
    assert seen.is_lost(7 * SECOND)
    seen.update_from_message(
        read(message("bye", cell=None, rss_bytes=None)), 8 * SECOND
    )
    assert seen.state(8 * SECOND) == "gone"
    assert not seen.is_lost(8 * SECOND)
    assert seen.rss_bytes == 200 * MIB


def test_cells_that_ended_are_kept_of_messages():
    seen = process()
    assert list(seen.cells) == []
    for number in range(20):
        report = {"status": "ok", "used_bytes": number, "risen_bytes": 1}
        value = message("close", message=number + 2, report=report)
        seen.update_from_message(read(value), SECOND)
    assert [each.used_bytes for each in seen.cells] == list(range(12, 20))
    assert seen.cells[-1].risen_bytes == 1
    seen.update_from_message(read(message("close", message=30)), SECOND)
    assert seen.cells[-1].status == "unknown"  # it ended without a report


def test_only_the_dead_and_silent_are_dismissed():
    seen = process(now_ns=SECOND)
    assert not seen.dismiss(SECOND)
    assert not seen.is_dismissed
    assert seen.dismiss(60 * SECOND)
    assert seen.is_dismissed
    seen.update_from_message(read(message(message=2)), 61 * SECOND)
    assert not seen.is_dismissed  # it is back


def test_history_is_bounded():
    seen = process()
    for _ in range(1000):
        seen.record_history()
    assert len(seen.history) == HISTORY_LENGTH


def box(**values):
    cell = {
        "number": 0, "status": "running", "label": "In [2]", "execution_count": 2,
        "cell_id": None, "source": "y = 2", "t_mono_ns": 4 * SECOND, "t_boot_ns": 0,
        "t_real_ns": 104 * SECOND, "rss_start_bytes": MIB, "rss_peak_bytes": 9 * MIB,
        "drift_bytes": None, "duration_ns": None, "rss_end_bytes": None,
        "used_bytes": None, "peaked_bytes": None, "peak_error_bytes": None,
    }  # fmt: skip
    cell |= values.pop("cell", {})
    found = {
        "pid": 7, "real_ahead_ns": 100 * SECOND, "samples": 2,
        "limit_bytes": 10 * MIB, "limit_set_by": "memory", "limit_group": None,
        "user": "me", "host": "here", "kernel_id": "k", "notebook": None,
        "lifetime_peak_bytes": 9 * MIB, "boot_id": "another",
        "timeline": {
            "t_mono_ns": array("q", [4 * SECOND, 5 * SECOND]),
            "rss_bytes": array("q", [8 * MIB, 6 * MIB]),
        },
    } | values  # fmt: skip
    return {"cells": [RecordedCell(cell, found)]} | found


def test_process_from_a_black_box():
    seen = Process("box", "k", 7)
    seen.update_from_box(box(), True, 5 * MIB, 6 * SECOND, 106 * SECOND)
    assert seen.state(6 * SECOND) == "running"
    assert seen.rss_bytes == 6 * MIB  # the black box's: a cell is running
    assert seen.age_ns(6 * SECOND) == SECOND
    assert seen.running_ns(7 * SECOND) == 3 * SECOND
    assert seen.share == 60
    assert list(seen.history) == [8 * MIB, 6 * MIB]
    assert seen.sampled_at == "1970-01-01T00:01:45.000+00:00"

    assert seen.next_sample == 2
    nothing_new = {"t_mono_ns": array("q"), "rss_bytes": array("q")}
    seen.update_from_box(
        box(timeline=nothing_new), True, 5 * MIB, 7 * SECOND, 107 * SECOND
    )
    assert (seen.rss_bytes, seen.age_ns(7 * SECOND)) == (6 * MIB, 2 * SECOND)

    ended = box(cell={"status": "error", "duration_ns": 5, "used_bytes": -1})
    seen.update_from_box(ended, True, 5 * MIB, 6 * SECOND, 106 * SECOND)
    assert (seen.state(6 * SECOND), seen.rss_bytes) == ("idle", 5 * MIB)
    assert seen.age_ns(6 * SECOND) == 0
    assert (seen.cell.status, seen.cell.used_bytes) == ("error", -1)

    seen.update_from_box(box(), False, None, 7 * SECOND, 107 * SECOND)
    assert seen.state(7 * SECOND) == "died"
    assert seen.is_lost(7 * SECOND)
    assert list(seen.history) == [8 * MIB, 6 * MIB, 6 * MIB]  # and the last sample
    seen.record_history()
    assert len(seen.history) == 3
    value = seen.to_dict(7 * SECOND)
    assert (value["state"], value["died"]) == ("gone", True)


def test_clock_of_another_machine_is_converted_by_its_date():
    seen = Process("box", "k", 7)
    now_ns = 500 * SECOND  # of this machine, at 106 s of its date
    seen.update_from_box(box(), None, None, now_ns, 106 * SECOND)
    assert seen.age_ns(now_ns) == SECOND
    assert seen.running_ns(now_ns) == 2 * SECOND


def test_black_box_with_absent_or_wild_values():
    empty = {"t_mono_ns": array("q"), "rss_bytes": array("q")}
    seen = Process("box", "k", 7)
    seen.update_from_box(
        box(cells=[], timeline=empty, limit_bytes=None, lifetime_peak_bytes=None),
        None, None, SECOND, SECOND,
    )  # fmt: skip
    assert seen.rss_bytes is seen.share is seen.age_ns(SECOND) is None
    assert seen.state(SECOND) == "idle"
    wild = box(cell={"t_real_ns": 2**62, "label": "\x1b[2J" * 1000})
    seen.update_from_box(wild, None, None, SECOND, SECOND)
    assert seen.cell.label.isprintable()
    json.dumps(seen.to_dict(SECOND))
    table([seen], 200, SECOND)


def test_process_as_json():
    value = process(now_ns=SECOND).to_dict(2 * SECOND)
    assert value["rss_bytes"] == 200 * MIB
    assert value["limit_share_percent"] == 20
    assert value["sample_age_ns"] == SECOND
    assert (value["state"], value["cell"]["duration_ns"]) == ("running", 3 * SECOND)
    assert json.loads(json.dumps(value)) == value


@pytest.mark.parametrize("column", SORTABLE)
def test_every_column_sorts_unknown_values(column):
    few = [
        process(kernel_id="a"),
        process(kernel_id="b", rss_bytes=None, limit_bytes=None, host=None, user=None),
        process(kernel_id="c", cell=None, notebook=None, lifetime_peak_bytes=None),
    ]
    for reverse in (False, True):
        found = sort(few, column, 2 * SECOND, reverse=reverse)
        assert {each.kernel_id for each in found} == {"a", "b", "c"}


def test_default_order_of_figures_names_and_unknown_values():
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
