"""What comes out of a run as files: metadata, JSON, CSV, Markdown."""

import copy
import csv
import json
import subprocess
import sys
from dataclasses import replace
from typing import get_args

import nbformat
import pytest

from memwatch import CellReport
from memwatch.run.budgets.budgets import Budget, Budgets, check, parse_size
from memwatch.run.notebook_files import InputError, read_notebook
from memwatch.run.output import exports, metadata, summary
from memwatch.run.results import CellRun, CellState, NotebookState
from runs import cell, not_run, run
from support import MIB, ROOT

V4 = nbformat.v4
HOSTILE = "<script>alert(1)</script> | ` * [x](http://x.org) @someone \ud800\x1b[31m"


def notebook(**values):
    cells = [
        V4.new_markdown_cell("# Title"),
        V4.new_code_cell("x = 1", metadata={"memwatch": {"max_peak": "1GiB"}}),
        V4.new_code_cell("boom()", metadata={"tags": ["memwatch-max-used=1MiB"]}),
        V4.new_code_cell("never()"),
    ]
    return V4.new_notebook(cells=cells, metadata=values)


def made(**fields):
    cells = [
        cell(1, "x = 1", end=60, cell_id="one"),
        cell(2, "boom()", end=70, peak=99, state="died", peak_method="sampled"),
        not_run(3),
    ]
    return run(*cells, **{"state": "died", "message": "killed", **fields})


# ---- in the notebook ----


def test_metadata_of_a_notebook(tmp_path):
    book = notebook()
    metadata.apply(book, made())
    assert book.cells[0].metadata == {}
    own = book.cells[1].metadata.memwatch
    assert own == {
        "max_peak": "1GiB",
        "state": "ok",
        **made().cells[0].report.to_dict(),
    }
    assert own["timeline"]["rss_bytes"] == [50 * MIB, 60 * MIB, 60 * MIB]
    assert book.cells[2].metadata.memwatch["status"] == "died"
    assert book.cells[2].metadata.memwatch["state"] == "died"
    assert book.cells[2].metadata.tags == ["memwatch-max-used=1MiB"]
    assert book.cells[3].metadata.memwatch == {"state": "not run"}
    whole = book.metadata.memwatch
    assert (whole["state"], whole["notebook"]) == ("died", "nb/a.ipynb")
    assert whole["memwatch"] == __import__("memwatch").__version__
    assert "cells" not in whole
    nbformat.validate(book)
    # A file is what comes of it.
    exports.write_notebook(tmp_path / "a.ipynb", book)
    assert (tmp_path / "a.ipynb").read_text().endswith("}\n")
    assert read_notebook(tmp_path / "a.ipynb") == book


def test_an_earlier_runs_figures_go():
    book = notebook(memwatch={"max_used": "1GiB", "attempts": 7})
    metadata.apply(book, made())
    second = run(cell(1, "x = 1"), not_run(2), not_run(3), state="error")
    metadata.apply(book, second)
    assert book.cells[1].metadata.memwatch["max_peak"] == "1GiB"
    assert book.cells[2].metadata.memwatch == {"state": "not run"}
    assert book.metadata.memwatch["state"] == "error"
    assert book.metadata.memwatch["max_used"] == "1GiB"


def test_strip_removes_only_what_apply_wrote():
    book = notebook(memwatch={"max_used": "1GiB"}, theirs={"name": "x"})
    before = copy.deepcopy(book)
    metadata.strip(book)
    assert book == before
    metadata.apply(book, made())
    metadata.strip(book)
    assert book == before


def test_other_metadata_stays():
    book = notebook(memwatch="a text")
    book.cells[1].metadata["memwatch"] = 3
    metadata.strip(book)
    assert book.metadata.memwatch == "a text"
    metadata.apply(book, made())
    assert book.cells[1].metadata.memwatch["state"] == "ok"


@pytest.mark.parametrize("index", [0, 4, -1])
def test_a_run_of_another_notebook(index):
    book = notebook()
    before = copy.deepcopy(book)
    with pytest.raises(ValueError, match=f"no code cell {index}"):
        metadata.apply(book, run(cell(1, "x"), cell(index, "x")))
    assert book == before


def test_nbstripout_takes_all_of_it_away(tmp_path):
    """As docs/run.md says."""
    pytest.importorskip("nbstripout")
    book = notebook()
    metadata.apply(book, made())
    exports.write_notebook(tmp_path / "a.ipynb", book)
    assert "rss_peak_bytes" in (tmp_path / "a.ipynb").read_text()
    keys = "metadata.memwatch cell.metadata.memwatch"
    subprocess.run(
        [sys.executable, "-m", "nbstripout", "--extra-keys", keys,
         tmp_path / "a.ipynb"],
        check=True, timeout=60,
    )  # fmt: skip
    stripped = nbformat.read(tmp_path / "a.ipynb", 4)
    assert "memwatch" not in stripped.metadata
    assert [each.metadata for each in stripped.cells] == [
        {}, {}, {"tags": ["memwatch-max-used=1MiB"]}, {},
    ]  # fmt: skip
    assert [each.source for each in stripped.cells] == [
        each.source for each in book.cells
    ]


