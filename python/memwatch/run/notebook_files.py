"""Read notebook files and repair them if possible."""

from __future__ import annotations

import json
import logging
import os
import stat
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..optional import need
from ..warn import cause_of

if TYPE_CHECKING:
    from nbformat import NotebookNode

_MIB = 2**20

MAX_NOTEBOOK_BYTES = 256 * _MIB
"""Larger files are not read: their Python objects would be several times as large."""


class InputError(Exception):
    """Invalid input; one line that names it and says what to do."""


def read_notebook(
    path: str | os.PathLike[str],
    max_bytes: int = MAX_NOTEBOOK_BYTES,
    notes: list[str] | None = None,
) -> NotebookNode:
    """The notebook in the file `path`, as format 4, repaired.

    `notes` gets a phrase for each repair, and for each error that does not prevent the
    execution. InputError: the file cannot be read, is larger than `max_bytes`, is not
    JSON, has a newer format, or has no cells that can be executed.
    """
    given = os.fspath(path)
    return parse_notebook(read_whole(given, max_bytes), given, notes)


def read_whole(path: str, max_bytes: int) -> bytes:
    """The file's content; InputError: not readable, or larger than `max_bytes`."""
    try:
        # Opening a pipe must not block.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            there = os.fstat(descriptor)
            if not stat.S_ISREG(there.st_mode):
                raise InputError(f"{path}: not a file")
            _refuse_large(path, there.st_size, max_bytes)
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(max_bytes + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise InputError(f"{path}: {_cause(error)}") from None
    _refuse_large(path, len(data), max_bytes)
    return data


def _cause(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return error.strerror or cause_of(error)


def _refuse_large(path: str, size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise InputError(
            f"{path}: {size_bytes / _MIB:,.0f} MiB, more than the maximum of"
            f" {max_bytes / _MIB:,.0f} MiB; clear its outputs"
            f" (jupyter nbconvert --clear-output --inplace {path})"
        )


def parse_notebook(
    data: bytes, path: str, notes: list[str] | None = None
) -> NotebookNode:
    """As read_notebook(), with the content of the file; `path` is for InputError."""
    notes = [] if notes is None else notes
    nbformat = need("nbformat", "run", "reading notebooks")
    notebook = _json(data, path)
    major = notebook.get("nbformat")
    if not isinstance(major, int) or isinstance(major, bool):
        raise InputError(f"{path}: not a notebook: its JSON has no number 'nbformat'")
    if major > 4:
        raise InputError(
            f"{path}: unsupported notebook format {major}: expected 4 or lower"
        )
    try:
        return _valid(nbformat, notebook, path, notes)
    except RecursionError:
        raise InputError(f"{path}: the JSON is nested too deeply") from None


def _json(data: bytes, path: str) -> dict[str, Any]:
    if not data.strip():
        raise InputError(f"{path}: the file is empty")
    try:
        notebook = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not a notebook: invalid UTF-8 at byte {error.start}"
        ) from None
    except RecursionError:
        raise InputError(f"{path}: the JSON is nested too deeply") from None
    except ValueError as error:  # no JSON, and numbers of more than 4300 digits
        if b"\n<<<<<<< " in data and b"\n>>>>>>> " in data:
            raise InputError(
                f"{path}: contains git conflict markers; resolve them first, for"
                " example with nbdime"
            ) from None
        raise InputError(f"{path}: not a notebook: invalid JSON ({error})") from None
    if not isinstance(notebook, dict):
        raise InputError(f"{path}: not a notebook: its JSON is not an object")
    return notebook


def _valid(
    nbformat: Any, notebook: dict[str, Any], path: str, notes: list[str]
) -> NotebookNode:
    rwbase: Any = import_module("nbformat.v4.rwbase")
    try:
        if notebook["nbformat"] < 4:
            notebook = _converted(nbformat, notebook)
            notes.append("it has an old format, and is read as format 4")
        if notebook.get("cells") == []:
            raise InputError(f"{path}: the notebook has no cells")
        _repair(notebook, notes)
        node = nbformat.from_dict(notebook)
        rwbase.rejoin_lines(node)
        rwbase.strip_transient(node)
        node = _with_ids(node, notes)
        _refuse_unexecutable(node)
        try:
            nbformat.validate(node)
        except nbformat.ValidationError as error:
            notes.append(f"it is not valid, but is run unchanged: {_where(error)}")
    except nbformat.ValidationError as error:
        raise InputError(f"{path}: invalid notebook: {_where(error)}") from None
    except (InputError, RecursionError):
        raise
    except Exception as error:  # of nbformat, for hostile content
        reason = " ".join(f"{type(error).__name__} {error}".split())[:160]
        raise InputError(f"{path}: invalid notebook ({reason})") from None
    valid: NotebookNode = node
    return valid


def _converted(nbformat: Any, notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook, of format 1 to 3, as format 4."""
    reader: Any = import_module("nbformat.reader")
    log = logging.getLogger("traitlets")
    level = log.level
    log.setLevel(logging.CRITICAL)  # it logs pages about the old schema
    try:
        converted: dict[str, Any] = nbformat.convert(
            reader.reads(json.dumps({"metadata": {}, **notebook})), 4
        )
    finally:
        log.setLevel(level)
    return converted


def _repair(notebook: dict[str, Any], notes: list[str]) -> None:
    """Repair errors that nbformat, nbclient or memwatch cannot handle."""
    cells = notebook.get("cells")
    if not isinstance(cells, list) or not all(isinstance(c, dict) for c in cells):
        return  # _refuse_unexecutable() reports it
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
            # No note if it is null.
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
        warnings.simplefilter("ignore")  # `notes` has them
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
    # jsonschema's message has pages; its first line may quote a whole cell.
    reason = str(getattr(error, "message", error)).strip().partition("\n")[0]
    reason = reason if len(reason) <= 160 else reason[:159] + "…"
    place = "/".join(str(each) for each in getattr(error, "path", ()))
    return f"{reason} (at {place})" if place else reason
