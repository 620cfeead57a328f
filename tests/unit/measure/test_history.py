"""History: its two bounds, and all of it as data."""

import copy
import csv
import json
import os
import pickle
import sys
import threading
from array import array
from datetime import datetime, timezone

import pytest

import memwatch
from memwatch import CellReport, History
from support import HELPERS, MIB, run_python

COLUMNS = [name for name in CellReport().to_dict() if name != "timeline"]


def shaped(number, points=512):
    """A report as a cell makes it, of so many points."""
    series = range(points)
    return CellReport(
        label=f"In [{number}]",
        execution_count=number,
        cell_id=f"{number:036d}",
        source=f"frame_{number} = load(path_{number})",
        started_at="2026-11-22T10:00:00.123+00:00",
        duration_ns=10**9 + number,
        rss_start_bytes=100 * MIB + number,
        rss_end_bytes=101 * MIB + number,
        rss_peak_bytes=102 * MIB + number,
        used_bytes=MIB + number,
        peaked_bytes=MIB - number,
        drift_bytes=number + 1000,
        peak_method="kernel",
        peak_error_bytes=765_000 + number % 7,
        anon_bytes=60 * MIB + number,
        file_bytes=30 * MIB + number,
        shmem_bytes=11 * MIB + number,
        swap_bytes=0,
        timeline={
            "t_ns": array("q", series),
            "rss_bytes": array("q", (number + each for each in series)),
        },
    )


def test_history_is_a_bounded_sequence():
    history = History(max_reports=3)
    for number in range(5):
        history.append(CellReport(execution_count=number))
    assert len(history) == 3
    assert [report.execution_count for report in history] == [2, 3, 4]
    assert [report.execution_count for report in reversed(history)] == [4, 3, 2]
    assert history[-1].execution_count == 4
    assert [report.execution_count for report in history[:2]] == [2, 3]
    assert history[0] in history
    assert [each["execution_count"] for each in history.to_dicts()] == [2, 3, 4]
    history.max_reports = 2
    assert [report.execution_count for report in history] == [3, 4]
    assert repr(history).startswith("memwatch.history: 2 reports\n")
    with pytest.raises(IndexError):
        history[2]
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


def test_oldest_timelines_go_first_and_their_reports_stay():
    one = History()
    one.append(shaped(0))
    history = History(max_timelines_bytes=3 * one.timelines_bytes)
    reports = [shaped(number) for number in range(5)]
    for report in reports:
        history.append(report)
    assert [each.timeline is None for each in history] == [True] * 2 + [False] * 3
    assert [each.execution_count for each in history] == [0, 1, 2, 3, 4]
    assert history[1].used_bytes == reports[1].used_bytes
    assert history[4] is reports[4]
    assert history[-5].execution_count == 0
    assert reports[0].timeline is not None  # who holds one keeps it
    assert history.timelines_bytes == 3 * one.timelines_bytes
    history.max_timelines_bytes = one.timelines_bytes
    assert [each.timeline is None for each in history] == [True] * 4 + [False]
    history.max_reports = 2
    assert [each.execution_count for each in history] == [3, 4]
    history.max_timelines_bytes = 0
    assert [each.timeline for each in history] == [None, None]
    assert history.timelines_bytes == 0
    history.max_reports = 1
    assert [each.execution_count for each in history] == [4]


def test_bounds_hold_at_every_moment():
    history = History(max_reports=4, max_timelines_bytes=20_000)
    for number in range(40):
        history.append(shaped(number, points=number * 37 % 512))
        held = sum(
            sys.getsizeof(part)
            for report in history
            if report.timeline is not None
            for part in (report.timeline, *report.timeline.values())
        )
        assert held == history.timelines_bytes <= 20_000
        assert len(history) == min(number + 1, 4)


def test_ten_thousand_full_reports_keep_64_mib_at_most():
    """By the kernel's count, in a process that does nothing else."""
    told = run_python(
        "import gc, os, sys\n"
        f"sys.path += [{os.path.dirname(__file__)!r}, {str(HELPERS)!r}]\n"
        "from test_history import shaped\n"
        "from memwatch import History\n"
        "def rss():\n"
        "    gc.collect()\n"
        "    fields = open('/proc/self/statm').read().split()\n"
        "    return int(fields[1]) * os.sysconf('SC_PAGESIZE')\n"
        "shaped(0)\n"
        "before = rss()\n"
        "history = History()\n"
        "for number in range(12_000):\n"
        "    history.append(shaped(number))\n"
        "assert len(history) == 10_000\n"
        "print((rss() - before) / 2**20)\n"
    )
    assert 16 < float(told) <= 64


