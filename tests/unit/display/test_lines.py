"""The line, to the byte."""

import re

import pytest

from memwatch import CellReport
from memwatch.display import lines
from support import CLASSIC, CPU

MIB = 2**20


def report(**values):
    figures = {
        "duration_ns": 720_000_000,
        "used_bytes": 9752576,
        "peaked_bytes": 0,
        "rss_end_bytes": 26319258,
    }
    return CellReport(**{**figures, **values})


def test_classic_is_the_reference_line():
    assert lines.classic(4, report()) == (
        "In [4] used 9.3008 MiB RAM in 0.72s,"
        " peaked 0.00 MiB above current, total RAM usage 25.10 MiB"
    )


def test_classic_negative_use_and_peak():
    line = lines.classic(12, report(used_bytes=-30 * MIB, peaked_bytes=30 * MIB))
    assert line == (
        "In [12] used -30.0000 MiB RAM in 0.72s,"
        " peaked 30.00 MiB above current, total RAM usage 25.10 MiB"
    )
    assert CLASSIC.fullmatch(line)


def of_children(most=0, peak=None, rss_peak=None, now=0, pss=None, rss=None, missed=0):
    """A report; sizes in MiB."""
    sizes = {
        "children_pss_peak_bytes": peak,
        "children_rss_peak_bytes": rss_peak,
        "children_pss_bytes": pss,
        "children_rss_bytes": rss,
    }
    return report(
        children_count_peak=most,
        children_count=now,
        children_missed=missed,
        **{name: each and round(each * MIB) for name, each in sizes.items()},
    )


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (report(), ""),
        (of_children(), ""),
        (of_children(3, peak=461, rss_peak=700), "3 children, peak 461 MiB PSS"),
        # Where PSS was not read in time: no figure that counts a page twice is a peak.
        (of_children(3, rss_peak=700), "3 children, up to 700 MiB RSS"),
        (
            of_children(1, peak=12.5, now=1, pss=11),
            "1 child, peak 12.5 MiB PSS, now 11.0 MiB PSS",
        ),
        (
            of_children(2, rss_peak=1239, now=2, rss=1024),
            "2 children, up to 1.21 GiB RSS, now 1.00 GiB RSS",
        ),
        (of_children(missed=1), "1 child, too short to measure"),
        (of_children(missed=40), "40 children, too short to measure"),
    ],
)
def test_children_follow_the_total(made, text):
    end = f" (+{text})" if text else ""
    assert lines.classic(4, made).endswith(f" total RAM usage 25.10 MiB{end}")
    assert lines.cpu(4, made).endswith(f" current RAM usage now 25.1 MiB{end}")
    assert lines.short(4, made).endswith(f" total 25.1 MiB{end}")


def test_cpu_is_the_line_of_version_1_8():
    line = lines.cpu(
        3,
        report(
            duration_ns=250_000_000,
            used_bytes=round(14.6 * MIB),
            rss_end_bytes=round(69.8 * MIB),
            system_mean_cpu_percent=15,
            single_max_cpu_percent=100,
        ),
    )
    assert line == (
        "In [3] used 14.6 MiB RAM in 0.25s"
        " (system mean cpu 15%, single max cpu 100%),"
        " peaked 0.0 MiB above final usage, current RAM usage now 69.8 MiB"
    )
    assert CPU.fullmatch(line)


def test_cpu_without_a_tick_is_0_percent_as_in_version_1_8():
    line = lines.cpu(3, report())
    assert "(system mean cpu 0%, single max cpu 0%)" in line
    assert CPU.fullmatch(line)


def test_duration_by_a_clock_that_stood_is_not_zero():
    for style in lines.classic, lines.cpu:
        assert re.search(r" RAM in n/a[ ,]", style(1, report(duration_ns=None)))


def test_unknown_is_not_zero():
    assert "used ? MiB RAM in n/a, peaked ? MiB" in lines.classic(1, CellReport())


@pytest.mark.parametrize(
    ("used", "peaked", "total", "line"),
    [
        (14.3, 0, 66.2, "[3] +14.3 MiB, peak +0.0, 0.72 s, total 66.2 MiB"),
        (-300, 30, 512, "[3] -300.0 MiB, peak +30.0, 0.72 s, total 512 MiB"),
        (2048, 1536, 4096, "[3] +2.00 GiB, peak +1.50 GiB, 0.72 s, total 4.00 GiB"),
        (-0.01, 0, 66, "[3] +0.0 MiB, peak +0.0, 0.72 s, total 66.0 MiB"),
    ],
)
def test_short(used, peaked, total, line):
    made = report(
        used_bytes=int(used * MIB),
        peaked_bytes=int(peaked * MIB),
        rss_end_bytes=int(total * MIB),
    )
    assert lines.short(3, made) == line
    assert len(line) <= 80


def test_short_without_figures():
    assert lines.short(1, CellReport()) == "[1] ?, peak ?, ? s, total ?"


@pytest.mark.parametrize(
    ("used", "figure"),
    [
        (14.3, "\x1b[33m+14.3 MiB\x1b[0m"),
        (-2, "\x1b[32m-2.0 MiB\x1b[0m"),
        (0.5, "+0.5 MiB"),
    ],
)
def test_short_in_colour(used, figure):
    made = report(used_bytes=int(used * MIB))
    assert lines.short_in_colour(3, made).startswith(f"[3] {figure}, peak ")
