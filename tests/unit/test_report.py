"""CellReport: the fields that are fixed."""

import copy
import json
import pickle
import pydoc
import re
from array import array
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from memwatch import CellReport
from memwatch.report import telling_line

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
    "risen_bytes",
    "drift_bytes",
    "peak_method",
    "peak_error_bytes",
    "anon_bytes",
    "file_bytes",
    "shmem_bytes",
    "swap_bytes",
    "threads",
    "system_mean_cpu_percent",
    "single_max_cpu_percent",
    "children_count",
    "children_pss_bytes",
    "children_rss_bytes",
    "children_count_peak",
    "children_rss_peak_bytes",
    "children_pss_peak_bytes",
    "tree_pss_peak_bytes",
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
    report = CellReport()
    with pytest.raises(FrozenInstanceError):
        report.used_bytes = 1
    with pytest.raises(FrozenInstanceError):
        del report.used_bytes
    assert report.used_bytes is None


def test_report_is_a_dataclass():
    report = CellReport(label="x", used_bytes=1)
    assert replace(report, used_bytes=2) == CellReport(label="x", used_bytes=2)
    assert report != CellReport(label="x")
    assert report != "x"
    assert [each.name for each in fields(report)] == FIELDS
    assert pickle.loads(pickle.dumps(report)) == copy.deepcopy(report) == report
    assert repr(report).startswith("CellReport(schema=1, label='x', ")
    with pytest.raises(TypeError, match="unexpected keyword argument 'used'"):
        CellReport(used=1)


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


def test_help_describes_each_field():
    """Its unit where the name has one, and a sentence at least."""
    text = pydoc.plain(pydoc.render_doc(CellReport))
    described = {
        name: " ".join(told.split())
        for name, told in re.findall(
            r"^ \|  ``(\w+)``\n((?: \|      .+\n)+)", text.replace("|\n", "|  \n"), re.M
        )
    }
    assert set(described) == {each.name for each in fields(CellReport)}
    units = {"bytes": "Bytes", "ns": "Nanoseconds", "percent": "Percent"}
    for name, told in described.items():
        told = told.replace("| ", "")
        unit = units.get(name.rpartition("_")[2])
        assert unit is None or told.startswith((f"{unit}.", f"{unit},", f"{unit} ")), (
            name
        )
        assert len(told) > 20, name
        assert told.endswith("."), name


def test_help_names_the_source_of_figures():
    text = pydoc.plain(pydoc.render_doc(CellReport))
    for source in ("VmRSS", "VmHWM", "RssAnon", "RssFile", "RssShmem", "VmSwap",
                   "/proc/self/status", "/proc/self/statm", "/proc/stat",
                   "smaps_rollup", "CLOCK_MONOTONIC"):  # fmt: skip
        assert source in text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\n\n  x = 1\ny", "x = 1"),
        ("%%time\nx = 1", "x = 1"),
        ("%load_ext memwatch\nimport os\n@cache\ndef f(): pass", "def f(): pass"),
        ("from a import (\n    b,\n    c,\n)\nf()", "f()"),
        ("from a import (b, c)\nf()", "f()"),
        ("# Load the data\nx = 1", "# Load the data"),
        ("import os\nimport sys", "import os"),
        ("%%bash\n", "%%bash"),
        ("important = 1", "important = 1"),
        ("x" * 200, "x" * 120),
        ("", ""),
    ],
)
def test_source_is_the_telling_line(text, line):
    assert telling_line(text) == line
