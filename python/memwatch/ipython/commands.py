"""The words after %memwatch: what there is, what each does, and what is wrong.

Knows nothing of IPython: who calls turns CommandError into what a shell shows. To add a
sub-command, add a function and a line in COMMANDS: help and Tab come with it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn, Protocol

from .. import _core
from ..blackbox import recording
from ..display import lines
from ..measure import capabilities
from ..measure.window import history
from ..report import CellReport
from ..stream import publishing
from ..warn import say
from .cell_watcher import CellWatcher

__all__ = [
    "CELL_OPTIONS",
    "COMMANDS",
    "Argument",
    "Command",
    "CommandError",
    "Session",
    "describe",
    "parse_cell_line",
    "run",
]


class CommandError(Exception):
    """What was typed cannot be done; the message, one line, says why."""


class Session(Protocol):
    """What the sub-commands act upon: the shell's MemWatch."""

    style: Any
    publish: Any
    watcher: CellWatcher

    def shows(self, mime: str) -> bool:
        """Whether results go out in that form too; a terminal shows text alone."""
        ...


class Argument(NamedTuple):
    """What may follow a sub-command."""

    name: str
    help: str
    parse: Callable[[str], Any]
    """Text to value; raises CommandError."""
    default: Any = None
    needed: bool = False
    complete: Callable[[str], Iterable[str]] = lambda typed: ()
    """What Tab offers where so much is typed."""


class Command(NamedTuple):
    """A sub-command."""

    help: str
    run: Callable[[Session, Any], object]
    """Gets the argument's value, None where there is no argument; what it returns is
    what the magic evaluates to."""
    argument: Argument | None = None
    more: str = ""
    """What --help tells beside."""


# ---- what each does ----


def _on(session: Session, _: None) -> None:
    session.watcher.start()


def _off(session: Session, _: None) -> None:
    session.watcher.stop()


def _style(session: Session, style: str | None) -> None:
    if style is not None:
        session.style = style
        return
    others = ", ".join(each for each in lines.STYLES if each != session.style)
    say(f"style {session.style}; others: {others}")


def _status(session: Session, _: None) -> None:
    try:
        say("\n".join(_describe_status(session)))
    except OSError as error:
        raise CommandError(str(error)) from None


def _describe_status(session: Session) -> list[str]:
    from .. import __version__

    why: dict[str, str] = {}
    rss, found = capabilities.find_accuracy(why)
    limit, _ = capabilities.find_limit(why)
    watching = "watching every cell" if session.watcher.watching else "not watching"
    memory = _core.memory()
    now = lines.mib(memory["rss_bytes"], 2)
    peak = lines.mib(memory["lifetime_peak_bytes"], 2)
    held = lines.mib(history.timelines_bytes, 2)
    most = lines.mib(history.max_timelines_bytes, 2)
    return [
        f"memwatch {__version__}: {watching}, style {session.style}",
        f"peak: {capabilities.describe_peak(found, why)}",
        f"RSS: {capabilities.describe_rss(rss, why)}",
        f"this process: {now} MiB now, {peak} MiB at most since it began",
        f"limit: {capabilities.describe_limit(limit, why)}",
        f"history: {len(history)} of at most {history.max_reports} reports",
        f"timelines: {held} of at most {most} MiB",
        f"black box: {recording.describe()}",
        f"published: {publishing.describe()}",
    ]


def _publish(session: Session, endpoint: str | None) -> None:
    if endpoint is not None:
        session.publish = "" if endpoint == "off" else endpoint
    say(f"published: {publishing.describe()}")


def _last(session: Session, _: None) -> None:
    # Asking malloc is dear where much is free, so only here.
    from .. import _core
    from ..display import tables

    report = _last_cell()
    if report is None:
        say(tables.NOTHING)
        return

    say(tables.story(report, _core.malloc_stats()))


def _last_cell() -> CellReport | None:
    """The newest report but of cells that only looked at the others.

    Or else asking twice would tell of the asking.
    """
    newest = None
    for report in reversed(history):
        if newest is None:
            newest = report
        words = (report.source or "").split()
        if words[:1] not in (["%memwatch"], ["memwatch"]) or words[1:2] not in _LOOKS:
            return report
    return newest


_LOOKS: list[list[str]] = [
    [], *([word] for word in ("status", "last", "top", "history", "save", "plot")),
    ["publish"],
]  # fmt: skip


