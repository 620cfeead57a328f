"""A notebook that really ran, and all that comes out of it."""

import asyncio
import copy
import json
import subprocess
import sys

import nbformat
import pytest

from memwatch import _core
from memwatch.run.budgets import baseline, budgets
from memwatch.run.budgets.budgets import parse_size
from memwatch.run.execution import Options
from memwatch.run.notebook_files import parse_notebook, read_notebook
from memwatch.run.output import exports, metadata, page, summary
from memwatch.run.parameters import inject
from memwatch.run.runner import run_notebook
from support import MIB

V4 = nbformat.v4

PAGES = """\
import mmap
def pages(mib):
    held = mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    held[::4096] = b'x' * (mib << 8)
    return held
size = 40"""

needs_mark = pytest.mark.skipif(
    not _core.accuracy()["hwm_resets"], reason="no high-water mark to reset"
)


def write(path, *cells, tags=()):
    made = [V4.new_markdown_cell("# Costs"), *map(V4.new_code_cell, cells)]
    made[1].metadata["tags"] = ["parameters"]
    made[-1].metadata["tags"] = list(tags)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(V4.new_notebook(cells=made, metadata=kernel), path)
    return path


def executed(notebook, path="a.ipynb"):
    return asyncio.run(run_notebook(notebook, path, Options(timeout=60)))


@needs_mark
def test_budgets_and_files_of_a_real_run(tmp_path):
    path = write(
        tmp_path / "a.ipynb", PAGES, "held = pages(size)", "pages(80); None",
        tags=["memwatch-max-peak=1GiB", "memwatch-max-used=1MiB"],
    )  # fmt: skip
    notebook = read_notebook(path)
    limits = budgets.read_budgets(notebook, parse_size("1GiB"), parse_size("30MiB"))
    run = executed(notebook, str(path))
    assert run.state == "ok", run.message
    [violation] = budgets.check(run, limits)
    assert (violation.cell_index, violation.what) == (None, "used")
    assert violation.over_bytes == pytest.approx(10 * MIB, abs=4 * MIB)

    last = run.cells[-1].report
    exact = parse_size(f"{last.rss_peak_bytes - 1}B")
    [violation] = budgets.check(run, budgets.read_budgets(notebook, exact))
    assert (violation.cell_index, violation.over_bytes) == (3, 1)
    above = last.rss_peak_bytes - last.rss_start_bytes
    assert above == pytest.approx(80 * MIB, abs=last.peak_error_bytes + MIB)

    metadata.apply(notebook, run)
    exports.write_notebook(tmp_path / "out.ipynb", notebook)
    exports.write_json(tmp_path / "a.json", [run], [violation])
    exports.write_csv(tmp_path / "a.csv", [run])
    page.write_page(tmp_path / "a.html", [run], [violation])
    summary.write_summary(tmp_path / "a.md", [run], [violation])
    [back] = exports.load(tmp_path / "a.json")
    assert back.to_dict() == run.to_dict()
    there = read_notebook(tmp_path / "out.ipynb")
    figures = [
        cell.metadata.memwatch.rss_peak_bytes
        for cell in there.cells
        if cell.cell_type == "code"
    ]
    assert figures == [each.report.rss_peak_bytes for each in run.cells]
    assert "1 notebook: 1 ok; 1 over budget" in (tmp_path / "a.html").read_text()
    assert "held = pages(size)" in (tmp_path / "a.md").read_text()


@needs_mark
def test_a_run_and_the_next_one(tmp_path):
    """The same once more is fine; a parameter that makes it cost more is not."""
    pytest.importorskip("papermill")
    path = write(tmp_path / "a.ipynb", PAGES, "held = pages(size)", "pages(8); None")
    notebook = read_notebook(path)
    first = executed(copy.deepcopy(notebook))
    exports.write_json(tmp_path / "first.json", [first])
    [earlier] = exports.load(tmp_path / "first.json")
    tolerance = parse_size("10%")
    again = executed(copy.deepcopy(notebook))
    assert baseline.compare(again, earlier, tolerance) == []

    larger = executed(inject(copy.deepcopy(notebook), {"size": 60}))
    assert larger.state == "ok", larger.message
    assert len(larger.cells) == 4
    found = baseline.compare(larger, earlier, tolerance)
    grown = [(each.what, each.source) for each in found]
    assert ("used", None) in grown
    assert ("used", "held = pages(size)") in grown
    assert ("peak", "held = pages(size)") in grown
    [kept] = [each for each in found if each.source and each.what == "used"]
    assert kept.over_bytes == pytest.approx(16 * MIB, abs=MIB)


def test_nbmake_runs_executed_notebooks(tmp_path):
    """As docs/run.md has them beside each other: it does not mind our metadata."""
    pytest.importorskip("nbmake")
    tags = ["memwatch-max-peak=1GiB"]
    path = write(tmp_path / "a.ipynb", "x = 1", "assert x == 1", tags=tags)
    notebook = read_notebook(path)
    run = executed(notebook)
    metadata.apply(notebook, run)
    exports.write_notebook(path, notebook)
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbmake", path],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    assert path.read_bytes() == before


def test_dead_kernel_is_in_all_reports(tmp_path):
    path = write(
        tmp_path / "a.ipynb", "x = 1", "import os; os.kill(os.getpid(), 9)", "never()"
    )
    notebook = read_notebook(path)
    run = executed(notebook)
    assert run.state == "died"
    metadata.apply(notebook, run)
    states = [each.metadata.memwatch["state"] for each in notebook.cells[1:]]
    assert states == ["ok", "died", "not run"]
    text = json.dumps(notebook)
    assert parse_notebook(text.encode(), "a.ipynb") == notebook
    told = page.render([run])
    assert "signal 9" in told
    assert '<span class="state not-run">not run</span>' in told
    assert "| **died** | 2 of 3 |" in summary.summary([run])


def memwatch_run(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "memwatch", "run", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@needs_mark
def test_a_regression_fails_a_build(tmp_path):
    """The workflow of docs/run.md, with its files."""
    nb = tmp_path / "notebooks"
    nb.mkdir()
    write(nb / "a.ipynb", PAGES, "held = pages(size)")
    write(nb / "b.ipynb", "x = 1")
    first = memwatch_run(tmp_path, "notebooks/", "--json", "costs.json")
    assert (first.returncode, first.stdout) == (0, "")
    asked = ["--max-peak", "60%", "--baseline", "costs.json", "--tolerance", "10%"]
    files = ["--json", "new.json", "--html", "report.html", "--markdown", "-"]
    same = memwatch_run(tmp_path, "notebooks/", "--jobs", "2", *asked, *files)
    assert same.returncode == 0, same.stderr
    assert same.stdout.startswith("### memwatch run: 2 notebooks: 2 ok\n")
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")

    write(nb / "a.ipynb", PAGES, "held = pages(size * 2)")
    (nb / "c.ipynb").write_text("{")
    worse = memwatch_run(tmp_path, "notebooks/a.ipynb", *asked, *files)
    assert worse.returncode == 3, worse.stderr
    assert "### memwatch run: 1 notebook: 1 ok; 3 over budget" in worse.stdout
    assert (
        "over budget: notebooks/a.ipynb: In [2] `held = pages(size * 2)`"
        in worse.stderr
    )
    bad = memwatch_run(tmp_path, "notebooks/", *asked)
    assert bad.returncode == 2
    assert "notebooks/c.ipynb: not a notebook: invalid JSON (" in bad.stderr
    assert "notebooks/b.ipynb: ok: 1 cell" in bad.stderr
