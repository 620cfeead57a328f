"""Tab completion after %memwatch and %%memwatch.

Loaded at the first Tab; extension.py registers it.
"""

from __future__ import annotations

import builtins
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .command_line import CELL_OPTIONS, LINE_OPTIONS
from .commands import COMMANDS, Session

_CELL_MAGIC = "%%memwatch"
_REPEAT = ("-r", "--repeat")
_RUNS = ("3", "5", "10")
# As shlex splits a line; the last word may lack its closing quote.
_WORD = r"""(?:[^\s'"\\]|\\.|'[^']*(?:'|$)|"(?:[^"\\]|\\.)*(?:"|\\?$)|\\$)+"""


class Completion(NamedTuple):
    """What may replace the word before the cursor."""

    text: str
    type: str
    """As JupyterLab shows it: keyword, param, path, value, function or instance."""


def complete(
    line: str, session: Session, names: Mapping[str, object]
) -> tuple[str, list[Completion]]:
    """The word that `line` ends with, and what may replace it, the best first.

    `line` begins with the magic and ends at the cursor. `names` are the user's, because
    code may follow ``%memwatch``. Every text begins with the word, and is quoted as it.

    >>> typed, found = complete("%memwatch to", None, {"total": 5})
    >>> typed, [each.text for each in found]
    ('to', ['top', 'total'])
    """
    words = list(re.finditer(_WORD, line))
    typed = words.pop()[0] if words and words[-1].end() == len(line) else ""
    value, quote = _unquote(typed)
    if not words or value is None:
        return typed, []
    magic, *before = (each[0] for each in words)
    found = _candidates(magic == _CELL_MAGIC, before, value, session, names)
    return typed, [
        Completion(typed + _quote(text[len(value) :], quote), kind)
        for text, kind in found
        if text.startswith(value)
    ]


def _unquote(word: str) -> tuple[str | None, str]:
    """What shlex makes of a word that may be unfinished; the quote that is open."""
    for quote in ("", "'", '"'):
        try:
            return "".join(shlex.split(word + quote)), quote
        except ValueError:
            continue
    return None, ""


def _quote(rest: str, quote: str) -> str:
    """`rest` for the end of a word in which `quote` is open; closes it after a file."""
    if quote == "'":
        quoted = rest.replace("'", "'\"'\"'")
    else:
        quoted = re.sub(r'(["\\])' if quote else r"""([\s'"\\])""", r"\\\1", rest)
    return quoted if rest.endswith("/") else quoted + quote


def _candidates(
    is_cell: bool,
    words: list[str],
    typed: str,
    session: Session,
    names: Mapping[str, object],
) -> Iterable[Completion]:
    """What may follow `words`; what does not begin with `typed` is dropped later."""
    if len(words) == 1 and words[0] in _REPEAT:
        return _all(_RUNS, "value")
    if typed.startswith("--repeat="):
        return _all([f"--repeat={runs}" for runs in _RUNS], "value")
    if is_cell:
        return _all(CELL_OPTIONS if not words or typed[:1] == "-" else (), "param")
    if not words and typed[:1] == "-":
        return _all(LINE_OPTIONS, "param")
    if not words:
        return _words_or_code(typed, names)
    if words[0] in _REPEAT:
        return _code(typed, {**vars(builtins), **names}) if len(words) == 2 else ()
    return _arguments(words, typed, session)


def _words_or_code(typed: str, names: Mapping[str, object]) -> Iterable[Completion]:
    """Subcommands, then names that are none of them."""
    found = [each for each in (*COMMANDS, "help") if each.startswith(typed)]
    # The many built-in names would bury a subcommand.
    names = names if found else {**vars(builtins), **names}
    code = [each for each in _code(typed, names) if each.text not in found]
    return _all(found, "keyword") + code


def _code(typed: str, names: Mapping[str, object]) -> list[Completion]:
    """The names that begin with `typed`, since IPython finds none behind a magic."""
    return [
        Completion(name, "function" if callable(names[name]) else "instance")
        for name in sorted(names)
        if typed and name.startswith(typed)
    ]


def _arguments(words: list[str], typed: str, session: Session) -> Iterable[Completion]:
    command = COMMANDS.get(words[0])
    if command is None:
        return []
    if typed[:1] == "-":
        return _all(["--help"], "param")
    if len(words) > 1:
        return []
    argument = command.argument
    found = () if argument is None else argument.complete(session, typed)
    # Without any, IPython would list all that it knows.
    return _all(found, argument.kind if argument else "") or _all(["--help"], "param")


def _all(texts: Iterable[str], kind: str) -> list[Completion]:
    return [Completion(text, kind) for text in texts]
