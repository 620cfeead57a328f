"""The command ``memwatch``. A sub-command is loaded when it is called."""

from __future__ import annotations

import difflib
from importlib import import_module

import click

from .. import __version__

__all__ = ["main"]

_COMMANDS = ("doctor", "keygen", "postmortem", "run", "top")
"""Each is a module of this package, and in it ``command``."""


class _Commands(click.Group):
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
