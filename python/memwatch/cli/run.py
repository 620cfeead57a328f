"""``memwatch run``: execute notebooks and measure every cell."""

from __future__ import annotations

import atexit
import math
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from . import shell_completion as tab

if TYPE_CHECKING:
    from ..run.session import RunAll
    from ..run.signals import Stop

_SIZE_METAVAR = "SIZE"
_INTERRUPTED = 130


def _seconds(ctx: click.Context, option: click.Parameter, text: str | None) -> Any:
    try:
        seconds = None if text is None else float(text)
    except ValueError:
        seconds = math.nan
    if seconds is not None and not 0 < seconds < math.inf:
        raise click.BadParameter(f"expected a positive number of seconds, got '{text}'")
    return seconds


_HEADINGS = {
    "output": "Output",
    "jobs": "Execution",
    "typed": "Parameters",
    "json_": "Reports",
    "max_peak": "Budgets",
    "dask": "Cluster",
}
"""Above the first option of each group in the help."""


class _Grouped(click.Command):
    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        heading = ""
        for option in self.get_params(ctx):
            if not isinstance(option, click.Option):
                continue
            is_help = "--help" in option.opts
            heading = "Other" if is_help else _HEADINGS.get(option.name or "", heading)
            record = option.get_help_record(ctx)
            if record is not None:
                groups.setdefault(heading, []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


@click.command(
    "run",
    cls=_Grouped,
    short_help="Run notebooks and measure what each cell costs in memory.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument(
    "notebooks", nargs=-1, shell_complete=tab.notebooks, metavar="NOTEBOOK... [OUT]"
)
@click.option(
    "-o", "--output", shell_complete=tab.files, metavar="OUT",
    help="File for the executed notebook.",
)  # fmt: skip
@click.option(
    "--output-dir", shell_complete=tab.folders, metavar="DIR",
    help="Directory for executed notebooks; file names are kept.",
)  # fmt: skip
@click.option(
    "--in-place", is_flag=True, help="Write executed notebooks over their inputs."
)
@click.option(
    "--no-output", is_flag=True, help="Write no executed notebook (the default)."
)
@click.option(
    "--no-metadata", is_flag=True, help="Write no figures into executed notebooks."
)
@click.option(
    "-j", "--jobs", type=click.IntRange(1), default=1, metavar="N",
    help="Number of notebooks to run at a time (default: 1).",
)  # fmt: skip
@click.option(
    "--kernel", shell_complete=tab.kernels, metavar="NAME",
    help="Kernel to use instead of the notebook's own.",
)  # fmt: skip
@click.option(
    "--timeout", callback=_seconds, metavar="SECONDS",
    help="Maximum seconds per cell (default: no limit).",
)  # fmt: skip
@click.option(
    "--startup-timeout", callback=_seconds, default="60",
    metavar="SECONDS", help="Maximum seconds for a kernel to start (default: 60).",
)  # fmt: skip
@click.option("--allow-errors", is_flag=True, help="Continue after a cell that raises.")
@click.option(
    "--cwd", shell_complete=tab.folders, metavar="DIR",
    help="Working directory of the kernels (default: the notebook's own).",
)  # fmt: skip
@click.option(
    "--children", is_flag=True,
    help="Measure the kernels' child processes too (needs libproc2).",
)  # fmt: skip
@click.option(
    "-v", "--verbose", is_flag=True,
    help="Show all that the kernels write to stdout and stderr.",
)  # fmt: skip
@click.option(
    "-p", "--parameter", "typed", type=(str, str), multiple=True,
    metavar="NAME VALUE", help="Set a parameter; VALUE may be a number, True or None.",
)  # fmt: skip
@click.option(
    "-r", "--parameter-raw", "raw", type=(str, str), multiple=True,
    metavar="NAME VALUE", help="Set a parameter to the text VALUE.",
)  # fmt: skip
@click.option(
    "-f", "--parameters-file", "files", multiple=True, shell_complete=tab.files,
    metavar="FILE", help="Read parameters from a YAML or JSON file.",
)  # fmt: skip
@click.option(
    "-y", "--parameters-yaml", "yaml", multiple=True, metavar="TEXT",
    help="Read parameters from YAML text.",
)  # fmt: skip
@click.option(
    "--json", "json_", shell_complete=tab.files, metavar="FILE",
    help="Write all figures as JSON (- is stdout).",
)  # fmt: skip
@click.option(
    "--csv", shell_complete=tab.files, metavar="FILE",
    help="Write a CSV table with one row per cell.",
)  # fmt: skip
@click.option(
    "--html", shell_complete=tab.files, metavar="FILE",
    help="Write a page with tables and charts.",
)  # fmt: skip
@click.option(
    "--markdown", shell_complete=tab.files, metavar="FILE",
    help="Write a Markdown summary for CI.",
)  # fmt: skip
@click.option(
    "--max-peak", metavar=_SIZE_METAVAR,
    help="Highest RSS allowed: 2GiB, or 60% of the memory limit. Exit 3 if exceeded.",
)  # fmt: skip
@click.option(
    "--max-used", metavar=_SIZE_METAVAR,
    help="Growth allowed from first to last cell. Exit 3 if exceeded.",
)  # fmt: skip
@click.option(
    "--baseline", shell_complete=tab.files, metavar="FILE",
    help="JSON of an earlier run to compare with. Exit 3 if a cell costs more.",
)  # fmt: skip
@click.option(
    "--tolerance", metavar=_SIZE_METAVAR, default="10%",
    help="Increase over the baseline that is allowed (default: 10%, at least 1 MiB).",
)  # fmt: skip
@click.option("--dask", metavar="ADDRESS", help="Run on the Dask cluster at ADDRESS.")
@click.option(
    "--retries", type=click.IntRange(0), default=2, metavar="N",
    help="With --dask: restarts of a notebook whose worker dies (default: 2).",
)  # fmt: skip
def command(notebooks: tuple[str, ...], **given: Any) -> None:
    """Run notebooks and measure what each cell costs in memory.

    NOTEBOOK is a file, a directory or a pattern. The kernel process is measured from
    outside, so any kernel language works and the kernel needs no memwatch. Executed
    notebooks are written only to OUT or with an output option.

    Exit codes: 0 success; 1 a cell raised or timed out; 2 bad usage, bad input, or a
    file could not be written; 3 a budget was exceeded; 130 interrupted (Ctrl-C,
    SIGTERM, SIGHUP); 137 a kernel was killed.
    """
    if not notebooks:
        raise click.UsageError("no notebook given; try: memwatch run NOTEBOOK.ipynb")
    from ..run.signals import Stop, ignore_all, interrupting

    # At the end all is written, but Python takes a while to exit.
    atexit.register(ignore_all)
    stop = Stop()
    # First: the imports take most of a second.
    stop.at_request(_leave)
    with interrupting(stop.request):
        code = _prepare_and_run(notebooks, given, stop)
    sys.exit(code)


def _leave() -> None:
    """End at a signal before the first notebook is run; nothing is to be written."""
    with suppress(OSError):
        os.write(2, b"interrupted: no notebook was run\n")
    # An exception would be reported, or lost, by the code that is interrupted.
    os._exit(_INTERRUPTED)


def _prepare_and_run(
    notebooks: tuple[str, ...], given: dict[str, Any], stop: Stop
) -> int:
    from ..optional import MissingLibraryError, need

    try:
        for library in ("nbclient", "nbformat"):
            need(library, "run", "memwatch run")
        from ..run import session

        return _run(session, notebooks, given, stop)
    except MissingLibraryError as error:
        raise click.UsageError(str(error)) from None


def _run(
    session: Any, notebooks: tuple[str, ...], given: dict[str, Any], stop: Stop
) -> int:
    from ..display.units import printable
    from ..run import notebook_files, parameters
    from ..run.execution import Options
    from ..run.output import exports

    batch = session.Batch(
        max_peak=_size("--max-peak", given["max_peak"]),
        max_used=_size("--max-used", given["max_used"]),
        tolerance=_size("--tolerance", given["tolerance"]),
        with_metadata=not given["no_metadata"],
    )
    outputs = session.Outputs(
        json=given["json_"],
        csv=given["csv"],
        html=given["html"],
        markdown=given["markdown"],
    )
    if given["children"] and given["dask"] is None:
        _check_children()
    cwd = given["cwd"]
    if cwd is not None and not os.path.isdir(cwd):
        raise click.UsageError(f"--cwd: '{cwd}' is not a directory")
    try:
        if given["baseline"] is not None:
            batch.earlier = exports.load(given["baseline"])
        values = parameters.collect(
            given["typed"], given["raw"], given["files"], given["yaml"]
        )
        tasks, errors = _tasks(notebooks, given)
        outputs.check(tasks)
    except notebook_files.InputError as error:
        raise click.UsageError(str(error)) from None
    batch.errors += errors
    options = Options(
        kernel_name=given["kernel"],
        timeout=given["timeout"],
        startup_timeout=given["startup_timeout"],
        allow_errors=given["allow_errors"],
        children=given["children"],
        cwd=cwd,
    )
    for task in tasks:
        batch.add(task, options, values)
    progress = _progress(is_verbose=given["verbose"])
    # From here on a signal ends the notebooks, and then all is written.
    stop.at_request(None)
    with progress:
        batch.run(progress, given["jobs"], _on_cluster(given), stop)
    batch.compare()
    batch.write(outputs)
    progress.summarize(batch.runs, batch.violations, batch.reports)
    for each in (*batch.remarks, *batch.errors):
        click.echo(f"memwatch run: {printable(each)}", err=True)
    return int(batch.exit_code)


def _tasks(
    notebooks: tuple[str, ...], given: dict[str, Any]
) -> tuple[Sequence[Any], list[str]]:
    from ..run import inputs

    output_given = given["output"] or given["output_dir"]
    all_inputs = bool(output_given or given["in_place"] or given["no_output"])
    chosen, output = inputs.split_two(notebooks, all_inputs=all_inputs)
    found, errors = inputs.expand(chosen)
    tasks = inputs.plan(
        found,
        output=given["output"] or output,
        output_dir=given["output_dir"],
        in_place=given["in_place"],
    )
    return tasks, [str(error) for error in errors]


def _check_children() -> None:
    from ..measure import children
    from ..optional import describe_missing
    from ..warn import cause_of

    try:
        children.start()
    except ImportError:
        reason = describe_missing("children")
        raise click.UsageError(f"--children: {reason}") from None
    except OSError as error:
        raise click.UsageError(f"--children: {cause_of(error)}") from None


def _size(option: str, text: str | None) -> Any:
    from ..run.budgets.budgets import BudgetError, parse_size

    if text is None:
        return None
    try:
        return parse_size(text)
    except BudgetError as error:
        raise click.UsageError(f"{option}: {error}") from None


def _progress(*, is_verbose: bool) -> Any:
    from ..run.progress import Lines, Table

    lines = Lines(is_verbose=is_verbose)
    try:
        return Table(is_verbose=is_verbose) if sys.stderr.isatty() else lines
    except ImportError:
        return lines  # the table needs rich


def _on_cluster(given: dict[str, Any]) -> RunAll | None:
    if given["dask"] is None:
        return None
    from ..run.dask.cluster import run_on_cluster
    from ..run.dask.connection import ClusterError

    def run_jobs(
        jobs: Any, on_run: Callable[..., None], listener: Any, stop: Stop
    ) -> Any:
        run = partial(run_on_cluster, jobs, given["dask"], given["retries"])
        try:
            return run(on_run, listener, stop)
        except ClusterError as error:
            raise click.UsageError(str(error)) from None

    return run_jobs
