"""Sizes and times as a person reads them."""

import pytest

from memwatch.display import units

S = 10**9


def test_small_negative_is_not_minus_zero():
    assert units.mib(-4096, 1) == "0.0"
    assert units.mib(-4096, 4) == "-0.0039"


def test_unknown_is_not_zero():
    assert units.mib(None) == units.short(None) == units.seconds(None) == "?"
    assert units.size(None) == "unknown"
    assert units.duration(None) == "n/a"
    assert units.clock(None) == ""


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [(99_990_000, "99.99 ms"), (S // 10, "0.10 s"), (90 * S, "90.00 s")],
)
def test_duration(duration_ns, text):
    assert units.duration(duration_ns) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (9.96, "10.0 s"), (59, "59 s"), (61, "1:01"), (3599, "59:59"),
        (3600, "1:00:00"), (359_999, "99:59:59"), (360_000, "4 d"),
    ],
)  # fmt: skip
def test_clock(seconds, text):
    assert units.clock(int(seconds * S)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.3, "0.3 s"), (119, "119.0 s"), (120, "2 minutes"), (7200, "2 hours"),
        (172_800, "2 days"),
    ],
)  # fmt: skip
def test_age(seconds, text):
    assert units.age(int(seconds * S)) == text
