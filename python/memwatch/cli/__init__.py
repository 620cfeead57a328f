"""The command ``memwatch``. Loads a sub-command when it is called."""

from __future__ import annotations

import difflib
import io
import os
import sys
from importlib import import_module
from typing import Any

import click
from click.shell_completion import add_completion_class

from .. import __version__
from .shell_completion import Bash, Zsh

_COMMANDS = ("compare", "doctor", "exec", "keygen", "postmortem", "run", "top")
"""Each is a module of this package that defines ``command``."""


class _Stderr(io.FileIO):
    """Descriptor 2. Drops what cannot be written, so that no message ends a run."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or len(data)
        except OSError:
            return len(data)


def _prepare_streams() -> None:
    """Keep the exit code independent of what can be printed.

    stderr drops what cannot be written (full disk, closed pipe, closed terminal).
    stdout replaces characters that its encoding lacks.
    """
    # If a standard stream is closed, the next file opened would take its descriptor.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    # Tests replace the streams; leave theirs alone.
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
            if error.filename is not None:  # a file, not stdout
                raise
            # Python flushes the rest at exit: that must not fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            click.echo(f"Error: cannot write to stdout: {error.strerror}", err=True)
            sys.exit(2)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(130)

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
        if word.endswith(".py"):
            ctx.fail(f"to run and measure a script: python -m memwatch {word}")
        if word not in _COMMANDS and not word.startswith("-"):
            near = difflib.get_close_matches(word, _COMMANDS, n=1)
            known = f"expected one of: {', '.join(_COMMANDS)}"
            hint = f"did you mean '{near[0]}'?" if near else known
            ctx.fail(f"unknown command '{word}': {hint}")
        return super().resolve_command(ctx, args)


add_completion_class(Bash)
add_completion_class(Zsh)


@click.group(
    cls=_Commands,
    epilog='Tab completion: eval "$(_MEMWATCH_COMPLETE=bash_source memwatch)"; also'
    " zsh_source, fish_source.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="memwatch", message="%(prog)s %(version)s")
def main() -> None:
    """Measure what notebook cells cost in memory.

    In IPython and Jupyter, type `%load_ext memwatch`. These commands are for a
    terminal.

    Exit codes: 0 success, 2 bad usage.
    """
