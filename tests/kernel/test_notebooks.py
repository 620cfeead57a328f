"""The demo notebooks: their committed outputs have the lines, and they run."""

import re
import subprocess
import sys

import nbformat
import pytest

from support import CLASSIC, ROOT, lines_in

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def code_cells(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(cell):
    return "".join(
        output.text for output in cell.outputs if output.output_type == "stream"
    )


def test_both_notebooks_exist():
    assert {path.stem for path in NOTEBOOKS} == {"slots_vs_noslots", "peaks"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_committed_cell_has_a_line(path):
    for number, cell in enumerate(code_cells(path), start=1):
        last = text_of(cell).splitlines()[-1]
        match = CLASSIC.fullmatch(last)
        assert match, last
        assert int(match["n"]) == cell.execution_count == number
        assert not [output for output in cell.outputs if output.output_type == "error"]


def test_slots_save_memory():
    cells = {cell.source: cell for cell in code_cells(NOTEBOOKS[-1])}
    (slots,) = lines_in(text_of(cells["from slots import *"]))
    (noslots,) = lines_in(text_of(cells["from noslots import *"]))
    assert slots.used < 0.75 * noslots.used
    picture = [
        output
        for cell in cells.values()
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(picture) == 1


def test_sampling_at_10_hz_misses_the_peak():
    table = text_of(code_cells(NOTEBOOKS[0])[7])
    (row,) = re.findall(r"^b'x' \* 400 MiB +([\d.]+) +[\d.]+ +([\d.]+)$", table, re.M)
    memwatch, ten_hertz = map(float, row)
    assert abs(memwatch - 400) < 4
    assert ten_hertz == 0


def test_programs_differ_only_in_slots():
    slots = (ROOT / "notebooks/slots.py").read_text().splitlines()
    noslots = (ROOT / "notebooks/noslots.py").read_text().splitlines()
    assert [line for line in slots if "__slots__" not in line] == noslots
    assert len(slots) == len(noslots) + 1


def test_demo_prints_lines_and_table():
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "tools/run_demo.py",
            "notebooks/slots_vs_noslots.ipynb",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(lines_in(done.stdout)) == len(code_cells(NOTEBOOKS[-1]))
    assert re.search(r"with slots +9\.30 MiB +\d+\.\d\d MiB", done.stdout)
    assert re.search(r"without slots +22\.67 MiB +\d+\.\d\d MiB", done.stdout)
