"""The table of `memwatch top` as text."""

import pytest

from memwatch.top.table import choose, fit, headline, level, table
from messages import SECOND, message, process, read


@pytest.mark.parametrize(
    ("share", "marks"), [(59, 0), (60, 1), (79, 1), (80, 2), (94, 2), (95, 3), (300, 3)]
)
def test_exclamation_marks_show_the_level(share, marks):
    seen = process(rss_bytes=share * 10**6, limit_bytes=10**8)
    assert level(seen) == marks
    text = table([seen], 120, SECOND)
    assert text.count("!") == marks
    assert f"{share} %" in text


@pytest.mark.parametrize("width", [1, 10, 20, 40, 60, 80, 100, 132, 200, 500])
def test_no_line_is_wider_than_the_terminal(width):
    few = [
        process(kernel_id="1f0d5c1e-77a5-4b6e-9b1e-1c2d3e4f5a6b"),
        process(kernel_id="數" * 40, cell={"source": "數" * 100}, host="e\u0301" * 30),
        process(pid=2**62, rss_bytes=2**62, limit_bytes=1, cell={"duration_ns": 2**62}),
    ]
    lines = table(few, width, SECOND).splitlines()
    assert len(lines) == 4
    for line in lines:
        assert len(fit(line, width)) <= width + 60
        wide = sum(each in "數" for each in line) + len(line) - line.count("\u0301")
        assert wide <= width


def test_narrow_tables_keep_the_important_columns():
    few = [process()]
    assert [each.name for each in choose(few, 24)] == ["rss", "cell"]
    at_80 = [each.name for each in choose(few, 80)]
    assert at_80 == ["kernel", "pid", "state", "rss", "peak", "share", "time", "cell"]
    assert "limit" in [each.name for each in choose(few, 160)]


def test_host_and_user_are_shown_only_if_they_differ():
    same = [process(kernel_id="a"), process(kernel_id="b")]
    assert "host" not in [each.name for each in choose(same, 300)]
    two = [*same, process(kernel_id="c", host="other", user="else")]
    names = [each.name for each in choose(two, 300)]
    assert "host" in names
    assert "user" in names


def test_headline_does_not_count_the_memory_of_gone_processes():
    gone = process(kernel_id="b")
    gone.update_from_message(read(message("bye", kernel_id="b"), kernel_id="b"), SECOND)
    text = headline([process(), gone], SECOND)
    assert text == "2 processes, 1 running, 1 gone; RSS 200 MiB in all"
