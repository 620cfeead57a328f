"""Notebooks with old outputs, for `memwatch run`."""

from __future__ import annotations

import subprocess

import nbformat
from nbformat.v4 import (
    new_code_cell,
    new_notebook,
    new_output,
)

from command import MEMWATCH

OLD = "an output of an earlier session"


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


def start(*arguments, cwd, **options):
    options = {"stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen(
        [MEMWATCH, "run", *map(str, arguments)],
        cwd=cwd, start_new_session=True, **options,
    )  # fmt: skip
