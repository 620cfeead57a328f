"""The command `memwatch`, and notebooks for `memwatch run`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook, new_output

MEMWATCH = str(Path(sys.executable).parent / "memwatch")
"""The command itself."""

NONESUCH = {"name": "nonesuch", "display_name": "nonesuch", "language": "none"}
"""A kernel spec that no kernel has."""

OLD = "an output of an earlier session"
"""What old() puts below a cell."""


def memwatch_command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "memwatch", *arguments],
        capture_output=True, text=True, timeout=60, check=False, **options,
    )  # fmt: skip


def doctor(*arguments, **options):
    done = memwatch_command("doctor", *arguments, **options)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


# ---- memwatch run ----


def write(folder: Path, name: str, *cells: str, **metadata: Any) -> Path:
    """A notebook file with code cells of these sources."""
    notebook = new_notebook(cells=[new_code_cell(each) for each in cells])
    notebook.metadata.update(metadata)
    path = folder / name
    nbformat.write(notebook, path)
    return path


def old(source, count=7, **metadata):
    """A code cell that was executed before, by somebody else."""
    outputs = [new_output("stream", text=OLD)]
    return new_code_cell(
        source, outputs=outputs, execution_count=count, metadata=metadata
    )


def save(folder, name, *cells, **metadata):
    cells = [old(each) if isinstance(each, str) else each for each in cells]
    path = folder / name
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
    return path


def run(
    *arguments: object, cwd: Path, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """What `memwatch run` printed; it exits with `code`."""
    done = subprocess.run(
        [MEMWATCH, "run", *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    # What a kernel prints when it is shut down is its own.
    assert not re.search(r"memwatch/\S+\.py", done.stderr), done.stderr
    done.stderr = "".join(
        line for line in done.stderr.splitlines(True) if "IPKernelApp" not in line
    )
    return done


def start(*arguments, cwd, **options):
    options = {"stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen(
        [MEMWATCH, "run", *map(str, arguments)],
        cwd=cwd, start_new_session=True, **options,
    )  # fmt: skip
