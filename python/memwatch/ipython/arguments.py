"""The arguments of the subcommands of %memwatch: checking and completing them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..display import lines
from ..stream import publishing


class CommandError(Exception):
    """The command cannot be run; the message, one line, says why."""


def parse_count(typed: str) -> int:
    """A positive integer in ASCII digits. CommandError.

    >>> parse_count("5")
    5
    """
    # int() alone accepts 1_000 and Bengali digits.
    if not (typed.isascii() and typed.isdecimal() and int(typed) > 0):
        raise CommandError(f"expected a positive integer, got '{typed}'")
    return int(typed)


def check_word(word: str, words: Iterable[str], kind: str) -> str:
    """`word`, if it is among `words`; else CommandError with the closest of them.

    >>> check_word("cpu", ["classic", "cpu"], "style")
    'cpu'
    """
    words = list(words)
    if word in words:
        return word
    import difflib  # takes a millisecond or two: only for a typing error

    close = difflib.get_close_matches(word, words, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"expected {', '.join(words)}"
    raise CommandError(f"unknown {kind}: '{word}'; {hint}")


def parse_style(typed: str) -> str:
    """The name of a style. CommandError."""
    return check_word(typed, lines.STYLES, "style")


def parse_endpoint(typed: str) -> str:
    """An endpoint, ``on`` or ``off``. CommandError."""
    if typed not in ("on", "off"):
        try:
            publishing.parse(typed)
        except publishing.PublishError as error:
            raise CommandError(str(error)) from None
    return typed


def complete_path(typed: str, *endings: str) -> list[str]:
    """Paths that begin so and end in one of `endings`."""
    from .. import paths

    found = paths.complete_path(typed, endings)
    # IPython would evaluate what is in braces or behind a dollar sign.
    found = [each for each in found if not set("${}") & set(each)]
    return found if found or typed else [f"memwatch{each}" for each in endings]


def complete_pid(record_dir: str) -> list[str]:
    """The killed processes, the newest first."""
    from ..blackbox import postmortem

    found = postmortem.find_dead(None, record_dir)
    return list(dict.fromkeys(str(box["pid"]) for _, box in found))


def complete_name(namespace: Mapping[str, object]) -> list[str]:
    """The variables whose memory can be explained."""
    return [each for each in namespace if not each.startswith("_")]