def test_many_threads_report_at_once():
    history = History(max_reports=100, max_timelines_bytes=50_000)

    def report():
        for number in range(500):
            history.append(shaped(number, points=64))
            len(list(history)), history[-1]

    threads = [threading.Thread(target=report) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(history) == 100
    history.max_reports = 1
    history.max_timelines_bytes = 0
    assert history.timelines_bytes == 0


def test_child_reports_though_it_was_forked_while_a_thread_did():
    told = run_python(
        "import os, threading, memwatch\n"
        "held, done = threading.Event(), threading.Event()\n"
        "def hold():\n"
        "    with memwatch.history._lock:\n"
        "        held.set(); done.wait(60)\n"
        "thread = threading.Thread(target=hold); thread.start(); held.wait(60)\n"
        "if (pid := os.fork()) == 0:\n"
        "    with memwatch.watch('child'): pass\n"
        "    os._exit(len(memwatch.history))\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        "done.set(); thread.join(60)\n",
        "-Wignore::DeprecationWarning",
    )
    assert told == "1\n"


@pytest.fixture
def history():
    history = History()
    history.append(shaped(1))
    history.append(
        CellReport(label="naïve", source='print("a, b")\r\n\ud800', status="error")
    )
    return history


def test_history_can_be_pickled_and_copied(history):
    for each in (
        *(pickle.loads(pickle.dumps(history, p)) for p in range(2, 6)),
        copy.copy(history),
        copy.deepcopy(history),
    ):
        assert type(each) is History
        assert each is not history
        assert each.to_dicts() == history.to_dicts()
        assert each.max_reports == history.max_reports
        assert each.max_timelines_bytes == history.max_timelines_bytes
        assert each.timelines_bytes > 0
        # It is one of its own from then on.
        length = len(history)
        each.append(CellReport(label="another"))
        assert (len(each), len(history)) == (length + 1, length)
        each.max_timelines_bytes = 0
        assert each.timelines_bytes == 0
        assert each[0].timeline is None
        assert history[0].timeline is not None
        each.clear()
        assert len(history) == length


def test_history_of_the_session_can_be_pickled_and_copied():
    with memwatch.watch("pickled"):
        pass
    for each in (
        pickle.loads(pickle.dumps(memwatch.history)),
        copy.copy(memwatch.history),
        copy.deepcopy(memwatch.history),
    ):
        assert each.to_dicts() == memwatch.history.to_dicts()


def test_reports_can_be_pickled_and_copied(history):
    for report in history:
        for each in (
            *(pickle.loads(pickle.dumps(report, p)) for p in range(2, 6)),
            copy.copy(report),
            copy.deepcopy(report),
        ):
            assert each == report
            assert each.to_dict() == report.to_dict()


def test_json(history, tmp_path):
    path = tmp_path / "kept.json"
    assert history.to_json(path) == path
    text = path.read_text(encoding="utf-8")
    read = json.loads(text)
    assert read == {
        "schema": 1,
        "memwatch": memwatch.__version__,
        "reports": history.to_dicts(),
    }
    assert "naïve" in text
    assert len(text.splitlines()) == 2 + len(history)
    assert len(read["reports"][0]["timeline"]["t_ns"]) == 512


def test_json_of_nothing(tmp_path):
    read = json.loads(History().to_json(tmp_path / "kept.json").read_text())
    assert read["reports"] == []


def test_csv(history, tmp_path):
    path = tmp_path / "kept.csv"
    assert history.to_csv(str(path)) == path
    data = path.read_bytes()
    assert data.startswith(",".join(COLUMNS).encode() + b"\r\n")
    assert data.endswith(b"\r\n")
    with path.open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert first["used_bytes"] == str(MIB + 1)
    assert first["single_max_cpu_percent"] == ""
    assert second["label"] == "naïve"
    assert second["source"] == 'print("a, b")\r\n\\ud800'
    assert second["used_bytes"] == ""


@pytest.mark.parametrize("name", ["to_json", "to_csv"])
def test_failure_leaves_the_old_file(history, tmp_path, name):
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(IsADirectoryError, match="it is a directory"):
        getattr(history, name)(path)
    with pytest.raises(FileNotFoundError, match="the path is empty"):
        getattr(history, name)("")
    assert os.listdir(tmp_path) == ["folder"]


USEFUL = [
    "source", "status", "used_mib", "peaked_mib", "risen_mib", "rss_end_mib",
    "duration_s", "children_count_peak", "children_pss_peak_mib",
]  # fmt: skip


def test_frame_of_pandas(history):
    pandas = pytest.importorskip("pandas")
    frame = history.to_frame()
    assert list(frame.columns)[: len(USEFUL)] == USEFUL
    # Fields of which nothing is known are left out.
    assert "used_bytes" in frame.columns
    assert "system_mean_cpu_percent" not in frame.columns
    assert frame.index.tolist() == [report.label for report in history]
    assert frame.index.name == "label"
    assert str(frame["used_mib"].dtype) == "Float64"
    assert frame["used_mib"].iloc[0] == (MIB + 1) / MIB
    assert frame["used_mib"].iloc[1] is pandas.NA
    assert frame["children_pss_peak_mib"].isna().all()
    assert str(frame["source"].dtype) == "string"
    assert list(History().to_frame().columns) == USEFUL


def test_frame_of_pandas_with_all_fields(history):
    pandas = pytest.importorskip("pandas")
    frame = history.to_frame(raw=True)
    assert list(frame.columns) == COLUMNS
    assert str(frame["used_bytes"].dtype) == "Int64"
    assert frame["used_bytes"][0] == MIB + 1
    assert frame["used_bytes"].isna().tolist() == [False, True]
    assert frame["started_at"][0] == datetime(
        2026, 11, 22, 10, 0, 0, 123_000, timezone.utc
    )
    assert pandas.isna(frame["started_at"][1])
    assert frame["status"].tolist() == ["ok", "error"]
    empty = History().to_frame(raw=True)
    assert list(empty.columns) == COLUMNS
    assert str(empty["used_bytes"].dtype) == "Int64"


def test_frame_of_polars_without_pandas(history, monkeypatch):
    polars = pytest.importorskip("polars")
    monkeypatch.setitem(sys.modules, "pandas", None)
    for each in History(), history:
        assert each.to_frame().columns[: 1 + len(USEFUL)] == ["label", *USEFUL]
        frame = each.to_frame(raw=True)
        assert frame.columns == COLUMNS
        assert frame.schema["used_bytes"] == polars.Int64
        assert frame.schema["started_at"] == polars.Datetime("us", "UTC")
    assert frame["used_bytes"].to_list() == [MIB + 1, None]
    assert frame["started_at"][0].microsecond == 123_000
    assert history.to_frame()["used_mib"].to_list() == [(MIB + 1) / MIB, None]


def test_repr_is_a_table_of_the_newest_reports():
    history = History()
    assert repr(history) == history._repr_html_() == "memwatch.history: no reports"
    for number in range(1, 13):
        history.append(shaped(number, points=1))
    title, header, *rows = repr(history).splitlines()
    assert title == "memwatch.history: 12 reports, the newest 10"
    assert header.endswith("cell")
    assert [row.split("In [")[1].split("]")[0] for row in rows] == [
        str(number) for number in range(3, 13)
    ]
    html = history._repr_html_()
    assert html.count("<tr>") == 11
    assert "12 reports, the newest 10" in html


def test_repr_of_a_watch():
    block = memwatch.watch("load")
    assert repr(block) == "watch('load'): has no report"
    assert block._repr_html_() is None
    with block:
        assert repr(block) == "watch('load'): has not ended"
    title, _, row = repr(block).splitlines()
    assert title == "watch('load')"
    assert row.endswith("  load")
    assert "<table" in block._repr_html_()


def test_frame_of_neither_names_both(history, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match=r"pip install pandas or pip install pol"):
        history.to_frame()


def test_reports_by_number_and_by_label():
    history = History()
    for number in (3, 4, 3):
        history.append(CellReport(label=f"In [{number}]", execution_count=number))
    history.append(CellReport(label="load"))
    assert history.cell(3) is history[2] is history["In [3]"]
    assert history["load"] is history[3]
    with pytest.raises(KeyError, match=r"no report of cell 5 in memwatch.history"):
        history.cell(5)
    with pytest.raises(KeyError, match=r"no report 'store' in memwatch.history"):
        history["store"]