# ---- JSON ----


def excesses_of(one):
    return check(one, Budgets((Budget("peak", parse_size("60MiB"), "--max-peak"),)))


def test_json_round_trip(tmp_path):
    runs = [made(limit_bytes=5), run(notebook="b.ipynb")]
    path = tmp_path / "a.json"
    exports.write_json(path, runs, excesses_of(runs[0]))
    data = json.loads(path.read_text())
    assert list(data) == ["schema", "memwatch", "notebooks", "violations"]
    assert data["schema"] == 2
    assert data["notebooks"] == [each.to_dict() for each in runs]
    assert [each["over_bytes"] for each in data["violations"]] == [39 * MIB]
    assert exports.load(path) == runs
    exports.write_json(path, [])
    assert exports.load(path) == []


def test_json_to_stdout(capsys):
    exports.write_json("-", [made(notebook=HOSTILE)])
    out = capsys.readouterr().out
    assert json.loads(out)["notebooks"][0]["notebook"] == HOSTILE


def test_all_texts_survive_json(tmp_path):
    runs = [run(cell(0, HOSTILE + "\u2028\r\n\0"), notebook=HOSTILE)]
    exports.write_json(tmp_path / "a.json", runs)
    assert exports.load(tmp_path / "a.json") == runs


def test_unknown_fields_are_ignored(tmp_path):
    data = {**made().to_dict(), "later": 1}
    data["cells"][0]["report"]["later"] = 1
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"schema": 2, "memwatch": "x", "notebooks": [data]}))
    assert exports.load(file) == [made()]


def envelope(**values):
    data = {"schema": 1, "memwatch": "x", "notebooks": [made().to_dict()]}
    return json.dumps({**data, **values})


def changed(**values):
    return envelope(notebooks=[{**made().to_dict(), **values}])


def with_cell(**values):
    return changed(cells=[{**made().cells[0].to_dict(), **values}])


NOT_OURS = "not written by `memwatch run --json`"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "",
            "invalid JSON (Expecting value: line 1 column 1 (char 0)); expected a",
        ),
        ("\udcff", "invalid JSON ('utf-8' codec can't decode"),
        ("[1]", NOT_OURS),
        ("[" * 100_000, "invalid JSON"),
        (
            '{"reports": [], "schema": 1}',
            f"{NOT_OURS}; it is the history of a session",
        ),
        ('{"nbformat": 4}', f"{NOT_OURS}; it is a notebook"),
        ('{"notebooks": 1}', NOT_OURS),
        (envelope(schema=3), "schema 3 of memwatch x: expected 2 or 1"),
        (
            envelope(notebooks=[1]),
            f"{NOT_OURS}: Expected `object`, got `int` - at `notebooks[0]`",
        ),
        (
            envelope(notebooks=[{}]),
            f"{NOT_OURS}: Object missing required field `notebook`",
        ),
        (changed(state="well"), f"{NOT_OURS}: Invalid enum value 'well' - at"),
        (changed(duration_ns=1.5), f"{NOT_OURS}: Expected `int | null`, got `float`"),
        (
            changed(rss_peak_bytes=True),
            f"{NOT_OURS}: Expected `int | null`, got `bool`",
        ),
        (changed(notebook=None), f"{NOT_OURS}: Expected `str`, got `null`"),
        (changed(cells=None), f"{NOT_OURS}: Expected `array`, got `null`"),
        (changed(cells=[None]), f"{NOT_OURS}: Expected `object`, got `null`"),
        (with_cell(report=[]), f"{NOT_OURS}: Expected `object | null`, got `array`"),
        (
            with_cell(report={"used_bytes": "9"}),
            f"{NOT_OURS}: Expected `int | null`, got `str`",
        ),
        (
            with_cell(report={"timeline": {"t_ns": []}}),
            f"{NOT_OURS}: Object missing required field `rss_bytes`",
        ),
        (
            with_cell(report={"timeline": [1]}),
            f"{NOT_OURS}: Expected `object | null`, got `array`",
        ),
    ],
)
def test_invalid_baselines(tmp_path, text, told):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError) as raised:
        exports.load(path)
    assert str(raised.value).startswith(f"{path}: {told}")
    assert "\n" not in str(raised.value)


def test_a_baseline_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        exports.load(tmp_path / "a.json")


# ---- CSV ----


