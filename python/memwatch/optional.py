"""The optional parts of memwatch: the libraries of each, and how to install them.

Every message about a missing library, and `memwatch doctor`, take it from here.
"""

from __future__ import annotations

from importlib import import_module, util
from typing import Any, NamedTuple


class Built(NamedTuple):
    """A part that is compiled if a C library is found."""

    extension: str
    """The extension module that is linked with the library."""
    library: str
    option: str
    """Its option in meson.options."""
    headers: str
    """The Debian package to build with ..."""
    runtime: str
    """... and to run with."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """Their names."""
        return (self.library,)


class Installed(NamedTuple):
    """A part that needs Python libraries."""

    modules: tuple[str, ...]
    """The modules that it needs; with `any_of` one of them."""
    libraries: tuple[str, ...]
    """Their distributions."""
    any_of: bool = False


_RUN = ("jinja2", "msgspec", "nbclient", "nbformat", "rich")

PARTS: dict[str, Built | Installed] = {
    "children": Built("_procps", "libproc2", "procps", "libproc2-dev", "libproc2-0"),
    "cpu style": Built("_procps", "libproc2", "procps", "libproc2-dev", "libproc2-0"),
    "publishing": Built("_stream", "libzmq", "stream", "libzmq3-dev", "libzmq5"),
    "top": Installed(("textual", "zmq"), ("textual", "pyzmq")),
    "run": Installed(_RUN, _RUN),
    "plot": Installed(("matplotlib",), ("matplotlib",)),
    "papermill": Installed((*_RUN, "papermill"), (*_RUN, "papermill")),
    "dask": Installed((*_RUN, "distributed"), (*_RUN, "distributed")),
    "data frames": Installed(("pandas", "polars"), ("pandas", "polars"), any_of=True),
}
"""By name, in the order of `memwatch doctor`."""


def install_command(name: str) -> str:
    """The command that installs the part `name`."""
    part = PARTS[name]
    if isinstance(part, Installed):
        if part.any_of:
            return " or ".join(f"pip install {each}" for each in part.libraries)
        return f"pip install {' '.join(part.libraries)}"
    if _is_built(part):
        return f"apt-get install {part.runtime}"
    return (
        f"apt-get install {part.headers} pkg-config && pip install --force-reinstall"
        f" --no-deps -Csetup-args=-D{part.option}=enabled . (in the source folder of"
        " memwatch)"
    )


def why_missing(name: str) -> str | None:
    """Why the part `name` cannot be used; None: it can.

    Imports an extension module, but only searches for Python libraries, whose import
    takes seconds.
    """
    part = PARTS[name]
    if isinstance(part, Installed):
        absent = [each for each in part.modules if not _is_installed(each)]
        if not absent or (part.any_of and len(absent) < len(part.modules)):
            return None
        return f"{', '.join(absent)} not installed"
    if not _is_built(part):
        return f"memwatch was built without {part.library}"
    try:
        import_module(f".{part.extension}", __package__)
    except ImportError as error:
        return str(error)
    return None


def describe_missing(name: str) -> str:
    """Why the part `name` cannot be used, and the command that installs it."""
    return f"{why_missing(name)}: {install_command(name)}"


def _is_built(part: Built) -> bool:
    return _is_installed(f"{__package__}.{part.extension}")


def _is_installed(module: str) -> bool:
    try:
        return util.find_spec(module) is not None
    except ValueError:  # imported, without a spec
        return True


class MissingLibraryError(Exception):
    """A library is not installed; one line that says how to install it."""


def need(module: str, part: str, what: str) -> Any:
    """The module `module`, which `what` requires. MissingLibraryError if it is missing.

    `part` is the optional part it belongs to, a key of PARTS.

    >>> need("no_such_module", "run", "an example")
    Traceback (most recent call last):
    ...
    memwatch.optional.MissingLibraryError: an example requires no_such_module: ...
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingLibraryError(
            f"{what} requires {module.partition('.')[0]}:"
            f" {install_command(part)} ({error})"
        ) from error
