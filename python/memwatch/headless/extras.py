"""What only some need: the library where it is installed, else how to get it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["MissingExtraError", "need"]


_LIBRARIES = {
    "run": "nbclient jinja2 rich",
    "papermill": "papermill",
    "dask": "distributed",
}
"""What pip installs for each extra of pyproject.toml."""


class MissingExtraError(Exception):
    """A library is not installed; one line, which says how to get it."""


def need(module: str, extra: str, what: str) -> Any:
    """The module `module`, for `what`; MissingExtraError where there is none."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{what} needs {module.partition('.')[0]}:"
            f" pip install {_LIBRARIES[extra]} ({error})"
        ) from error
