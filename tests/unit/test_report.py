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
    "line",
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


def test_sizes_in_mib_and_times_in_seconds():
    report = CellReport(used_bytes=-3 * 2**19, duration_ns=1_500_000_000)
    assert report.used_mib == -1.5
    assert report.duration_s == 1.5
    assert report.peaked_mib is None
    assert {"used_mib", "rss_end_mib", "children_pss_peak_mib", "duration_s"} <= {
        *dir(report)
    }
    for name in "used_kib", "status_mib", "label_s":
        with pytest.raises(AttributeError):
            getattr(report, name)
    with pytest.raises(FrozenInstanceError):
        report.used_mib = 1


HOSTILE = "<script>alert(1)</script>\x1b[31m"


def test_repr_is_a_small_table():
    report = CellReport(
        label="In [3]", source="x = f()" + HOSTILE, used_bytes=15 * 2**20,
        peaked_bytes=0, risen_bytes=2**20, rss_end_bytes=66 * 2**20, duration_ns=10**8,
        status="error", children_count_peak=3, children_pss_peak_bytes=461 * 2**20,
    )  # fmt: skip
    header, row = repr(report).splitlines()
    assert header == ("  used MiB  rise MiB peaked MiB  total MiB     time  cell")
    assert row.startswith("   15.0000      1.00       0.00      66.00   0.10 s  In [3]")
    assert len(row) <= 80
    html = report._repr_html_()
    assert html.count("<tr>") == 2
    assert "<td>15.0000</td><td>1.00</td><td>0.00</td><td>66.00</td>" in html
    assert "In [3] (error) (+3 children, peak 461 MiB PSS)" in html
    assert "<code>x = f()&lt;script&gt;" in html
    assert "\x1b" not in html + repr(report)
    assert "?" in repr(CellReport())
    assert "<td>?</td>" in CellReport()._repr_html_()


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
