"""Running one notebook."""

from __future__ import annotations

import asyncio
import json

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from memwatch import _core
from memwatch.run.execution import Options
from memwatch.run.runner import run_notebook

ACCURACY = _core.accuracy()


BOUND = ACCURACY["bound_bytes"]


needs_mark = pytest.mark.skipif(
    not ACCURACY["hwm_resets"], reason="no high-water mark to reset"
)


LIMIT_S = 300
"""Of what does not hang; a busy machine is slow."""


PAGES = """import mmap
def pages(mib):
    m = mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    m[::4096] = b'x' * (mib << 8)
    return m
"""


def notebook_of(*cells):
    return new_notebook(cells=[new_code_cell(each) for each in cells])


def run(notebook, **options):
    options.setdefault("timeout", LIMIT_S)
    options.setdefault("startup_timeout", LIMIT_S)
    return asyncio.run(run_notebook(notebook, "x.ipynb", Options(**options)))


def text_of(cell):
    return "".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    )


def install_kernel(tmp_path, monkeypatch, name, *argv):
    folder = tmp_path / "kernels" / name
    folder.mkdir(parents=True)
    spec = {"argv": argv, "display_name": name, "language": name}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))


def states(found):
    return [cell.state for cell in found.cells]
