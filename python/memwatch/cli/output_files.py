"""The files that an option names: checks before a long run, errors after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click

from ..files import check_writable
from ..optional import MissingLibraryError, need
from ..warn import cause_of

_PICTURES = (".svg", ".png", ".pdf")


def check(option: str, path: str | None) -> None:
    """UsageError if FILE of `option` cannot be written; ``-`` is stdout."""
    if not path or path == "-":
        return
    try:
        check_writable(path)
    except OSError as error:
        raise click.UsageError(
            f"{option}: cannot write {path}: {cause_of(error)}"
        ) from None


def check_picture(option: str, path: str | None) -> None:
    """The same for a picture, which needs matplotlib and a known ending."""
    if not path:
        return
    if not path.lower().endswith(_PICTURES):
        raise click.UsageError(
            f"{option}: unknown format of '{path}'; use .svg, .png or .pdf"
        )
    try:
        need("matplotlib", "plot", option)
    except MissingLibraryError as error:
        raise click.UsageError(str(error)) from None
    check(option, path)


@dataclass
class Writing:
    """What became of the files."""

    exit_code: int = 0


@contextmanager
def reporting(command: str) -> Iterator[Writing]:
    """Writes files in its block; an OSError is one line on stderr and exit code 2."""
    writing = Writing()
    try:
        yield writing
    except OSError as error:
        place = error.filename or "stdout"
        click.echo(f"{command}: cannot write {place}: {cause_of(error)}", err=True)
        writing.exit_code = 2
