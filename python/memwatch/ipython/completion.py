"""Tab completion after %memwatch and %%memwatch."""

from __future__ import annotations

from .command_line import CELL_OPTIONS
from .commands import COMMANDS

_HELP = "--help"


def complete(line: str, symbol: str) -> list[str]:
    """What may replace `symbol`, the end of `line`; `line` ends at the cursor.

    `symbol` is what the shell completes: sometimes only the end of a word.

    >>> complete("%memwatch to", "to")
    ['top']
    """
    words = line.split()
    typed = "" if not words or line[-1:].isspace() else words.pop()
    found = [each for each in _candidates(words, typed) if each.startswith(typed)]
    if typed.endswith(symbol):
        return [each[len(typed) - len(symbol) :] for each in found]
    return found


def _candidates(words: list[str], typed: str) -> list[str]:
    """What may follow the complete `words`."""
    if not words:
        return []
    if words[0].startswith("%%"):
        return list(CELL_OPTIONS) if len(words) == 1 else []
    if len(words) == 1:
        return [
            *COMMANDS,
            "help",
            *([_HELP, "--version"] if typed.startswith("-") else []),
        ]
    command = COMMANDS.get(words[1])
    if command is None or len(words) > 2:
        return []
    if typed.startswith("-"):
        return [_HELP]
    return [] if command.argument is None else list(command.argument.complete(typed))
