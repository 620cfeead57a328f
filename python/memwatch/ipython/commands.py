"""The subcommands of %memwatch. Independent of IPython.

To add one, write a function and add it to COMMANDS; help and completion follow.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from .. import _core
from ..blackbox import recording
from ..display import lines
from ..display.units import mib
from ..measure import capabilities
from ..measure.window import history
from ..stream import publishing
from ..warn import say
from .arguments import (
    CommandError,
    complete_name,
    complete_path,
    complete_pid,
    parse_count,
    parse_endpoint,
    parse_style,
)
from .cell_watcher import CellWatcher


class Session(Protocol):
    """What the subcommands act on: the shell's MemWatch."""

    style: Any
    children: Any
    publish: Any
    record_dir: Any
    watcher: CellWatcher
    shell: Any

    @property
    def columns(self) -> int:
        """Characters per line of what is shown."""
        ...

    def shows(self, mime: str) -> bool:
        """Whether the front end gets results of this MIME type."""
        ...

    def show(self, found: Any) -> None:
        """Show something that has a repr() and _repr_html_()."""
        ...


class Argument(NamedTuple):
    """The argument of a subcommand."""

    name: str
    help: str
    parse: Callable[[str], Any]
    """Text to value; raises CommandError."""
    default: Any = None
    needed: bool = False
    complete: Callable[[Session, str], Iterable[str]] = lambda session, typed: ()
    """The completions of what has been typed, or more."""
    kind: str = "value"
    """What is completed, as JupyterLab shows it."""


class Command(NamedTuple):
    """A subcommand."""

    help: str
    run: Callable[[Session, Any], object]
    """Gets the argument's value, None without an argument; the magic evaluates to what
    it returns."""
    argument: Argument | None = None
    details: str = ""
    """The last paragraph of --help."""


# ---- actions ----


def _on(session: Session, _: None) -> None:
    session.watcher.start()
    say("watching every cell")


def _off(session: Session, _: None) -> None:
    session.watcher.stop()
    say("not watching; to watch again: %memwatch on")


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
    from ..measure import capability_text

    why: dict[str, str] = {}
    rss, found = capabilities.find_accuracy(why)
    limit, _ = capabilities.find_limit(why)
    watching = "watching every cell" if session.watcher.watching else "not watching"
    memory = _core.memory()
    now = mib(memory["rss_bytes"])
    peak = mib(memory["lifetime_peak_bytes"])
    held = mib(history.timelines_bytes)
    most = mib(history.max_timelines_bytes)
    return [
        f"memwatch {__version__}: {watching}, style {session.style}",
        f"peak: {capability_text.describe_peak(found, why)}",
        f"RSS: {capability_text.describe_rss(rss, why)}",
        f"children: {_describe_children(session)}",
        f"this process: {now} MiB now, peak {peak} MiB since its start",
        f"limit: {capability_text.describe_limit(limit, why)}",
        f"history: {len(history)} of at most {history.max_reports} reports",
        f"timelines: {held} of at most {most} MiB",
        f"black box: {recording.describe()}",
        f"published: {publishing.describe()}",
    ]


def _describe_children(session: Session) -> str:
    if not session.children:
        return "not measured; to measure them: %config MemWatch.children = True"
    if not history:
        return "measured"
    return f"measured; last cell: {lines.children(history[-1]) or 'none'}"


def _publish(session: Session, endpoint: str | None) -> None:
    if endpoint is not None:
        session.publish = "" if endpoint == "off" else endpoint
    say(f"published: {publishing.describe()}")


def _last(session: Session, _: None) -> None:
    from ..display import tables

    if not history:
        say(tables.NOTHING)
        return
    # Only here: malloc walks its free memory to answer.
    say(tables.story(history[-1], _core.malloc_stats()))


def _top(session: Session, count: int) -> None:
    from ..display import tables

    say(tables.top_tables(history, count, session.columns))


def _history(session: Session, count: int) -> None:
    from ..display import tables

    say(tables.history_table(history, count, session.columns))


def _plot(session: Session, _: None) -> object:
    """The Axes, which display themselves; in a terminal print blocks."""
    if session.shows("image/png"):
        try:
            return history.plot()
        except ImportError as error:
            raise CommandError(str(error)) from None
    from ..display import charts

    limit = capabilities.find_limit({})[0]["limit_bytes"]
    say(charts.session_chart(history, session.columns, limit_bytes=limit))
    return None


def _postmortem(session: Session, pid: int | None) -> None:
    from ..blackbox import postmortem, postmortem_text

    found = postmortem.find_dead(pid, session.record_dir)
    say(postmortem_text.describe_newest(found, session.record_dir, pid=pid))


def _save(session: Session, path: str) -> None:
    writers = {".json": history.to_json, ".csv": history.to_csv}
    _write("save", path, writers)


def _report(session: Session, path: str) -> None:
    def write(target: str) -> None:
        from ..run.output.page import write_session

        name = os.path.basename(os.environ.get("JPY_SESSION_NAME", "")) or "session"
        write_session(target, list(history), name)

    _write("report", path, {".html": write})


