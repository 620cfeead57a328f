"""Which notebooks are to be run, where the executed ones go, and reading them."""

from __future__ import annotations

import glob
import json
import logging
import os
import stat
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..warn import cause_of
from .extras import need

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = [
    "MAX_NOTEBOOK_BYTES",
    "Found",
    "InputError",
    "Task",
    "expand",
    "parse_notebook",
    "plan",
    "read_notebook",
    "read_whole",
    "split_two",
]

_MIB = 2**20

MAX_NOTEBOOK_BYTES = 256 * _MIB
"""What is larger is not read: as Python's objects it would be a multiple of that."""


class InputError(Exception):
    """What was given cannot be run; one line, which names it and says what to do."""


# ---- which ones ----


@dataclass(frozen=True, slots=True)
class Found:
    """A notebook that is to be run."""

    path: str
    """As it was given, or as the pattern or the folder that was given names it."""
    name: str
    """What it is called below an output folder: its path below what the pattern has
    before its first wildcard, or below the folder; else its file's name alone."""


def expand(given: Sequence[str]) -> tuple[list[Found], list[InputError]]:
    """The notebooks that `given` names, in order, each once; and what names none.

    A path is that file. A folder is all ``*.ipynb`` in it and below, by name, but for
    hidden folders (``.ipynb_checkpoints``). What is no path is a pattern (``*``, ``?``,
    ``[a-z]``, ``**`` for any folders). The same file by another name is not run twice.
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


# ---- where to ----


@dataclass(frozen=True, slots=True)
class Task:
    """One notebook to run."""

    notebook: str
    output: str | None
    """Where the executed one is to be written; None: nowhere."""


def split_two(
    given: Sequence[str], *, all_inputs: bool
) -> tuple[Sequence[str], str | None]:
    """Tell ``IN OUT`` from two inputs: the inputs, and OUT or None.

    Two plain paths are IN and OUT, as with papermill, unless `all_inputs` (some option
    says where outputs go). But a notebook that somebody wrote is never taken for OUT:
    one that is there has to be the executed IN of an earlier run, by its own metadata.
    InputError where it is not.
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
    """Where each executed notebook goes: nowhere, unless one of the three says so.

    `output` is for one notebook, `output_dir` keeps the names, `in_place` replaces each
    notebook. InputError for two of the three, for two notebooks that would write one
    file, for an output that is one of the notebooks themselves.
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


# ---- reading ----


def read_notebook(
    path: str | os.PathLike[str],
    max_bytes: int = MAX_NOTEBOOK_BYTES,
    notes: list[str] | None = None,
) -> NotebookNode:
    """The notebook in the file `path`, as format 4, with what is wrong repaired.

    `notes` gets a phrase for each thing that was repaired, or that does not fit the
    schema and does not keep the notebook from running. InputError for a file that
    cannot be read or is larger than `max_bytes` (which is not read at all), no JSON,
    a newer format, no cells, cells that cannot be executed.
    """
    told = os.fspath(path)
    return parse_notebook(read_whole(told, max_bytes), told, notes)


def read_whole(told: str, max_bytes: int) -> bytes:
    """All of the file; InputError where it is none, or larger than `max_bytes`."""
    try:
        # A pipe that nobody writes to is not waited for.
        descriptor = os.open(told, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            there = os.fstat(descriptor)
            if not stat.S_ISREG(there.st_mode):
                raise InputError(f"{told}: not a file")
            _refuse_large(told, there.st_size, max_bytes)
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(max_bytes + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise InputError(f"{told}: {_cause(error)}") from None
    _refuse_large(told, len(data), max_bytes)
    return data


def _cause(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return error.strerror or cause_of(error)


def _refuse_large(told: str, size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise InputError(
            f"{told}: {size_bytes / _MIB:,.0f} MiB, more than the maximum of"
            f" {max_bytes / _MIB:,.0f} MiB; clear its outputs"
            f" (jupyter nbconvert --clear-output --inplace {told})"
        )


def parse_notebook(
    data: bytes, told: str, notes: list[str] | None = None
) -> NotebookNode:
    """The notebook that `data` is the file of; `told` names it in an InputError.

    `notes` is as in read_notebook().
    """
    notes = [] if notes is None else notes
    nbformat = need("nbformat", "run", "reading notebooks")
    notebook = _json(data, told)
    major = notebook.get("nbformat")
    if not isinstance(major, int) or isinstance(major, bool):
        raise InputError(f"{told}: not a notebook: its JSON has no number 'nbformat'")
    if major > 4:
        raise InputError(
            f"{told}: unsupported notebook format {major}: expected 4 or lower"
        )
    try:
        return _valid(nbformat, notebook, told, notes)
    except RecursionError:
        raise InputError(f"{told}: the JSON is nested too deeply") from None


def _json(data: bytes, told: str) -> dict[str, Any]:
    if not data.strip():
        raise InputError(f"{told}: the file is empty")
    try:
        notebook = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{told}: not a notebook: invalid UTF-8 at byte {error.start}"
        ) from None
    except RecursionError:
        raise InputError(f"{told}: the JSON is nested too deeply") from None
    except ValueError as error:  # no JSON, and numbers of more than 4300 digits
        if b"\n<<<<<<< " in data and b"\n>>>>>>> " in data:
            raise InputError(
                f"{told}: contains git conflict markers; resolve them first, for"
                " example with nbdime"
            ) from None
        raise InputError(f"{told}: not a notebook: invalid JSON ({error})") from None
    if not isinstance(notebook, dict):
        raise InputError(f"{told}: not a notebook: its JSON is not an object")
    return notebook


def _valid(
    nbformat: Any, notebook: dict[str, Any], told: str, notes: list[str]
) -> NotebookNode:
    rwbase: Any = import_module("nbformat.v4.rwbase")
    try:
        if notebook["nbformat"] < 4:
            notebook = _converted(nbformat, notebook)
            notes.append("it has an old format, and is read as format 4")
        if notebook.get("cells") == []:
            raise InputError(f"{told}: the notebook has no cells")
        _repair(notebook, notes)
        node = nbformat.from_dict(notebook)
        # They take much for granted: what is none of it is found by them or below.
        rwbase.rejoin_lines(node)
        rwbase.strip_transient(node)
        node = _with_ids(node, notes)
        _refuse_unexecutable(node)
        try:
            nbformat.validate(node)
        except nbformat.ValidationError as error:
            notes.append(f"it is not valid, and is run as it is: {_where(error)}")
    except nbformat.ValidationError as error:
        raise InputError(f"{told}: invalid notebook: {_where(error)}") from None
    except (InputError, RecursionError):
        raise
    except Exception as error:  # nbformat's code, at the mercy of what is in a file
        reason = " ".join(f"{type(error).__name__} {error}".split())[:160]
        raise InputError(f"{told}: invalid notebook ({reason})") from None
    valid: NotebookNode = node
    return valid


def _converted(nbformat: Any, notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook, of format 1 to 3, as format 4."""
    reader: Any = import_module("nbformat.reader")
    log = logging.getLogger("traitlets")
    level = log.level
    log.setLevel(logging.CRITICAL)  # pages, about what does not fit the old schema
    try:
        converted: dict[str, Any] = nbformat.convert(
            reader.reads(json.dumps({"metadata": {}, **notebook})), 4
        )
    finally:
        log.setLevel(level)
    return converted


