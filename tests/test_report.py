"""CellReport and History: the fields that are fixed, and the bound."""

import json
from array import array
from dataclasses import FrozenInstanceError

import pytest

from memwatch import CellReport, History

FIELDS = [
    "schema",
    "label",
    "execution_count",
    "cell_id",
    "source",
    "started_at",
    "duration_ns",
    "rss_start_bytes",
    "rss_end_bytes",
    "rss_peak_bytes",
    "used_bytes",
    "peaked_bytes",
    "drift_bytes",
    "peak_method",
    "peak_error_bytes",
    "anon_bytes",
    "file_bytes",
    "shmem_bytes",
    "swap_bytes",
    "system_mean_cpu_percent",
    "single_max_cpu_percent",
    "children_count",
    "children_pss_bytes",
    "children_rss_bytes",
    "children_rss_peak_bytes",
    "children_missed",
    "own_pss_bytes",
    "status",
    "timeline",
]


def test_fields_of_schema_1():
    report = CellReport()
    assert list(report.to_dict()) == FIELDS
    assert report.schema == 1
    assert report.used_bytes is None


def test_report_is_frozen():
    with pytest.raises(FrozenInstanceError):
        CellReport().used_bytes = 1


def test_to_dict_is_json():
    report = CellReport(
        label="x",
        timeline={"t_ns": array("q", [0, 5]), "rss_bytes": array("q", [7, 8])},
    )
    read = json.loads(json.dumps(report.to_dict()))
    assert read["timeline"] == {"t_ns": [0, 5], "rss_bytes": [7, 8]}
    assert read["used_bytes"] is None
    assert CellReport(**read).to_dict() == report.to_dict()


def test_repr_leaves_the_series_out():
    timeline = {"t_ns": array("q", [0]), "rss_bytes": array("q", [7])}
    assert "array" not in repr(CellReport(timeline=timeline))


def test_history_is_a_bounded_sequence():
    history = History(max_reports=3)
    for number in range(5):
        history.append(CellReport(execution_count=number))
    assert len(history) == 3
    assert [report.execution_count for report in history] == [2, 3, 4]
    assert history[-1].execution_count == 4
    assert [report.execution_count for report in history[:2]] == [2, 3]
    assert history[0] in history
    assert [each["execution_count"] for each in history.to_dicts()] == [2, 3, 4]
    history.max_reports = 2
    assert [report.execution_count for report in history] == [3, 4]
    assert repr(history) == "<memwatch history: 2 of at most 2 reports>"
    history.clear()
    assert not history


def test_history_holds_ten_thousand():
    assert History().max_reports == 10_000


def test_history_can_be_read_while_others_report():
    history = History(max_reports=10)
    history.append(CellReport(execution_count=1))
    for report in history:
        history.append(report)
    assert len(history) == 2
