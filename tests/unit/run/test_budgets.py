"""Sizes, budgets, baselines: which cells went over, and by how much."""

import dataclasses

import nbformat
import pytest

from memwatch.run.budgets import baseline, budgets, violations
from memwatch.run.budgets.budgets import BudgetError, parse_size
from memwatch.run.budgets.violations import describe
from runs import cell, not_run, run
from support import MIB

GIB = 2**30


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("512MiB", 512 * MIB),
        ("2GiB", 2 * GIB),
        ("1.5GB", 1_500_000_000),
        ("1.1GB", 1_100_000_000),
        ("100B", 100),
        ("1 KiB", 1024),
        (" 3 kb ", 3000),
        ("2tib", 2 * 2**40),
        ("0MiB", 0),
        ("0.5B", 0),
    ],
)
def test_sizes(text, size_bytes):
    size = parse_size(text)
    assert size.of(None) == size_bytes
    assert size.of(5) == size_bytes
    assert size.text == text.strip()


def test_shares():
    assert parse_size("60%").of(1000) == 600
    assert parse_size("12.5 %").of(16 * GIB) == 2 * GIB
    assert parse_size("150%").of(1000) == 1500
    assert parse_size("60%").of(None) is None


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "512", "2G", "2Gi", "MiB", "-1MiB", "+1MiB", "1,5GB", "1.GiB", ".5GiB",
        "1e3MiB", "nan%", "infMiB", "1MiB 2MiB", "5MiBs", "٣MiB", "1\u00a0EiB", "%",
        "--5%", "9" * 30 + "MiB",
    ],
)  # fmt: skip
def test_invalid_sizes(text):
    with pytest.raises(BudgetError) as raised:
        parse_size(text)
    told = str(raised.value)
    assert told == (f"invalid size '{text}': expected for example 512MiB, 1.5GB or 60%")


def test_size_beyond_any_memory():
    with pytest.raises(BudgetError, match="'9000000000TiB': too large"):
        parse_size("9000000000TiB")


def notebook(*cells, **metadata):
    v4 = nbformat.v4
    return v4.new_notebook(cells=list(cells), metadata=metadata)


def code(source="x", **metadata):
    return nbformat.v4.new_code_cell(source, metadata=metadata)


def test_no_budgets_no_excess():
    assert budgets.check(run(cell(0, "x", peak=900)), budgets.Budgets()) == []
    assert budgets.read_budgets(notebook(code())) == budgets.Budgets()


def test_max_peak_is_each_cells():
    held = budgets.read_budgets(notebook(code(), code()), parse_size("100MiB"))
    made = run(
        cell(0, "# first\nx = 1", peak=100), cell(1, "big()", start=90, peak=130.5),
        cell(3, "bigger()", peak=2000), not_run(4),
    )  # fmt: skip
    found = budgets.check(made, held)
    assert [each.cell_index for each in found] == [1, 3]
    first = found[0]
    assert (first.what, first.rule) == ("peak", "--max-peak 100MiB")
    assert first.limit_bytes == 100 * MIB
    assert first.over_bytes == int(30.5 * MIB)
    assert describe(first) == (
        "nb/a.ipynb: In [2] `big()` held at most 130.50 MiB,"
        " 30.50 MiB more than --max-peak 100MiB"
    )
    assert first.to_dict()["over_bytes"] == int(30.5 * MIB)


def shown(found):
    return [describe(each, later) for each, later in violations.once(found)]


def test_cells_that_only_begin_over_budget_are_shown_once():
    held = budgets.read_budgets(notebook(), parse_size("100MiB"))
    made = run(
        cell(0, "small()", peak=60), cell(1, "big()", start=50, end=120, peak=130),
        cell(2, "x = 1", start=120, end=121),
        cell(3, "bigger()", start=121, end=90, peak=400),
        cell(4, "again()", start=90, end=101),
        cell(5, "y = 2", start=101, end=100.5, peak=101),
    )  # fmt: skip
    found = budgets.check(made, held)
    assert [(each.cell_index, each.is_inherited) for each in found] == [
        (1, False), (2, True), (3, True), (4, False), (5, True),
    ]  # fmt: skip
    big, again = shown(found)
    assert big == (
        "nb/a.ipynb: In [2] `big()` held at most 130.00 MiB, 30.00 MiB more than"
        " --max-peak 100MiB; 2 later cells still held more, at most 400.00 MiB in"
        " In [4]"
    )
    assert again == (
        "nb/a.ipynb: In [5] `again()` held at most 101.00 MiB, 1.00 MiB more than"
        " --max-peak 100MiB; 1 later cell still held more"
    )


