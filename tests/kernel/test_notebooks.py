"""The demo notebooks: their committed outputs have the lines, and they run."""

import re
import shutil
import subprocess
import sys

import nbformat
import pytest

from command import memwatch_command
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


PEAKS, SLOTS, TOUR = (
    ROOT / f"notebooks/{name}.ipynb" for name in ("peaks", "slots_vs_noslots", "tour")
)


def test_the_notebooks_exist():
    assert NOTEBOOKS == [PEAKS, SLOTS, TOUR]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_committed_cell_has_a_line(path):
    for number, cell in enumerate(code_cells(path), start=1):
        if cell.source.startswith("%memwatch"):
            assert not lines_in(text_of(cell))
            continue
        last = text_of(cell).splitlines()[-1].partition(" (+")[0]
        match = CLASSIC.fullmatch(last)
        assert match, last
        assert int(match["n"]) == cell.execution_count == number
        assert not [output for output in cell.outputs if output.output_type == "error"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_show_curves_and_no_machine(path):
    text = path.read_text(encoding="utf-8")
    if path != TOUR:  # its cells are quick
        assert "memwatch-sparkline" in text
    assert not re.search(r"/root|/home/|/tmp/|\bhost \w", text)
    assert "\\u001b[" not in text


def test_tour_answers_its_questions():
    told = "".join(text_of(cell) for cell in code_cells(TOUR)).replace("\r", "")
    assert re.search(r"\(\+3 children, peak [23]\d\d MiB PSS\)", told)
    assert re.search(r"^cell +In \[1\] line \d+, began ", told, re.M)
    assert re.search(r"^RSS +2\d\d\.\d\d MiB at the last sample$", told, re.M)
    assert re.search(r"^slots_vs_noslots\.ipynb: ok: 9 cells in ", told, re.M)


def test_tour_runs(tmp_path):
    for path in ROOT.glob("notebooks/*"):
        shutil.copy(path, tmp_path)
    done = memwatch_command("run", "tour.ipynb", "out.ipynb", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = "".join(text_of(cell) for cell in code_cells(tmp_path / "out.ipynb"))
    assert re.search(r"\(\+3 children, (peak|up to) \d+", told)
    assert re.search(r"^cell +In \[1\] line \d+, began ", told, re.M)


def test_slots_save_memory():
    cells = {cell.source: cell for cell in code_cells(SLOTS)}
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
    table = text_of(code_cells(PEAKS)[7])
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
    assert len(lines_in(done.stdout)) == len(code_cells(SLOTS))
    assert re.search(r"with slots +9\.30 MiB +\d+\.\d\d MiB", done.stdout)
    assert re.search(r"without slots +22\.67 MiB +\d+\.\d\d MiB", done.stdout)
