"""The line after %memwatch and %%memwatch: parse it, run it, and write its help."""

from __future__ import annotations

import shlex
from getopt import GetoptError, getopt
from typing import Any

from ..warn import say
from .commands import (
    COMMANDS,
    Argument,
    Command,
    CommandError,
    Session,
    check_word,
    parse_count,
)

CELL_OPTIONS = ("-r", "--repeat", "-h", "--help")
"""The options of ``%%memwatch``."""

_HELP_OPTIONS = {"-h", "--help"}
_CELL_MAGICS = {
    "%%memwatch": "Watch this cell, even if watching is off.",
    "%%memwatch -r N": "Run this cell N times; show median and range.",
    "%%memwatch_quiet": "Run this cell without printing a line.",
}


def run(session: Session, line: str) -> object:
    """Run the subcommand in `line`; what the magic evaluates to, or None.

    CommandError if it cannot be done.
    """
    word, *words = _split(line) or ["status"]
    if word in _HELP_OPTIONS:
        say(describe())
        return None
    if word.startswith("-"):
        raise CommandError(f"%memwatch: unknown option: '{word}'; see %memwatch --help")
    prefix = "%memwatch"
    try:
        name = check_word(word, COMMANDS, "subcommand")
        prefix, command = f"%memwatch {name}", COMMANDS[name]
        if not _HELP_OPTIONS.isdisjoint(words):
            say(_describe_command(name, command))
            return None
        value = _parse_argument(command.argument, words)
    except CommandError as error:
        raise CommandError(f"{prefix}: {error}") from None
    return command.run(session, value)


def _parse_argument(argument: Argument | None, words: list[str]) -> Any:
    rest = words if argument is None else words[1:]
    if rest:
        raise CommandError(f"unexpected argument: '{' '.join(rest)}'")
    if argument is None:
        return None
    if words:
        return argument.parse(words[0])
    if argument.needed:
        raise CommandError(f"missing argument: {argument.name}")
    return argument.default


def parse_cell_line(line: str) -> int | None:
    """The number of runs in the line of ``%%memwatch``; 0: help; None: one run.

    CommandError if the line has anything else.

    >>> parse_cell_line("-r 5")
    5
    """
    runs = None
    try:
        options, rest = getopt(_split(line), "r:h", ["repeat=", "help"])
        for option, value in options:
            if option in _HELP_OPTIONS:
                return 0
            runs = parse_count(value)
    except (GetoptError, CommandError) as error:
        raise CommandError(f"%%memwatch: {error}") from None
    if rest:
        hint = "; a cell magic takes no subcommand" if rest[0] in COMMANDS else ""
        raise CommandError(f"%%memwatch: unexpected argument: '{' '.join(rest)}'{hint}")
    return runs


def describe() -> str:
    """The help of ``%memwatch``, as a docstring."""
    rows = {_usage(name, command): command.help for name, command in COMMANDS.items()}
    rows |= _CELL_MAGICS
    width = max(map(len, rows))
    table = "\n".join(f"    {typed:<{width}}  {text}" for typed, text in rows.items())
    return (
        f"Show what every cell costs in memory.\n\n::\n\n{table}\n\n"
        "For details: %memwatch SUBCOMMAND --help. The reports of all cells are in\n"
        "memwatch.history."
    )


def _describe_command(name: str, command: Command) -> str:
    parts = [f"usage: {_usage(name, command)}", command.help]
    if command.argument is not None:
        parts.append(f"  {command.argument.name}  {command.argument.help}")
    return "\n\n".join([*parts, command.details]).rstrip()


def _usage(name: str, command: Command) -> str:
    argument = command.argument
    if argument is None:
        return f"%memwatch {name}"
    return f"%memwatch {name} " + (
        argument.name if argument.needed else f"[{argument.name}]"
    )


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        reason = str(error).lower()  # "No closing quotation"
        raise CommandError(f"%memwatch {line.strip()}: {reason}") from None
