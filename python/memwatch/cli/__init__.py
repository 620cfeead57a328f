"""The command ``memwatch``. A sub-command is loaded when it is called."""

from __future__ import annotations

import difflib
import io
import os
import sys
from importlib import import_module
from typing import Any

import click

from .. import __version__

__all__ = ["main"]

_COMMANDS = ("doctor", "keygen", "postmortem", "run", "top")
"""Each is a module of this package, and in it ``command``."""


class _Stderr(io.FileIO):
    """Descriptor 2. What cannot be written is dropped: no message may end a run."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or len(data)
        except OSError:
            return len(data)


def _prepare_streams() -> None:
    """Make no message and no character a reason to end with another exit code.

    stderr drops what cannot be written (a full disk, a closed pipe, a terminal that
    was closed). stdout replaces characters that its encoding does not have.
    """
    # The next file that is opened would be taken for a standard stream that is closed.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    # Not where somebody has put others in their place, as tests do.
    if sys.stderr is sys.__stderr__:
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(_Stderr(2, "w", closefd=False)),
            encoding=getattr(sys.stderr, "encoding", "utf-8"),
            errors="backslashreplace",
            line_buffering=True,
        )
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


class _Commands(click.Group):
    def main(self, *arguments: Any, **options: Any) -> Any:
        _prepare_streams()
        try:
            return super().main(*arguments, **options)
        except OSError as error:
            if error.filename is not None:  # a file: that is not stdout
                raise
            # What is still buffered must not fail once more when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            click.echo(f"Error: stdout cannot be written: {error.strerror}", err=True)
            sys.exit(2)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f".{cmd_name}", __package__)
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if word not in _COMMANDS and not word.startswith("-"):
            near = difflib.get_close_matches(word, _COMMANDS, n=1)
            there = f"what there is: {', '.join(_COMMANDS)}"
            meant = f"did you mean '{near[0]}'?" if near else there
            ctx.fail(f"no sub-command '{word}': {meant}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="memwatch", message="%(prog)s %(version)s")
def main() -> None:
    """What notebook cells cost in memory.

    In IPython and Jupyter it is `%load_ext memwatch`; here is what is done from a
    terminal.

    Exit codes: 0 fine, 2 wrong usage.
    """