def _top(session: Session, count: int) -> None:
    from ..display import tables

    say(tables.top_tables(history, count))


def _history(session: Session, count: int) -> None:
    from ..display import tables

    say(tables.history_table(history, count))


def _plot(session: Session, _: None) -> object:
    """The Axes, which show themselves; in a terminal blocks are printed."""
    if session.shows("image/png"):
        try:
            return history.plot()
        except ImportError as error:
            raise CommandError(str(error)) from None
    from ..display import charts

    limit = capabilities.find_limit({})[0]["limit_bytes"]
    width = shutil.get_terminal_size().columns
    say(charts.session_chart(history, width, limit_bytes=limit))
    return None


def _save(session: Session, path: str) -> None:
    ending = os.path.splitext(path)[1].lower()
    writers = {".json": history.to_json, ".csv": history.to_csv}
    if ending not in writers:
        raise CommandError(f"%memwatch save: '{path}' ends in neither .json nor .csv")
    count = len(history)
    try:
        written = writers[ending](os.path.expanduser(path))
    except OSError as error:
        raise CommandError(
            f"%memwatch save: '{path}' is not written: {error.strerror}"
        ) from None
    say(f"{count} report{'' if count == 1 else 's'} in {written}")


# ---- what may follow ----


def _count(typed: str) -> int:
    # Not int(), which takes 1_000 and Bengali digits.
    if not (typed.isascii() and typed.isdecimal() and int(typed) > 0):
        raise CommandError(f"'{typed}' is no whole number of 1 or more")
    return int(typed)


def _style_name(typed: str) -> str:
    return _known(typed, lines.STYLES, "style")


def _some_styles(typed: str) -> Iterable[str]:
    return lines.STYLES


def _endpoint(typed: str) -> str:
    if typed not in ("on", "off"):
        try:
            publishing.parse(typed)
        except publishing.PublishError as error:
            raise CommandError(str(error)) from None
    return typed


def _some_endpoints(typed: str) -> Iterable[str]:
    return ("on", "off", "@ipc:///", "@tcp://127.0.0.1:*", ">tcp://")


def _some_files(typed: str) -> list[str]:
    folder, start = os.path.split(typed)
    try:
        with os.scandir(os.path.expanduser(folder) or ".") as entries:
            found = [
                each.name + "/" if each.is_dir() else each.name
                for each in entries
                if each.name.startswith(start)
                and (start or not each.name.startswith("."))
                and (each.is_dir() or each.name.endswith((".json", ".csv")))
            ]
    except OSError:
        return []
    before = typed[: len(typed) - len(start)]
    return [before + name for name in sorted(found)]


_REPORTS = "how many reports"

COMMANDS: dict[str, Command] = {
    "on": Command("watch every cell, this one included", _on),
    "off": Command("watch no longer", _off),
    "status": Command("what is watched, how exactly, and the process", _status),
    "last": Command(
        "all that is known of the last cell",
        _last,
        more="Asks malloc what it holds and nobody uses, which takes a moment. Cells"
        " that\nonly look (%memwatch last, top, ...) are not told of.",
    ),
    "top": Command(
        "the cells that kept the most and rose the highest",
        _top,
        Argument("N", f"{_REPORTS}; 5 if not given", _count, default=5),
    ),
    "history": Command(
        "the newest reports as a table",
        _history,
        Argument("N", f"{_REPORTS}; 20 if not given", _count, default=20),
    ),
    "plot": Command("the session as a picture; in a terminal, in blocks", _plot),
    "save": Command(
        "write all reports to a file, .json or .csv",
        _save,
        Argument(
            "PATH",
            "the file; its ending says what it will be",
            str,
            needed=True,
            complete=_some_files,
        ),
        more="Whole or not at all: a file that is there stays as it is where this one"
        " cannot be\nwritten. JSON has the timelines, too.",
    ),
    "style": Command(
        "which line is printed, or print another",
        _style,
        Argument("NAME", " or ".join(lines.STYLES), _style_name, complete=_some_styles),
    ),
    "publish": Command(
        "publish what is watched over ZeroMQ, or tell what is published",
        _publish,
        Argument(
            "ENDPOINT",
            "@ENDPOINT to bind, >ENDPOINT to connect, on, off",
            _endpoint,
            complete=_some_endpoints,
        ),
        more="on: an ipc socket in Jupyter's runtime folder, which nobody else can"
        " connect to.\ntcp:// beyond this machine takes keys: memwatch keygen.",
    ),
}
"""The sub-commands by name, in the order in which they are told."""

