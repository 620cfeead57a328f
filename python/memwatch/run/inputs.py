"""The notebooks to run, and the files for the executed ones."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .notebook_files import InputError, read_notebook

# ---- inputs ----


@dataclass(frozen=True, slots=True)
class Found:
    """A notebook to run."""

    path: str
    """As it was given, or as found in the given folder or by the given pattern."""
    name: str
    """Its path below an output folder: that below the given folder, or below the part
    of the pattern before its first wildcard; else its file name."""


def expand(given: Sequence[str]) -> tuple[list[Found], list[InputError]]:
    """The notebooks in `given`, in order, each file once; and the errors.

    Each is a file, or a folder: all ``*.ipynb`` in it and below, sorted, except in
    ``.ipynb_checkpoints``; or a pattern (``*``, ``?``, ``[a-z]``, ``**``).
    """
    found: dict[str, Found] = {}
    errors = []
    for each in given:
        try:
            for one in _named_by(each):
                found.setdefault(os.path.realpath(one.path), one)
        except InputError as error:
            errors.append(error)
        except FileNotFoundError:
            errors.append(InputError(f"{each}: the working directory no longer exists"))
    return list(found.values()), errors


def _named_by(given: str) -> list[Found]:
    if not given or "\0" in given:
        raise InputError("the path of a notebook is empty")
    if os.path.isdir(given):
        below = _below(given, "**/*.ipynb")
        if not below:
            raise InputError(f"{given}: no .ipynb file in this directory or below")
        return below
    if os.path.lexists(given):
        return [Found(given, os.path.basename(given))]
    if not glob.has_magic(given):
        raise InputError(f"{given}: no such file")
    parts = Path(given).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    folder = str(Path(*parts[:fixed])) if fixed else ""
    matching = _below(folder, str(Path(*parts[fixed:])))
    if not matching:
        raise InputError(f"{given}: no file matches this pattern")
    return matching


def _below(folder: str, pattern: str) -> list[Found]:
    names = glob.glob(pattern, root_dir=folder or None, recursive=True)
    paths = [(name, os.path.join(folder, name)) for name in sorted(set(names))]
    return [
        Found(path, name)
        for name, path in paths
        if os.path.isfile(path) and ".ipynb_checkpoints" not in Path(name).parts
    ]


# ---- outputs ----


@dataclass(frozen=True, slots=True)
class Task:
    """One notebook to run."""

    notebook: str
    output: str | None
    """The file for the executed notebook; None: it is not written."""


def split_two(
    given: Sequence[str], *, all_inputs: bool
) -> tuple[Sequence[str], str | None]:
    """Distinguish ``IN OUT`` from two inputs: returns the inputs, and OUT or None.

    Two plain paths are IN and OUT, as with papermill, unless `all_inputs` (an option
    says where outputs go). An existing OUT must be the executed IN of an earlier run,
    by its metadata: otherwise InputError, so that no notebook is overwritten.
    """
    if all_inputs or len(given) != 2:
        return given, None
    first, second = given
    if any(os.path.isdir(each) or _is_pattern(each) for each in given):
        return given, None
    if not os.path.lexists(second):
        return [first], second
    if os.path.realpath(first) != os.path.realpath(second):
        try:
            own = read_notebook(second).metadata.get("memwatch")
        except InputError:
            own = None
        if isinstance(own, dict) and _same_name(own.get("notebook"), first):
            return [first], second
    raise InputError(
        f"{second} exists and was not written by a run of {first}; use --output"
        f" {second} to replace it, or --no-output, --output-dir DIR or --in-place to"
        " run both"
    )


def _is_pattern(given: str) -> bool:
    return not os.path.lexists(given) and glob.has_magic(given)


def _same_name(written: Any, given: str) -> bool:
    return isinstance(written, str) and Path(written).name == Path(given).name


def plan(
    found: Sequence[Found],
    *,
    output: str | None = None,
    output_dir: str | None = None,
    in_place: bool = False,
) -> list[Task]:
    """The output of each notebook: none, unless one of the three options is given.

    `output` is for one notebook, `output_dir` keeps the names, `in_place` replaces each
    notebook. InputError: two options, two notebooks with the same output, or an output
    that is an input.
    """
    if sum((output is not None, output_dir is not None, in_place)) > 1:
        raise InputError("OUT, --output-dir and --in-place exclude each other")
    if output is not None and len(found) > 1:
        raise InputError(
            f"cannot write {len(found)} notebooks to {output}; use --output-dir DIR or"
            " --in-place"
        )
    tasks = [
        Task(
            each.path,
            each.path
            if in_place
            else os.path.join(output_dir, each.name)
            if output_dir is not None
            else output,
        )
        for each in found
    ]
    if not in_place:
        _refuse_collisions(tasks)
    return tasks


def _refuse_collisions(tasks: list[Task]) -> None:
    inputs = {os.path.realpath(each.notebook): each.notebook for each in tasks}
    writers: dict[str, str] = {}
    for task in tasks:
        if task.output is None:
            continue
        target = os.path.realpath(task.output)
        if target in inputs:
            raise InputError(
                f"{task.output} would replace the input {inputs[target]}; use"
                " --in-place if you want that"
            )
        if target in writers:
            raise InputError(
                f"{writers[target]} and {task.notebook} would both write"
                f" {task.output}; run their directory, or run them one by one"
            )
        writers[target] = task.notebook