def _repair(notebook: dict[str, Any], notes: list[str]) -> None:
    """Repair what nbformat, nbclient or memwatch would stumble on."""
    cells = notebook.get("cells")
    if not isinstance(cells, list) or not all(isinstance(c, dict) for c in cells):
        return  # which is refused below
    has_ids = any("id" in cell for cell in cells)
    minor = notebook.get("nbformat_minor")
    if type(minor) is not int or minor < 0:
        notebook["nbformat_minor"] = 5 if has_ids else 4
        notes.append(f"nbformat_minor was {str(minor)[:20]!r}")
    elif minor < 5 and has_ids:
        notebook["nbformat_minor"] = 5
        notes.append(f"format 4.{minor} with cell ids is read as 4.5")
    _repair_metadata(notebook, "the notebook's", notes)
    metadata = notebook["metadata"]
    for key in ("kernelspec", "language_info"):
        there = metadata.get(key, {})
        if not isinstance(there, dict):
            del metadata[key]
            notes.append(f"{key} is not an object")
        elif not isinstance(there.get("name", ""), str):
            del there["name"]
            notes.append(f"the name in {key} is not a string")
    if "name" not in metadata.get("kernelspec", {"name": ""}):
        notes.append("kernelspec has no name")
    for number, cell in enumerate(cells, 1):
        _repair_metadata(cell, f"cell {number}'s", notes)
        tags = cell["metadata"].get("tags", [])
        if not isinstance(tags, list) or not all(isinstance(t, str) for t in tags):
            del cell["metadata"]["tags"]
            notes.append(f"cell {number}'s tags are not a list of strings")
        if not isinstance(cell.get("id", ""), str):
            del cell["id"]
        if cell.get("cell_type") != "code":
            continue
        there = cell.get("outputs")
        if not isinstance(there, list):
            cell["outputs"] = there = []
            notes.append(f"cell {number} has no list of outputs")
        fit = [each for each in there if _can_be_written(each)]
        if len(fit) < len(there):
            cell["outputs"] = fit
            notes.append(f"cell {number} had outputs that nbformat cannot write")
        if type(cell.get("execution_count")) is not int:
            # Without a note where it is there, and null.
            if cell.get("execution_count", 0) is not None:
                notes.append(f"cell {number} has no execution count")
            cell["execution_count"] = None


def _can_be_written(output: Any) -> bool:
    kind = output.get("output_type") if isinstance(output, dict) else None
    return isinstance(kind, str) and (kind != "stream" or "text" in output)


def _repair_metadata(part: dict[str, Any], whose: str, notes: list[str]) -> None:
    if not isinstance(part.get("metadata"), dict):
        part["metadata"] = {}
        notes.append(f"{whose} metadata is missing or not an object")


def _with_ids(node: NotebookNode, notes: list[str]) -> NotebookNode:
    from nbformat import validator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is in the notes
        _, normal = validator.normalize(node, version=4)
    changed = sum(
        before.get("id") != after.get("id")
        for before, after in zip(node.cells, normal.cells, strict=True)
    )
    if changed:
        cells = "a cell id was" if changed == 1 else f"{changed} cell ids were"
        notes.append(f"{cells} missing or not unique")
    repaired: NotebookNode = normal
    return repaired


def _refuse_unexecutable(node: NotebookNode) -> None:
    from nbformat import ValidationError

    if not isinstance(node.cells, list):
        raise ValidationError("its cells are not a list")
    for number, cell in enumerate(node.cells, 1):
        if not isinstance(cell.get("cell_type"), str):
            raise ValidationError(f"cell {number} has no cell_type")
        if not isinstance(cell.get("source"), str):
            raise ValidationError(f"cell {number} has no source")


def _where(error: Any) -> str:
    # jsonschema's whole story is pages long; its first line may quote all of a cell.
    reason = str(getattr(error, "message", error)).strip().partition("\n")[0]
    reason = reason if len(reason) <= 160 else reason[:159] + "…"
    place = "/".join(str(each) for each in getattr(error, "path", ()))
    return f"{reason} (at {place})" if place else reason