def test_each_budget_and_notebook_is_shown():
    small = {"tags": ["memwatch-max-peak=1MiB"]}
    made = run(cell(0, "a", start=50), cell(1, "b", start=50))
    # Each cell's own budget.
    own = budgets.read_budgets(notebook(code(**small), code(**small)))
    assert len(shown(budgets.check(made, own))) == 2
    # The first cell begins over budget: the kernel itself holds more.
    held = budgets.read_budgets(notebook(), parse_size("1MiB"))
    found = budgets.check(made, held)
    other = budgets.check(run(cell(0, "c"), notebook="nb/b.ipynb"), held)
    assert [each.partition(" ")[0] for each in shown(found + other)] == [
        "nb/a.ipynb:", "nb/b.ipynb:",
    ]  # fmt: skip


def test_higher_start_than_in_the_earlier_run_is_shown_once():
    then = run(cell(0, "load()", end=60), *[cell(i, "x", start=60) for i in (1, 2)])
    now = run(
        cell(0, "load()", end=90), cell(1, "x", start=90),
        cell(2, "x", start=90, peak=120),
    )  # fmt: skip
    found = [each for each in compared(now, then) if each.what == "peak"]
    assert [each.is_inherited for each in found] == [False, True, False]
    load, last = shown(found)
    assert load == (
        "nb/a.ipynb: In [1] `load()` held at most 90.00 MiB, 24.00 MiB more than"
        " --baseline and 10% (then 60.00 MiB); 1 later cell still held more"
    )
    assert last == (
        "nb/a.ipynb: In [3] `x` held at most 120.00 MiB, 54.00 MiB more than"
        " --baseline and 10% (then 60.00 MiB)"
    )


def test_max_used_is_the_notebooks():
    held = budgets.read_budgets(notebook(), None, parse_size("50MiB"))
    cells = [cell(0, "a", start=50, end=80), cell(1, "b", start=85, end=101)]
    [found] = budgets.check(run(*cells, not_run(2)), held)
    assert (found.cell_index, found.label, found.what) == (None, "the notebook", "used")
    assert describe(found) == (
        "nb/a.ipynb: the notebook kept 51.00 MiB, 1.00 MiB more than --max-used 50MiB"
    )
    assert budgets.check(run(cells[0]), held) == []
    assert budgets.check(run(not_run(0)), held) == []


def test_a_share_is_one_of_the_limit_in_force():
    held = budgets.read_budgets(notebook(), parse_size("60%"))
    made = run(cell(0, "x", peak=700), limit_bytes=1000 * MIB)
    [found] = budgets.check(made, held)
    assert found.limit_bytes == 600 * MIB
    assert (
        budgets.check(run(cell(0, "x", peak=600), limit_bytes=1000 * MIB), held) == []
    )


def test_unknown_figure_is_a_violation():
    held = budgets.read_budgets(notebook(), parse_size("60%"))
    [found] = budgets.check(run(cell(0, "x", peak=70)), held)
    assert found.over_bytes is None
    assert "which is unknown: give a size" in describe(found)
    held = budgets.read_budgets(notebook(), parse_size("60MiB"), parse_size("1GiB"))
    made = run(cell(0, "x", rss_peak_bytes=None, rss_end_bytes=None))
    peak, used = budgets.check(made, held)
    assert "kept could not be measured: --max-used 1GiB" in describe(used)
    assert "held at most could not be measured: --max-peak 60MiB" in describe(peak)


def test_a_cells_own_budgets():
    held = budgets.read_budgets(
        notebook(
            code(memwatch={"max_peak": "60MiB", "max_used": "1 MiB"}),
            code(tags=["other", "memwatch-max-peak=2GiB", "memwatch-max-used=10%"]),
            nbformat.v4.new_markdown_cell(
                "x", metadata={"tags": ["memwatch-max-peak=1B"]}
            ),
            code(tags=["memwatch-max-peak=1B", "memwatch-quiet"]),
        )
    )
    assert list(held.cells) == [0, 1, 3]
    made = run(
        cell(0, "a", start=50, end=52, peak=61),
        cell(1, "b", start=50, end=161),
        not_run(3),
        limit_bytes=1000 * MIB,
    )
    found = budgets.check(made, held)
    assert [(each.cell_index, each.what, each.rule) for each in found] == [
        (0, "peak", "its metadata 60MiB"),
        (0, "used", "its metadata 1 MiB"),
        (1, "used", "its tag 10%"),
    ]


def test_a_notebooks_own_budgets_hold_beside_the_options():
    held = budgets.read_budgets(
        notebook(code(), memwatch={"max_peak": "100MiB"}), parse_size("1GiB")
    )
    found = budgets.check(run(cell(0, "x", peak=101)), held)
    assert [each.rule for each in found] == ["its metadata 100MiB"]


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"memwatch": {"max_peak": "5"}}, "cell 2: max_peak: invalid size '5'"),
        ({"memwatch": {"max_used": 5}}, "cell 2: invalid max_used 5: expected a text"),
        (
            {"tags": ["memwatch-max-peak="]},
            "cell 2: tag 'memwatch-max-peak=': invalid size ''",
        ),
    ],
)
def test_a_bad_budget_names_its_cell(metadata, told):
    with pytest.raises(BudgetError, match=told):
        budgets.read_budgets(notebook(code(), code(**metadata)))