def _vars(session: Session, _: None) -> None:
    from ..holders.variables import variables

    _show_of_heap(session, variables)


def _why(session: Session, name: str | None) -> None:
    from ..holders.explanation import why

    _show_of_heap(session, lambda: why(name, shell=session.shell))


def _show_of_heap(session: Session, ask: Callable[[], object]) -> None:
    from ..holders.holdings import HeapError

    try:
        session.show(ask())
    except HeapError as error:
        raise CommandError(str(error)) from None


def _trim(session: Session, _: None) -> None:
    before = _core.memory()["rss_bytes"] or 0
    if not _core.malloc_trim():
        raise CommandError("this malloc cannot return memory: glibc's can")
    after = _core.memory()["rss_bytes"] or 0
    returned = mib(max(0, before - after))
    say(f"{returned} MiB returned to the system, RSS {mib(after)} MiB")


def _write(
    name: str, path: str, writers: Mapping[str, Callable[[str], object]]
) -> None:
    """Write the history by the writer of the path's ending. CommandError."""
    from ..optional import MissingLibraryError

    ending = os.path.splitext(path)[1].lower()
    if ending not in writers:
        expected = " or ".join(writers)
        raise CommandError(
            f"%memwatch {name}: invalid path '{path}': expected a name that ends in"
            f" {expected}"
        )
    count = len(history)
    target = os.path.expanduser(path)
    try:
        writers[ending](target)
    except OSError as error:
        raise CommandError(
            f"%memwatch {name}: cannot write '{path}': {error.strerror}"
        ) from None
    except MissingLibraryError as error:
        raise CommandError(str(error)) from None
    say(f"{count} report{'' if count == 1 else 's'} in {target}")


COMMANDS: dict[str, Command] = {
    "on": Command("Watch every cell.", _on),
    "off": Command("Stop watching.", _off),
    "status": Command("Show what is watched, and how exactly.", _status),
    "last": Command(
        "Show all figures of the last cell.",
        _last,
        details="Also asks malloc how much free memory it retains, which takes a"
        " moment.",
    ),
    "top": Command(
        "Show which cells kept most and rose highest.",
        _top,
        Argument(
            "N",
            "Number of reports (default: 5).",
            parse_count,
            default=5,
            complete=lambda session, typed: ("5", "10", "20", "50"),
        ),
    ),
    "history": Command(
        "Show the newest reports as a table.",
        _history,
        Argument(
            "N",
            "Number of reports (default: 20).",
            parse_count,
            default=20,
            complete=lambda session, typed: ("20", "50", "100", "500"),
        ),
    ),
    "vars": Command("Show which variables hold the most memory.", _vars),
    "why": Command(
        "Show what holds the memory, and what frees it.",
        _why,
        Argument(
            "NAME",
            "Variable to explain (default: the whole process).",
            str,
            complete=lambda session, typed: complete_name(session.shell.user_ns),
            kind="name",
        ),
        details="With NAME: who else holds what it holds, and how.",
    ),
    "trim": Command(
        "Return free memory of malloc to the system.",
        _trim,
        details="Calls malloc_trim(), which takes milliseconds.",
    ),
    "plot": Command("Plot the memory of the session.", _plot),
    "postmortem": Command(
        "Show what a killed process was doing.",
        _postmortem,
        Argument(
            "PID",
            "Process that was killed (default: the newest).",
            parse_count,
            complete=lambda session, typed: complete_pid(session.record_dir),
        ),
    ),
    "save": Command(
        "Write all reports to a file, .json or .csv.",
        _save,
        Argument(
            "PATH",
            "File to write; its ending selects the format.",
            str,
            needed=True,
            complete=lambda session, typed: complete_path(typed, ".json", ".csv"),
            kind="path",
        ),
        details="Written atomically: if writing fails, an existing file is left"
        " unchanged. JSON\nincludes the timelines.",
    ),
    "report": Command(
        "Write a page of the session, .html.",
        _report,
        Argument(
            "PATH",
            "File to write.",
            str,
            needed=True,
            complete=lambda session, typed: complete_path(typed, ".html"),
            kind="path",
        ),
    ),
    "style": Command(
        "Show or set the style of the line.",
        _style,
        Argument(
            "NAME",
            f"Style: {' or '.join(lines.STYLES)} (default: show the current one).",
            parse_style,
            complete=lambda session, typed: lines.STYLES,
        ),
    ),
    "publish": Command(
        "Publish over ZeroMQ; show what is published.",
        _publish,
        Argument(
            "ENDPOINT",
            "@ENDPOINT to bind, >ENDPOINT to connect, on or off.",
            parse_endpoint,
            complete=lambda session, typed: (
                "on", "off", "@ipc:///", "@tcp://127.0.0.1:*", ">tcp://",
            ),
        ),
        details="on: an ipc socket in Jupyter's runtime folder, for your own processes"
        " only.\nEndpoints that other machines can reach need keys: memwatch keygen.",
    ),
}  # fmt: skip
"""The subcommands by name, in the order of the help."""
