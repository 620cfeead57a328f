"""The table of `memwatch top` as text."""

import pytest

from memwatch.top.processes import Process
from memwatch.top.table import (
    choose,
    fit,
    headline,
    history_top_bytes,
    level,
    name_of,
    row,
    table,
    title,
)
from messages import SECOND, message, process, read
from support import MIB


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
    assert at_80 == ["notebook", "state", "rss", "peak", "share", "time", "cell"]
    long = process(notebook="a notebook with a very long name, version 2.ipynb")
    assert [each.name for each in choose([long], 80)] == at_80
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


@pytest.mark.parametrize(
    ("source", "kernel_id", "notebook", "name"),
    [
        ("box", "a", "/home/me/train.ipynb", "train.ipynb"),
        ("box", "a", "here.ipynb", "here.ipynb"),
        ("box", "host-7", None, "terminal 7"),
        ("stream", "host-7", None, "host-7"),
        ("box", "1f0d5c1e-77a5-4b6e-9b1e-1c2d3e4f5a6b", None, "kernel 1f0d5c1e"),
        ("box", "own-name", None, "own-name"),
    ],
)
def test_first_column_says_which_process_it_is(source, kernel_id, notebook, name):
    seen = Process(source, kernel_id, 7, notebook=notebook)
    assert name_of(seen) == name
    assert table([seen], 80, SECOND).splitlines()[1].startswith(name)


def test_notebook_column_is_as_wide_as_the_names_up_to_a_limit():
    def width(name, of_table):
        return choose([process(notebook=name)], of_table)[0].width

    assert width("a.ipynb", 80) == len("NOTEBOOK") + 1
    assert width("b" * 15, 80) == 15
    assert width("b" * 99, 80) == 18
    assert width("b" * 99, 200) == 30


def test_titles_end_above_their_figures():
    seen = process(rss_bytes=970 * MIB, limit_bytes=1000 * MIB, cell={"duration_ns": 5})
    titles, figures = table([seen], 200, SECOND).splitlines()
    for name, figure in [
        ("RSS", "970 MiB"), ("SHARE", " 97 %"), ("LIMIT", "0.98 GiB"), ("PID", "123"),
    ]:  # fmt: skip
        end = titles.index(name) + len(name)
        assert figures[:end].endswith(figure), (name, titles, figures)
    state = titles.index("STATE")
    assert figures[state:].startswith("running")


def test_arrow_moves_and_cuts_no_title():
    for width in (24, 40, 80, 120, 300):
        columns = choose([process()], width)
        plain = "".join(map(title, columns))
        for sorted_one in columns:
            with_arrow = "".join(
                title(each, "▲" if each is sorted_one else "") for each in columns
            )
            assert with_arrow.replace("▲", " ") == plain
            assert f"{sorted_one.title}▲" in with_arrow
            assert with_arrow.count("▲") == 1


MIB_100, MIB_98 = 100 * MIB, 98 * MIB


@pytest.mark.parametrize(
    ("limit_bytes", "values", "bars"),
    [
        (None, [MIB_98, MIB_100, MIB_98], "███"),  # no mountains of noise
        (None, [MIB_100] * 3, "███"),
        (None, [0, MIB_100 // 2, MIB_100], "▁▅█"),
        (200 * MIB, [0, MIB_100, MIB_98], "▁▅▄"),  # of the limit
        (200 * MIB, [MIB_100, 200 * MIB, 300 * MIB], "▅██"),
        (800 * MIB, [0, MIB_100], "▁▂"),
        (801 * MIB, [0, MIB_100], "▁█"),  # below an eighth: of the maximum
        (0, [0, MIB_100], "▁█"),
        (None, [0, 0], "▁▁"),
    ],
)
def test_history_is_scaled_from_zero(limit_bytes, values, bars):
    seen = process(limit_bytes=limit_bytes)
    seen.history.extend(values)
    (column,) = (each for each in choose([seen], 200) if each.name == "history")
    assert row(seen, [column], SECOND) == [bars.ljust(column.width)]
    assert history_top_bytes(seen, values) in (limit_bytes, max(values))


def test_time_of_a_silent_process_is_unknown():
    seen = process(now_ns=SECOND, cell={"duration_ns": 5 * SECOND})
    assert "5.0 s" in table([seen], 80, SECOND)
    assert "1:05" not in table([seen], 80, 61 * SECOND)


def test_headline_counts_the_dead():
    dead = process(kernel_id="b")
    dead.end(SECOND, died=True)
    text = headline([process(), dead], SECOND)
    assert text == "2 processes, 1 running, 1 died; RSS 200 MiB in all"
    assert " died " in table([dead], 80, SECOND)
