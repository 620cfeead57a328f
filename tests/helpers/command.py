"""`memwatch run` as a command, and notebooks for it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

MEMWATCH = str(Path(sys.executable).parent / "memwatch")
"""The command itself."""

NONESUCH = {"name": "nonesuch", "display_name": "nonesuch", "language": "none"}
"""A kernel spec that no kernel has."""


def write(folder: Path, name: str, *cells: str, **metadata: Any) -> Path:
    """A notebook file with code cells of these sources."""
    notebook = new_notebook(cells=[new_code_cell(each) for each in cells])
    notebook.metadata.update(metadata)
    path = folder / name
    nbformat.write(notebook, path)
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
