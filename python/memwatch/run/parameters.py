"""Parameters as in papermill: ``-p``, ``-r``, ``-f``, ``-y``."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..optional import need
from .notebook_files import InputError, read_whole

if TYPE_CHECKING:
    from nbformat import NotebookNode

_MAX_FILE_BYTES = 16 * 2**20
_WHAT = "setting parameters"


def collect(
    typed: Iterable[tuple[str, str]] = (),
    raw: Iterable[tuple[str, str]] = (),
    files: Iterable[str] = (),
    yaml: Iterable[str] = (),
) -> dict[str, Any]:
    """All parameters by name; later ones win, in papermill's order -f, -y, -p, -r.

    `typed` values become True, False, None, integers and floats; `raw` stay texts.
    InputError: invalid YAML, or not a mapping; MissingLibraryError.
    """
    typed, raw, files, yaml = list(typed), list(raw), list(files), list(yaml)
    if not (typed or raw or files or yaml):
        return {}
    need("papermill", "papermill", _WHAT)
    from papermill.cli import _resolve_type

    found: dict[str, Any] = {}
    for path in files:
        found.update(_table(read_whole(path, _MAX_FILE_BYTES), path))
    for text in yaml:
        found.update(_table(text.encode("utf-8", "replace"), "-y"))
    for name, value in typed:
        found[name] = _resolve_type(value)
    found.update(raw)
    for name in found:
        if not isinstance(name, str) or not name.isidentifier():
            raise InputError(f"invalid parameter name: {name!r}")
    return found


def _table(text: bytes, source: str) -> dict[Any, Any]:
    import yaml
    from papermill.iorw import NoDatesSafeLoader

    try:
        found = yaml.load(text, Loader=NoDatesSafeLoader)
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{source}: invalid YAML or JSON ({reason})") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InputError(f"{source}: expected a mapping of names to values")
    return found


def inject(
    notebook: NotebookNode,
    parameters: dict[str, Any],
    kernel_name: str | None = None,
) -> NotebookNode:
    """A copy of `notebook` with a cell that sets `parameters`, by papermill.

    The cell follows the one tagged ``parameters``, or is the first; it replaces that of
    an earlier run. `kernel_name`: the kernel to use; None: the notebook's own, else
    ``python3``. Without parameters returns `notebook`. InputError: papermill does not
    support the kernel's language; MissingLibraryError.
    """
    if not parameters:
        return notebook
    parameterize = need("papermill.parameterize", "papermill", _WHAT)
    from papermill.exceptions import PapermillException

    spec = notebook.metadata.get("kernelspec", {})
    kernel = kernel_name or spec.get("name") or "python3"
    language = _language(notebook, kernel)
    prepared = copy.deepcopy(notebook)
    if not isinstance(prepared.metadata.get("papermill"), dict):
        prepared.metadata["papermill"] = type(prepared)()
    # papermill expects tags in every cell.
    bare = [each for each in prepared.cells if "tags" not in each.metadata]
    for cell in bare:
        cell.metadata["tags"] = []
    log = logging.getLogger("papermill")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns if no cell is tagged
    try:
        made: NotebookNode = parameterize.parameterize_notebook(
            prepared, parameters, kernel_name=kernel, language=language
        )
    except (PapermillException, ValueError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"cannot set parameters: {reason}") from None
    finally:
        log.setLevel(level)
    for cell in bare:
        del cell.metadata["tags"]
    return made


def _language(notebook: NotebookNode, kernel: str) -> str:
    """The kernel's language; "": unknown."""
    spec = notebook.metadata.get("kernelspec", {})
    if spec.get("name") == kernel:
        name = notebook.metadata.get("language_info", {}).get("name")
        if spec.get("language") or name:
            return str(spec.get("language") or name)
    specs = need("jupyter_client.kernelspec", "run", _WHAT)
    try:
        return str(specs.get_kernel_spec(kernel).language)
    except specs.NoSuchKernel:
        return ""