CELL_OPTIONS = ("-r", "--repeat", "-h", "--help")
"""The options of ``%%memwatch``."""

_CELLS = {
    "%%memwatch": "watch this one cell while watching is off",
    "%%memwatch -r N": "run this cell N times: median and range",
    "%%memwatch_quiet": "run this cell without a line",
}


# ---- from a line to what is done ----


def run(session: Session, line: str) -> object:
    """Do what was typed after ``%memwatch``; what that evaluates to, or None.

    CommandError where it cannot be done.
    """
    word, *words = _split(line) or ["status"]
    if word in ("-h", "--help"):
        say(describe())
        return None
    if word.startswith("-"):
        raise CommandError(
            f"%memwatch: no option '{word}'; %%memwatch, on cells, may have some"
        )
    name = _known(word, COMMANDS, "sub-command")
    command = COMMANDS[name]
    parser = _Parser(f"%memwatch {name}", command.help, command.more)
    if command.argument is not None:
        parser.add(command.argument)
    if not {"-h", "--help"}.isdisjoint(words):
        say(parser.format_help().rstrip())
        return None
    # Of a typed style: `on now` and `style cpu now` are equally too much.
    given, rest = parser.parse_known_args(words)
    if rest:
        before = [each for each in words if each not in rest]
        told = " ".join([f"%memwatch {name}", *before])
        raise CommandError(f"{told}: '{' '.join(rest)}' is too much")
    return command.run(session, getattr(given, "value", None))


def parse_cell_line(line: str) -> int | None:
    """How many runs the line of ``%%memwatch`` wants; 0: it wants help; None: one run.

    CommandError where the line has anything else.
    """
    words = _split(line)
    if not {"-h", "--help"}.isdisjoint(words):
        return 0
    parser = _Parser("%%memwatch", _CELLS["%%memwatch"], "")
    parser.add_argument("-r", "--repeat", type=parser.value_of(_count), metavar="N")
    given, rest = parser.parse_known_args(words)
    if rest:
        hint = ", and a cell magic has no sub-commands" if rest[0] in COMMANDS else ""
        raise CommandError(f"%%memwatch: '{' '.join(rest)}' is too much{hint}")
    return given.repeat  # type: ignore[no-any-return]


def describe() -> str:
    """What can be typed, as a docstring."""
    rows = {}
    for name, command in COMMANDS.items():
        argument = command.argument
        after = "" if argument is None else _brackets(argument)
        rows[f"%memwatch {name}{after}"] = command.help
    rows |= _CELLS
    width = max(map(len, rows))
    table = "\n".join(f"    {typed:<{width}}  {told}" for typed, told in rows.items())
    return (
        f"Tell what every cell costs in memory.\n\n::\n\n{table}\n\n"
        "%memwatch SUB-COMMAND --help tells more of one. The reports of all cells are\n"
        "in memwatch.history."
    )


def _brackets(argument: Argument) -> str:
    return f" {argument.name}" if argument.needed else f" [{argument.name}]"


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        why = str(error).lower()  # "No closing quotation"
        raise CommandError(f"%memwatch {line.strip()}: {why}") from None


def _known(word: str, words: Iterable[str], kind: str) -> str:
    words = list(words)
    if word in words:
        return word
    import difflib  # a millisecond or two, which a typing error may cost

    close = difflib.get_close_matches(word, words, n=1)
    meant = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(words)}"
    raise CommandError(f"%memwatch: no {kind} '{word}': {meant}")


class _Parser(argparse.ArgumentParser):
    """argparse, that raises where it would exit."""

    def __init__(self, prog: str, does: str, more: str) -> None:
        super().__init__(
            prog=prog,
            description=does[0].upper() + does[1:] + ".",
            epilog=more or None,
            # Not as wide as the terminal, which a notebook's is not.
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
        def value(typed: str) -> Any:
            try:
                return parse(typed)
            except CommandError as wrong:
                told = str(wrong)
                if told.startswith("%"):
                    raise
                raise CommandError(f"{self.prog}: {told}") from None

        return value

    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{self.prog}: {message}")