def test_one_row_a_cell(tmp_path):
    runs = [made(), run(cell(0, 'a, "b"\nc'), notebook="b.ipynb")]
    exports.write_csv(tmp_path / "a.csv", runs)
    text = (tmp_path / "a.csv").read_bytes().decode()
    assert text.count("\r\n") == 5
    rows = list(csv.DictReader(text.splitlines(keepends=True)))
    assert tuple(rows[0]) == exports.CSV_COLUMNS
    assert exports.CSV_COLUMNS[:5] == (
        "notebook", "notebook_state", "cell_index", "state", "schema",
    )  # fmt: skip
    told = [(r["notebook"], r["cell_index"], r["state"], r["used_bytes"]) for r in rows]
    assert told == [
        ("nb/a.ipynb", "1", "ok", str(10 * MIB)),
        ("nb/a.ipynb", "2", "died", str(20 * MIB)),
        ("nb/a.ipynb", "3", "not run", ""),
        ("b.ipynb", "0", "ok", "0"),
    ]
    assert [row["source"] for row in rows] == ["x = 1", "boom()", "never()", 'a, "b"']
    exports.write_csv(tmp_path / "a.csv", [])
    assert (
        (tmp_path / "a.csv")
        .read_text()
        .startswith("notebook,notebook_state,cell_index,")
    )


@pytest.mark.parametrize("write", [exports.write_json, exports.write_csv])
def test_files_are_whole_or_not_there(tmp_path, write):
    broken = run(CellRun(cell_index=0, state="ok", report=CellReport(timeline={})))
    (tmp_path / "a").write_text("old")
    with pytest.raises(OSError, match="no such directory"):
        write(tmp_path / "no/a", [made()])
    if write is exports.write_json:
        with pytest.raises(KeyError):
            write(tmp_path / "a", [made(), broken])
    assert (tmp_path / "a").read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_the_documentation_has_all_of_it():
    told = (ROOT / "docs/run.md").read_text()
    one = made()
    [violation, *_] = excesses_of(one)
    names = {*one.to_dict(), *one.cells[0].to_dict(), *violation.to_dict()}
    for name in {*names, *exports.CSV_COLUMNS[:4]} - {"schema"}:
        assert f"`{name}`" in told, name
    for state in (*get_args(CellState), *get_args(NotebookState)):
        assert f"`{state}`" in told, state


# ---- Markdown ----


def test_summary_lists_violations_first(tmp_path):
    fine = run(cell(0, "x = 1"), notebook="fine.ipynb")
    runs = [fine, made()]
    text = summary.summary(runs, excesses_of(runs[1]))
    lines = text.splitlines()
    assert lines[0] == "### memwatch run: 2 notebooks: 1 ok, 1 died; 1 over budget"
    assert text.index("**Over budget**") < text.index("| notebook | state |")
    assert (
        "- nb/a.ipynb: In \\[3\\] <code>boom()</code> held at most 99.00 MiB,"
        " 39.00 MiB more than --max-peak 60MiB"
    ) in lines
    first = lines.index("| :-- | :-- | :-- | --: | --: | --: |") + 1
    assert lines[first] == "| nb/a.ipynb | **died** | 2 of 3 | 20.00 | 99.00 | 3.00 |"
    assert lines[first + 1] == "| fine.ipynb | ok | 1 of 1 | 0.00 | 50.00 | 3.00 |"
    assert "- nb/a.ipynb: killed" in lines
    assert text.endswith("|\n")
    summary.write_summary(tmp_path / "a.md", runs, excesses_of(runs[1]))
    assert (tmp_path / "a.md").read_text() == text


def test_summary_of_thousands_is_short():
    runs = [
        run(cell(0, "x" * 200, peak=90), notebook=f"{i}.ipynb") for i in range(3000)
    ]
    violations = [each for one in runs for each in excesses_of(one)]
    text = summary.summary(runs, violations)
    assert len(text.encode()) < 50_000
    assert "and 2950 more" in text
    assert "and 2900 more" in text


def test_summary_of_nothing():
    assert summary.summary([]) == "### memwatch run: no notebooks\n"
    empty = run(not_run(0), state="no kernel", rss_peak_bytes=None, duration_ns=None)
    assert "| **no kernel** | 0 of 1 | ? | ? | ? |" in summary.summary([empty])


def test_summary_escapes_texts_of_notebooks():
    """Read as GitHub would: a table's rows stay rows, and nothing becomes markup."""
    markdown_it = pytest.importorskip("markdown_it")
    one = run(
        cell(0, HOSTILE, peak=90), notebook=HOSTILE, message=HOSTILE, state="error"
    )
    text = summary.summary([one], excesses_of(one))
    parser = markdown_it.MarkdownIt("commonmark").enable("table")
    html = parser.render(text.encode("utf-8", "replace").decode())
    assert "<script" not in html
    assert "<a " not in html
    assert "<em>" not in html
    assert html.count("<tr>") == 4
    assert html.count("<td") == 6 + 6
    assert "\x1b" not in text


def test_a_cell_that_could_not_be_measured():
    one = made()
    bare = replace(one, cells=[replace(one.cells[0], report=None), *one.cells[1:]])
    assert "| nb/a.ipynb | **died** | 2 of 3 | ? |" in summary.summary([bare])


def test_baseline_of_schema_1_is_read():
    """A file that memwatch wrote before a cell's `index` became its `cell_index`."""
    (found,) = exports.load(ROOT / "tests/data/run/schema_1.json")
    assert found.schema == exports.SCHEMA
    assert [each.cell_index for each in found.cells] == [1, 2]
    assert found.cells[0].report.used_bytes > 15 * MIB
