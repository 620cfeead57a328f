"""`memwatch exec`."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from ..command.command import NOT_EXECUTABLE, CommandReport, NotExecutedError, run
from ..display.units import duration, printable, size
from ..files import write_whole
from ..warn import cause_of
from . import output_files
from . import shell_completion as tab

_SETTINGS = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command(
    "exec", short_help="Run a command and measure it.", context_settings=_SETTINGS
)
@click.option(
    "--json", "json_", type=click.Path(), shell_complete=tab.files, metavar="FILE",
    help="Write all figures to FILE as JSON; sizes in bytes, times in nanoseconds.",
)  # fmt: skip
@click.option(
    "--plot", type=click.Path(), shell_complete=tab.files, metavar="FILE",
    help="Draw the memory of the command's own process over time into FILE"
    " (.svg, .png, .pdf); needs matplotlib.",
)  # fmt: skip
@click.option(
    "--no-trace", is_flag=True,
    help="Sample, without stopping each process at its exit: peaks become lower"
    " bounds, and a command that starts thousands of processes is not slowed down.",
)  # fmt: skip
@click.option(
    "--no-cgroup", is_flag=True,
    help="Make no memory cgroup for the command: the peak of its tree is sampled.",
)  # fmt: skip
@click.argument(
    "argv", nargs=-1, type=click.UNPROCESSED, shell_complete=tab.files,
    metavar="[--] COMMAND ...",
)  # fmt: skip
def command(argv: tuple[str, ...], **given: Any) -> None:
    """Run COMMAND and report its memory and time on stderr.

    COMMAND has this terminal, stdin, stdout and stderr, and gets the signals that are
    sent to memwatch. Its peaks are exact: every process is stopped at its exit, by
    ptrace, and the kernel's high-water mark of its RSS is read there. Where ptrace is
    not permitted they are sampled, and the report says so.

    Exit code: that of COMMAND, 128 + N if signal N killed it; 126 if it cannot be
    executed, 127 if it is not found; 2 bad usage, or a file could not be written.
    """
    if not argv:
        raise click.UsageError("no command given; try: memwatch exec -- COMMAND")
    output_files.check("--json", given["json_"])
    output_files.check_picture("--plot", given["plot"])
    try:
        report = run(
            argv,
            trace=not given["no_trace"],
            own_group=not given["no_cgroup"],
            with_timeline=bool(given["json_"] or given["plot"]),
        )
    except NotExecutedError as error:
        click.echo(f"memwatch exec: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        click.echo(f"memwatch exec: {cause_of(error)}", err=True)
        sys.exit(NOT_EXECUTABLE)
    click.echo(describe(report), err=True)
    with output_files.reporting("memwatch exec") as writing:
        if given["json_"]:
            write_whole(given["json_"], [json.dumps(report.to_dict()) + "\n"])
        if given["plot"]:
            from ..display import figures

            chart = figures.plot_command(
                " ".join(argv), report.timeline, report.rss_peak_bytes
            )
            figures.save(chart, given["plot"])
    sys.exit(report.exit_code or writing.exit_code)


def describe(report: CommandReport) -> str:
    """The report as lines for a person."""
    lines = [f"memwatch exec: {printable(' '.join(report.command))}"]
    rows = [("peak", _peak(report)), ("at the end", size(report.rss_end_bytes))]
    if report.processes != 1:
        rows.insert(1, ("peak of the tree", _tree(report)))
    cpu = report.user_ns + report.system_ns
    rows.append(
        ("time", f"{duration(report.duration_ns)} elapsed, {duration(cpu)} CPU")
    )
    if report.signal is not None:
        rows.append(("ended by", report.signal))
    elif report.exit_code:
        rows.append(("exit code", str(report.exit_code)))
    if report.processes_left:
        rows.append(("still running", f"{report.processes_left} of its processes"))
    width = max(len(name) for name, _ in rows)
    lines += [f"  {name:<{width}}  {text}" for name, text in rows]
    if report.trace_error is not None:
        lines.append(
            f"  The peaks are sampled: ptrace is not permitted ({report.trace_error})."
        )
    return "\n".join(lines)


def _peak(report: CommandReport) -> str:
    text = size(report.rss_peak_bytes)
    if report.peak_method == "sampled":
        text = f"at least {text} (sampled)"
    largest = report.largest_peak_bytes
    if largest is not None and largest > (report.rss_peak_bytes or 0):
        name = printable(report.largest_name or "a process")
        text += f"; of {name}, which it started: {size(largest)}"
    return text


def _tree(report: CommandReport) -> str:
    how = {
        "cgroup": f"{size(report.tree_peak_bytes)} (memory cgroup)",
        "kernel": size(report.tree_peak_bytes),
        "sampled": f"at least {size(report.tree_peak_bytes)} (PSS, sampled)",
    }[report.tree_peak_method]
    if report.processes is None:
        return how
    plural = "" if report.processes == 1 else "es"
    return f"{how}, {report.processes} process{plural}"
