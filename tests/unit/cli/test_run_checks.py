"""What `memwatch run` checks before it runs anything; encodings."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import nbformat
import pytest
from click.testing import CliRunner

from command import run, save, start
from memwatch.cli import main

# ---- what is checked before a run ----


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--json", "file/r.json"], "--json: cannot write file/r.json: "),
        (["--csv", "folder"], "--csv: cannot write folder: it is a directory"),
        (["--html", "/proc/r.html"], "--html: cannot write /proc/r.html: "),
        (["--markdown", "/dev/full"], "--markdown: cannot write /dev/full: "),
        (["--html", "new/"], "--html: cannot write new/: "),
        (["--json", "a.ipynb"], "--json: a.ipynb is a notebook of this run or"),
        (["--json", "r", "--csv", "./r"], "--csv: ./r is a notebook of this run or"),
        (
            ["--html", "out.ipynb", "-o", "out.ipynb"],
            "--html: out.ipynb is a notebook of this run",
        ),
        (["-o", "file/out.ipynb"], "a.ipynb is not run: cannot write file/out.ipynb"),
        (["-o", "folder"], "a.ipynb is not run: cannot write folder: it is a"),
        (["--output-dir", "file"], "a.ipynb is not run: cannot write file/a.ipynb"),
        (["--cwd", "none"], "--cwd: 'none' is not a directory"),
        (["--baseline", "folder"], "folder: not a file"),
        (["--tolerance", "2G"], "--tolerance: invalid size '2G'"),
        (["--timeout", "0"], "expected a positive number of seconds, got '0'"),
        (["--timeout", "nan"], "expected a positive number of seconds, got 'nan'"),
        (["--startup-timeout", "-1"], "a positive number of seconds, got '-1'"),
        (["--startup-timeout", "inf"], "a positive number of seconds, got 'inf'"),
    ],
)
def test_errors_are_reported_before_the_run(tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    save(tmp_path, "a.ipynb", "open('mark', 'w')")
    before = (tmp_path / "a.ipynb").read_bytes()
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    done = CliRunner().invoke(main, ["run", "a.ipynb", *arguments])
    assert done.exit_code == 2, done.output
    assert told in done.output
    assert not (tmp_path / "mark").exists()
    assert (tmp_path / "a.ipynb").read_bytes() == before
    assert not list(tmp_path.glob("**/.memwatch-*"))


@pytest.mark.parametrize(
    ("missing", "arguments", "told"),
    [
        ("nbclient", [], "memwatch run requires nbclient: pip install "),
        ("nbformat", [], "memwatch run requires nbformat: pip install "),
        ("jinja2", ["--html", "r"], "--html requires jinja2: pip install "),
        ("papermill", ["-p", "x", "1"], "requires papermill: pip install "),
        ("distributed", ["--dask", "x"], "requires distributed: pip install "),
    ],
)
def test_a_library_that_is_missing(tmp_path, monkeypatch, missing, arguments, told):
    monkeypatch.chdir(tmp_path)
    save(tmp_path, "a.ipynb", "open('mark', 'w')")
    monkeypatch.setitem(sys.modules, missing, None)
    done = CliRunner().invoke(main, ["run", "a.ipynb", *arguments])
    assert done.exit_code == 2, done.output
    assert told in done.output
    # It is in the command, and no name of an extra is.
    assert missing in done.output.partition("pip install ")[2].partition(" (")[0]
    assert not (tmp_path / "mark").exists()


# ---- encodings, and notebooks that are not valid ----


def test_an_encoding_that_lacks_characters(tmp_path):
    save(tmp_path, "n\u2026.ipynb", "x = '\u2026'")
    env = os.environ | {
        "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }  # fmt: skip
    started = start(
        "n\u2026.ipynb", "--json", "-", "--markdown", "-", "--html", "r.html", "--csv",
        "r.csv", "--max-peak", "1MiB", cwd=tmp_path, env=env, stdout=subprocess.PIPE,
    )  # fmt: skip
    printed, told = started.communicate(timeout=60)
    assert started.returncode == 3, told
    found, _ = json.JSONDecoder().raw_decode(printed)
    assert found["notebooks"][0]["cells"][0]["source"] == "x = '\u2026'"
    assert "x = '?'" in printed.partition("### memwatch run")[2].replace("&#39;", "'")
    assert "\u2026" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "\u2026" in (tmp_path / "r.csv").read_text(encoding="utf-8")


def test_notebooks_that_others_run(tmp_path):
    """One line on stderr for each, which says what was repaired."""
    path = save(tmp_path, "a.ipynb", "print(x)")
    book = json.loads(path.read_text())
    book["cells"][0]["metadata"] = {"tags": 7, "memwatch": "text"}
    book["metadata"] = {
        "papermill": "text", "kernelspec": {"display_name": "x"}, "language_info": [1],
    }  # fmt: skip
    path.write_text(json.dumps(book | {"nbformat_minor": 4}))
    v3 = nbformat.v3
    cells = [v3.new_code_cell(input="print('old')")]
    old_format = v3.new_notebook(worksheets=[v3.new_worksheet(cells=cells)])
    (tmp_path / "v3.ipynb").write_text(json.dumps(old_format))
    null = json.loads(save(tmp_path, "null.ipynb", "1").read_text())
    null["metadata"] = {"kernelspec": None}
    (tmp_path / "null.ipynb").write_text(json.dumps(null))
    names = ["a.ipynb", "v3.ipynb", "null.ipynb"]
    done = run(*names, "-p", "x", "21", "--output-dir", "out", "-j", "3", cwd=tmp_path)
    lines = [line for line in done.stderr.splitlines() if "repaired: " in line]
    assert [line.split(": ")[1] for line in lines] == names
    for part in ("4.4 with cell ids", "kernelspec has no name", "language_info is not",
                 "cell 1's tags are not"):  # fmt: skip
        assert part in lines[0]
    assert "old format" in lines[1]
    out = nbformat.read(tmp_path / "out/a.ipynb", as_version=4)
    assert out.cells[1].outputs[0].text == "21\n"
    out = nbformat.read(tmp_path / "out/v3.ipynb", as_version=4)
    nbformat.validate(out)
    assert out.cells[1].outputs[0].text == "old\n"