@pytest.mark.parametrize(
    "metadata", [{"memwatch": "x"}, {"memwatch": None}, {"tags": [7]}]
)
def test_other_tags_are_not_budgets(metadata):
    assert budgets.read_budgets({"cells": [{"metadata": metadata}], "metadata": 3}) == (
        budgets.Budgets()
    )


# ---- an earlier run ----


def compared(now, then, tolerance="10%"):
    return baseline.compare(now, then, parse_size(tolerance))


def test_noise_is_not_a_violation():
    then = run(cell(0, "x", start=50, end=50.1), cell(1, "y", start=50, end=49))
    now = run(cell(0, "x", start=50, end=50.2), cell(1, "y", start=50, end=50))
    assert compared(now, then, "0%") == []


def test_more_than_the_tolerance():
    then = run(cell(0, "x", start=50, end=150, peak=200))
    assert compared(run(cell(0, "x", start=50, end=160, peak=220)), then) == []
    found = compared(run(cell(0, "x", start=50, end=161, peak=221)), then)
    assert [(each.cell_index, each.what) for each in found] == [
        (None, "used"), (0, "peak"), (0, "used"),
    ]  # fmt: skip
    assert found[1].limit_bytes == 220 * MIB
    assert describe(found[1]) == (
        "nb/a.ipynb: In [1] `x` held at most 221.00 MiB,"
        " 1.00 MiB more than --baseline and 10% (then 200.00 MiB)"
    )
    assert found[1].to_dict()["earlier_bytes"] == 200 * MIB
    assert compared(run(cell(0, "x", start=50, end=190, peak=240)), then, "40MiB") == []


def test_less_is_fine():
    then = run(cell(0, "x", start=50, end=150, peak=200))
    assert compared(run(cell(0, "x", start=50, end=20)), then, "0%") == []


def test_many_small_growths_add_up():
    then = run(*[cell(i, f"x{i}", start=50, end=50) for i in range(20)])
    now = run(
        *[
            cell(i, f"x{i}", start=50 + i / 2, end=50.5 + i / 2, peak=60)
            for i in range(20)
        ]
    )
    found = compared(now, then, "30%")
    assert [(each.cell_index, each.what) for each in found] == [(None, "used")]


def test_unknown_figures_are_not_compared():
    unknown = {"used_bytes": None, "rss_peak_bytes": None}
    then = run(cell(0, "x", **unknown), not_run(1, "y"), state="error")
    now = run(cell(0, "x", end=900), cell(1, "y", end=900))
    assert compared(now, then) == []


def paired(now, then):
    return [(a.source, b.source) for a, b in baseline.pairs(now, then)]


def test_by_id_then_by_source_then_by_place():
    then = [cell(0, "a", cell_id="i"), cell(1, "b"), cell(2, "c"), cell(3, "d")]
    now = [
        cell(0, "new"), cell(1, "d"), cell(2, "a2", cell_id="i"), cell(3, "b2"),
        cell(4, "c"),
    ]  # fmt: skip
    assert paired(now, then) == [
        ("d", "d"),
        ("a2", "a"),
        ("b2", "b"),
        ("c", "c"),
    ]


def test_a_new_cell_is_compared_with_none():
    then = [cell(0, "a"), cell(1, "b")]
    now = [cell(0, "a"), cell(1, "new"), cell(2, "b")]
    assert paired(now, then) == [("a", "a"), ("b", "b")]
    assert paired(then, now) == [("a", "a"), ("b", "b")]
    assert paired(now, []) == []


def test_cells_of_one_text_keep_their_order():
    then = [cell(i, "step()", start=50 + i) for i in range(3)]
    now = [cell(i, "step()", start=60 + i) for i in range(4)]
    assert [(a.cell_index, b.cell_index) for a, b in baseline.pairs(now, then)] == [
        (0, 0), (1, 1), (2, 2),
    ]  # fmt: skip


def test_the_earlier_run_of_a_notebook():
    earlier = [run(notebook="nb/a.ipynb"), run(notebook="old/b.ipynb")]
    earlier += [run(notebook="x/c.ipynb"), run(notebook="y/c.ipynb")]

    def found(path):
        one = baseline.find_earlier(run(notebook=path), earlier)
        return one and one.notebook

    assert found("./nb/a.ipynb") == "nb/a.ipynb"
    assert found("/elsewhere/b.ipynb") == "old/b.ipynb"
    assert found("c.ipynb") is None
    assert found("y/c.ipynb") == "y/c.ipynb"
    assert found("new.ipynb") is None


def test_cells_that_take_no_part():
    empty = dataclasses.replace(cell(0), source="", report=None)
    assert violations.ran(run(empty, not_run(1), cell(2, "x"))) == [cell(2, "x")]
    assert violations.label_of(not_run(4)) == "cell 5"
