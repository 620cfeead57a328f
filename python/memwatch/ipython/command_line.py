"""The line after %memwatch and %%memwatch: parse it, run it, and write its help."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from typing import Any, NoReturn

from ..warn import say
from .commands import (
    COMMANDS,
    Argument,
    CommandError,
    Session,
    check_word,
    parse_count,
)

__all__ = ["CELL_OPTIONS", "describe", "parse_cell_line", "run"]

CELL_OPTIONS = ("-r", "--repeat", "-h", "--help")
"""The options of ``%%memwatch``."""

_HELP_OPTIONS = {"-h", "--help"}
_CELL_MAGICS = {
    "%%memwatch": "Watch this cell and print its line, even if watching is off.",
    "%%memwatch -r N": "Run this cell N times; show median and range.",
    "%%memwatch_quiet": "Run this cell without printing a line.",
}


def run(session: Session, line: str) -> object:
    """Run the subcommand in `line`; what the magic evaluates to, or None.

    CommandError if it cannot be done.

    >>> run(session, "history 5")  # doctest: +SKIP
    """
    word, *words = _split(line) or ["status"]
    if word in _HELP_OPTIONS:
        say(describe())
        return None
    if word.startswith("-"):
        raise CommandError(f"%memwatch: unknown option: '{word}'; see %memwatch --help")
    name = check_word(word, COMMANDS, "subcommand")
    command = COMMANDS[name]
    parser = _Parser(f"%memwatch {name}", command.help, command.details)
    if command.argument is not None:
        parser.add(command.argument)
    if not _HELP_OPTIONS.isdisjoint(words):
        say(parser.format_help().rstrip())
        return None
    # One message for `on now` and `style cpu now`, where argparse would write two.
    given, rest = parser.parse_known_args(words)
    if rest:
        raise CommandError(f"%memwatch {name}: unexpected argument: '{' '.join(rest)}'")
    return command.run(session, getattr(given, "value", None))


def parse_cell_line(line: str) -> int | None:
    """The number of runs in the line of ``%%memwatch``; 0: help; None: one run.

    CommandError if the line has anything else.

    >>> parse_cell_line("-r 5")
    5
    """
    words = _split(line)
    if not _HELP_OPTIONS.isdisjoint(words):
        return 0
    parser = _Parser("%%memwatch", _CELL_MAGICS["%%memwatch"])
    parser.add_argument(
        "-r", "--repeat", type=parser.value_of(parse_count), metavar="N"
    )
    given, rest = parser.parse_known_args(words)
    if rest:
        hint = "; a cell magic takes no subcommand" if rest[0] in COMMANDS else ""
        raise CommandError(f"%%memwatch: unexpected argument: '{' '.join(rest)}'{hint}")
    return given.repeat  # type: ignore[no-any-return]


def describe() -> str:
    """The help of ``%memwatch``, as a docstring."""
    rows = {}
    for name, command in COMMANDS.items():
        argument = command.argument
        after = ""
        if argument is not None:
            after = f" {argument.name}" if argument.needed else f" [{argument.name}]"
        rows[f"%memwatch {name}{after}"] = command.help
    rows |= _CELL_MAGICS
    width = max(map(len, rows))
    table = "\n".join(f"    {typed:<{width}}  {text}" for typed, text in rows.items())
    return (
        f"Show what every cell costs in memory.\n\n::\n\n{table}\n\n"
        "For details: %memwatch SUBCOMMAND --help. The reports of all cells are in\n"
        "memwatch.history."
    )


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        reason = str(error).lower()  # "No closing quotation"
        raise CommandError(f"%memwatch {line.strip()}: {reason}") from None


class _Parser(argparse.ArgumentParser):
    """argparse that raises CommandError instead of exiting."""

    def __init__(self, prog: str, text: str, details: str = "") -> None:
        super().__init__(
            prog=prog,
            description=text,
            epilog=details or None,
            # The terminal's width is not that of a notebook.
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
                prog, width=80
            ),
            allow_abbrev=False,
        )
        self.color = False  # 3.14 would write escape sequences into notebooks

    def add(self, argument: Argument) -> None:
        self.add_argument(
            "value",
            metavar=argument.name,
            nargs=None if argument.needed else "?",
            default=argument.default,
            type=self.value_of(argument.parse),
            help=argument.help,
        )

    def value_of(self, parse: Callable[[str], Any]) -> Callable[[str], Any]:
        """`parse`, with the magic's name in front of its errors."""

        def value(typed: str) -> Any:
            try:
                return parse(typed)
            except CommandError as error:
                if str(error).startswith("%"):
                    raise
                raise CommandError(f"{self.prog}: {error}") from None

        return value

    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{self.prog}: {message}")
