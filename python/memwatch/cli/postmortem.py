"""``memwatch postmortem``: what a killed process was doing."""

from __future__ import annotations

import json
import signal as signals
from pathlib import Path

import click

from .._core import BlackBoxError
from ..blackbox.postmortem import examine, find_dead
from ..blackbox.postmortem_text import describe_newest
from ..blackbox.reader import Box, read_box
from ..warn import cause_of
from . import shell_completion as tab


def _signal(
    ctx: click.Context, option: click.Parameter, given: str | None
) -> int | None:
    if given is None:
        return None
    text = given.upper()
    if text.isascii() and text.isdigit() and 0 < int(text) < 65:
        return int(text)
    for name in (text, f"SIG{text}"):
        if name in signals.Signals.__members__:
            return int(signals.Signals[name])
    raise click.BadParameter(
        f"invalid signal '{given}': expected for example 9 or SIGKILL"
    )


@click.command("postmortem", short_help="Report what a killed process was doing.")
@click.argument("which", shell_complete=tab.boxes, metavar="[PID|FILE]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; sizes in bytes.")
@click.option(
    "--signal",
    callback=_signal,
    shell_complete=tab.signals,
    metavar="SIGNAL",
    help="Signal that ended the process, if you know it; exit code 137 is signal 9.",
)
@click.option(
    "--record-dir",
    default="",
    shell_complete=tab.folders,
    metavar="DIR",
    help="Also look for black boxes in DIR (c.MemWatch.record_dir).",
)
def command(
    which: str | None, as_json: bool, signal: int | None, record_dir: str
) -> None:
    """Report which cell a killed process was running and what it held.

    Reads the newest black box that a killed process left behind, or that of process
    PID, or FILE. Black boxes lie in Jupyter's runtime folder, or in 'memwatch-UID' in
    $XDG_RUNTIME_DIR or /dev/shm.

    Reports 'OOM-killed' only if the signal is known and the cgroup's OOM-kill counter
    increased.
    """
    pid = int(which) if which and which.isascii() and which.isdigit() else None
    if which is None or pid is not None:
        found = find_dead(pid, record_dir)
    else:
        found = [_box(which)]
    if pid is not None and not found:
        raise click.UsageError(
            describe_newest([], record_dir, pid=pid)
            + "; `memwatch postmortem` without a PID reads the newest one"
        )
    if as_json:
        report = examine(*found[0], signal).to_dict() if found else None
        click.echo(json.dumps(report, indent=2))
    else:
        click.echo(describe_newest(found, record_dir, pid=pid, signal=signal))


def _box(path: str) -> tuple[Path, Box]:
    try:
        return Path(path), read_box(path)
    except BlackBoxError as error:
        raise click.UsageError(f"{path}: {error}") from None
    except OSError as error:
        raise click.UsageError(f"{path}: {cause_of(error)}") from None
