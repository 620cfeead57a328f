"""The line after %memwatch and %%memwatch: parse it, run it, and write its help."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from getopt import GetoptError, getopt
from typing import Any, NamedTuple

from ..warn import say
from .arguments import CommandError, check_word, parse_count
from .commands import COMMANDS, Argument, Command, Session

CELL_OPTIONS = ("lines", "-r", "--repeat", "--leak", "--help")
"""The options of ``%%memwatch``, without the short form of ``--help``."""
LINE_OPTIONS = ("-r", "--repeat", "--help", "--version")
"""Those of ``%memwatch``, likewise."""

_HELP_OPTIONS = {"-h", "--help"}
_HELP = {*_HELP_OPTIONS, "help"}
# Not compiled here: that would double what this module adds to the load.
_REPEATED = r"(?s:(?:-r\s*|--repeat(?:=|\s+))(\S*)\s*(.*))"
_CODE = {
    "%memwatch CODE": "Watch this line, even if watching is off.",
    "%memwatch -r N CODE": "Run this line N times; show median and range.",
    "%%memwatch": "Watch this cell, even if watching is off.",
    "%%memwatch -r N": "Run this cell N times; show median and range.",
    "%%memwatch lines": "Show what each line of this cell costs.",
    "%memwatch lines -f F CODE": "Show what each line of F() costs.",
    "%%memwatch --leak": "Run this cell 20 times: does it leak?",
    "%%memwatch_compare": "Compare parts of this cell in fresh processes.",
    "%%memwatch_quiet": "Run this cell without printing a line.",
}


def parse_code(
    line: str, is_name: Callable[[str], bool]
) -> tuple[int | None, str] | None:
    """The number of runs, None: one, and the code in the line of ``%memwatch``.

    None if the line has a subcommand or an option instead, or a word that is neither
    Python code nor a name, which `is_name` tells: then it is a mistyped subcommand.
    CommandError if there is no code after ``-r N``.

    >>> parse_code("-r 5 f(x)", {"f", "x"}.__contains__)
    (5, 'f(x)')
    >>> parse_code("top", {"top"}.__contains__)
    """
    code = line.strip()
    repeated = re.fullmatch(_REPEATED, code)
    if repeated is not None:
        count, code = repeated.groups()
        try:
            runs = parse_count(count)
        except CommandError as error:
            raise CommandError(f"%memwatch -r: {error}") from None
        if not code:
            raise CommandError("%memwatch -r: expected code after the number of runs")
        return runs, code
    word = code.split(maxsplit=1)[:1]
    if not word or word[0] in {*COMMANDS, *_HELP} or code.startswith("-"):
        return None
    if word[0].isidentifier() and not _is_code(code, is_name):
        return None
    return None, code


def _is_code(text: str, is_name: Callable[[str], bool]) -> bool:
    import ast  # takes milliseconds

    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return is_name(text) if text.isidentifier() else True


def run(session: Session, line: str) -> object:
    """Run the subcommand in `line`; what the magic evaluates to, or None.

    CommandError if it cannot be done.
    """
    word, *words = _split(line) or ["status"]
    if word in _HELP:
        say(describe())
        return None
    if word == "--version":
        from .. import __version__

        say(f"memwatch {__version__}")
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


class CellOptions(NamedTuple):
    """What the line of ``%%memwatch`` asks for."""

    runs: int | None = None
    """How often to run the cell; None: once; 0: not at all, show the help."""
    leak: bool = False
    """Whether to decide if it leaks."""
    lines: bool = False
    """Whether to measure each line."""
    function: str = ""
    """The function whose lines to measure; "": the cell's."""


def parse_cell_line(line: str) -> CellOptions:
    """The options in the line of ``%%memwatch``.

    CommandError if the line has anything else.

    >>> parse_cell_line("-r 5")
    CellOptions(runs=5, leak=False, lines=False, function='')
    """
    runs, leak, lines = None, False, False
    try:
        options, rest = getopt(_split(line), "r:h", ["repeat=", "leak", "help"])
        for option, value in options:
            if option in _HELP_OPTIONS:
                return CellOptions(runs=0)
            if option == "--leak":
                leak = True
            else:
                runs = parse_count(value)
        lines = rest == ["lines"] and not options
        if leak and runs is not None:
            _check_leak_runs(runs)
    except (GetoptError, CommandError) as error:
        raise CommandError(f"%%memwatch: {error}") from None
    if rest and not lines:
        hint = "; a cell magic takes no subcommand" if rest[0] in COMMANDS else ""
        raise CommandError(f"%%memwatch: unexpected argument: '{' '.join(rest)}'{hint}")
    return CellOptions(runs, leak, lines)


def _check_leak_runs(runs: int) -> None:
    from ..compare.leak import FEWEST_RUNS

    if runs < FEWEST_RUNS:
        raise CommandError(f"--leak: expected at least {FEWEST_RUNS} runs, got {runs}")


def parse(
    line: str, cell: str | None, is_name: Callable[[str], bool]
) -> tuple[CellOptions, str | None]:
    """The options and the code of either magic; no code: `line` is a subcommand.

    CommandError.
    """
    if cell is not None:
        return parse_cell_line(line), cell
    if line.split()[:1] == ["lines"]:
        return _parse_lines(line)
    found = parse_code(line, is_name)
    if found is None:
        return CellOptions(), None
    return CellOptions(runs=found[0]), found[1]


def _parse_lines(line: str) -> tuple[CellOptions, str]:
    found = re.fullmatch(r"\s*lines\s+-f\s*(\S+)\s+(.+)", line)
    if found is None:
        raise CommandError(
            "%memwatch lines: expected a function and code that calls it:"
            " %memwatch lines -f FUNCTION CODE; for a cell: %%memwatch lines"
        )
    return CellOptions(lines=True, function=found[1]), found[2]


def describe() -> str:
    """The help of ``%memwatch``, as a docstring."""
    rows = {_usage(name, command): command.help for name, command in COMMANDS.items()}
    rows |= _CODE
    width = max(map(len, rows))
    table = "\n".join(f"    {typed:<{width}}  {text}" for typed, text in rows.items())
    return (
        f"Show what every cell costs in memory.\n\n{table}\n\n"
        "For details: %memwatch SUBCOMMAND --help. A cell that has only subcommands\n"
        "has no report. For all reports: import memwatch; memwatch.history"
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
