"""``memwatch top``: a live table of all watched processes."""

from __future__ import annotations

import json
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from ..files import drop_stdout
from ..report import iso_8601
from ..top.overview import Overview
from ..top.processes import SORTABLE, Process, sort
from ..top.table import NO_PROCESSES, headline, table
from . import shell_completion as tab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..top.collector import Collector

_ENCODER = json.JSONEncoder(separators=(",", ":"))
_LISTEN_S = 2.5
"""How long --once collects messages: an idle kernel sends one a second."""


# fmt: off
@click.command("top", short_help="Show a live table of all watched processes.")
@click.option(
    "--connect", multiple=True, metavar="ENDPOINT",
    help="Also show the kernel that publishes at ENDPOINT; may be repeated.",
)
@click.option(
    "--bind", metavar="ENDPOINT",
    help="Also show kernels that publish to ENDPOINT, such as tcp://127.0.0.1:5555.",
)
@click.option(
    "--server-key", shell_complete=tab.files, metavar="FILE|KEY",
    help="Public key of the kernels given by --connect: a file or the key itself.",
)
@click.option("--curve", is_flag=True, help="Require keys on loopback too.")
@click.option(
    "--rate", type=click.FloatRange(0.1, 50), default=2.0, show_default=True,
    metavar="HZ", help="Refreshes per second, 0.1 to 50.",
)
@click.option("--once", is_flag=True, help="Print one table and exit.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one line of JSON per refresh."
)
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N",
    help="Exit after N refreshes.",
)
@click.option(
    "--sort", "column", type=click.Choice(SORTABLE), default="rss", show_default=True,
    metavar="COLUMN", help=f"Column to sort by: {', '.join(SORTABLE)}.",
)
@click.option("--reverse", is_flag=True, help="Reverse the order.")
@click.option(
    "--record-dir", default="", shell_complete=tab.folders, metavar="DIR",
    help="Also look for black boxes in DIR (c.MemWatch.record_dir).",
)
def command(
    connect: tuple[str, ...],
    bind: str | None,
    server_key: str | None,
    curve: bool,
    record_dir: str,
    once: bool,
    as_json: bool,
    **shown: Any,
) -> None:
    """Show a live table of all watched processes.

    Always includes your own watched processes on this machine. SHARE is RSS as a
    percentage of the memory limit, marked !, !! and !!! from 60, 80 and 95 % on.
    A kernel that died is red and is shown for 10 minutes; Enter opens its
    post-mortem, ? lists all keys.

    Connections to other machines require keys: see `memwatch keygen`.
    """
    if sys.stdout is None:
        raise click.UsageError("stdout is closed; redirect it to a file or a terminal")
    if not (once or as_json or sys.stdout.isatty()):
        raise click.UsageError("stdout is not a terminal; use --once or --json")
    collector = _listen(connect, bind, server_key, curve)
    view = Overview(collector, record_dir)
    try:
        if once or as_json:
            _print(view, once, as_json, **shown)
        else:
            _run_screen(view, shown)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        drop_stdout()  # the reader has enough
    finally:
        if collector is not None:
            collector.close()


# fmt: on
def _listen(
    connect: tuple[str, ...], bind: str | None, server_key: str | None, curve: bool
) -> Collector | None:
    if not connect and bind is None:
        if server_key is not None or curve:
            raise click.UsageError(
                "--server-key requires --connect, and --curve requires --bind"
            )
        return None
    from ..top.auth import CollectorError
    from ..top.collector import Collector

    try:
        collector = Collector(list(connect), bind, server_key, curve=curve)
    except CollectorError as error:
        raise click.UsageError(str(error)) from None
    if collector.admits_nobody:
        from ..stream.keys import keys_folder

        click.echo(
            "memwatch: no public key is admitted yet; put the public keys of the"
            f" publishers into {keys_folder() / 'admitted'}",
            err=True,
        )
    return collector


def _run_screen(view: Overview, shown: dict[str, Any]) -> None:
    try:
        from ..top.app import Screen
    except ImportError as error:
        from ..optional import install_command

        raise click.UsageError(
            f"the live table requires textual: {install_command('top')} ({error});"
            " --once and --json work without it"
        ) from None
    Screen(view, **shown).run()


def _print(
    view: Overview, once: bool, as_json: bool, rate: float, count: int | None,
    column: str, reverse: bool,
) -> None:  # fmt: skip
    count = 1 if once else count
    show_at = time.monotonic()
    if once and view.collector is not None:
        show_at += _LISTEN_S
    shown = 0
    while count is None or shown < count:
        _wait(view.collector, show_at)
        processes = view.refresh()
        now_ns = time.monotonic_ns()
        if once:
            processes = [each for each in processes if each.gone_ns is None]
        processes = sort(processes, column, now_ns, reverse=reverse)
        if as_json:
            values = {
                "schema": 2,
                "refreshed_at": iso_8601(time.time_ns()),
                "t_mono_ns": now_ns,
                "unreadable_boxes": view.unreadable,
                "stream": _stream(view.collector),
            }
            rows = _rows(processes, now_ns, view.collector)
            text = f'{_ENCODER.encode(values)[:-1]},"processes":[{",".join(rows)}]}}'
        elif not processes:
            text = NO_PROCESSES
        else:
            width = shutil.get_terminal_size((120, 24)).columns
            text = f"{headline(processes, now_ns)}\n{table(processes, width, now_ns)}"
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        if once and view.unreadable_reason is not None:
            click.echo(f"memwatch: {view.unreadable_reason}", err=True)
        shown += 1
        # A late refresh does not shorten the next interval.
        show_at = max(show_at + 1 / rate, time.monotonic())


def _rows(
    processes: list[Process], now_ns: int, collector: Collector | None
) -> Iterator[str]:
    for position, each in enumerate(processes):
        # Ten thousand take half a second.
        if collector is not None and not position & 127:
            collector.guard()
        yield _ENCODER.encode(each.to_dict(now_ns))


def _wait(collector: Collector | None, until: float) -> None:
    """Collect messages until CLOCK_MONOTONIC reaches `until`, in seconds."""
    if collector is None:
        time.sleep(max(0.0, until - time.monotonic()))
        return
    from ..top.collector import DRAIN_S

    while True:
        collector.drain(DRAIN_S)
        left = until - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, DRAIN_S))


def _stream(collector: Collector | None) -> dict[str, Any] | None:
    if collector is None:
        return None
    return {
        "endpoint": collector.endpoint,
        "received": collector.received,
        "refused": collector.refused,
        "refused_reason": collector.refused_reason,
        "lost": collector.lost,
        "skipped_messages": collector.skipped_messages,
        "restarts": collector.restarts,
    }
