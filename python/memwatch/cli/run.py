"""``memwatch run``: execute notebooks and measure every cell."""

from __future__ import annotations

import math
import os
import signal as signals
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..run.session import RunAll

_SIZE_METAVAR = "SIZE"


def _seconds(ctx: click.Context, option: click.Parameter, text: str | None) -> Any:
    try:
        seconds = None if text is None else float(text)
    except ValueError:
        seconds = math.nan
    if seconds is not None and not 0 < seconds < math.inf:
        raise click.BadParameter(f"expected a positive number of seconds, got '{text}'")
    return seconds


@click.command(
    "run",
    short_help="Run notebooks and measure what each cell costs in memory.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("notebooks", nargs=-1, metavar="NOTEBOOK... [OUT]")
@click.option("-o", "--output", metavar="OUT", help="File for the executed notebook.")
@click.option(
    "--output-dir", metavar="DIR",
    help="Directory for executed notebooks; file names are kept.",
)  # fmt: skip
@click.option(
    "--in-place", is_flag=True, help="Write executed notebooks over their inputs."
)
@click.option(
    "--no-output", is_flag=True, help="Write no executed notebook (the default)."
)
@click.option(
    "-j", "--jobs", type=click.IntRange(1), default=1, metavar="N",
    help="Number of notebooks to run at a time (default: 1).",
)  # fmt: skip
@click.option(
    "--kernel", metavar="NAME", help="Kernel to use instead of the notebook's own."
)
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
    "--cwd", metavar="DIR",
    help="Working directory of the kernels (default: the notebook's own).",
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
    "-f", "--parameters-file", "files", multiple=True, metavar="FILE",
    help="Read parameters from a YAML or JSON file.",
)  # fmt: skip
@click.option(
    "-y", "--parameters-yaml", "yaml", multiple=True, metavar="TEXT",
    help="Read parameters from YAML text.",
)  # fmt: skip
@click.option(
    "--no-metadata", is_flag=True, help="Write no figures into executed notebooks."
)
@click.option(
    "--json", "json_", metavar="FILE", help="Write all figures as JSON (- is stdout)."
)
@click.option("--csv", metavar="FILE", help="Write a CSV table with one row per cell.")
@click.option("--html", metavar="FILE", help="Write a page with tables and charts.")
@click.option("--markdown", metavar="FILE", help="Write a Markdown summary for CI.")
@click.option(
    "--max-peak", metavar=_SIZE_METAVAR,
    help="Highest RSS allowed: 2GiB, or 60% of the memory limit. Exit 3 if exceeded.",
)  # fmt: skip
@click.option(
    "--max-used", metavar=_SIZE_METAVAR,
    help="Growth allowed from first to last cell. Exit 3 if exceeded.",
)  # fmt: skip
@click.option(
    "--baseline", metavar="FILE",
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
    from ..optional import MissingLibraryError, need

    try:
        for library in ("nbclient", "nbformat"):
            need(library, "run", "memwatch run")
        from ..run import session

        sys.exit(_run(session, notebooks, given))
    except MissingLibraryError as error:
        raise click.UsageError(str(error)) from None


def _run(session: Any, notebooks: tuple[str, ...], given: dict[str, Any]) -> int:
    from ..run import notebook_files, parameters
    from ..run.budgets import violations
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
        cwd=cwd,
    )
    for task in tasks:
        batch.add(task, options, values)
    with _progress() as progress:
        batch.run(progress, given["jobs"], _on_cluster(given))
    with _uninterrupted():
        batch.compare()
        batch.write(outputs)
    for violation in batch.violations:
        click.echo(f"over budget: {violations.describe(violation)}", err=True)
    for each in (*batch.remarks, *batch.errors):
        click.echo(f"memwatch run: {each}", err=True)
    return int(batch.exit_code)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore signals while the reports are written, so that none is lost."""
    which = (signals.SIGINT, signals.SIGTERM, signals.SIGHUP)
    before = [signals.signal(each, signals.SIG_IGN) for each in which]
    try:
        yield
    finally:
        for each, handler in zip(which, before, strict=True):
            signals.signal(each, handler)


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


def _size(option: str, text: str | None) -> Any:
    from ..run.budgets.budgets import BudgetError, parse_size

    if text is None:
        return None
    try:
        return parse_size(text)
    except BudgetError as error:
        raise click.UsageError(f"{option}: {error}") from None


def _progress() -> Any:
    from ..run.progress import Lines, Table

    try:
        return Table() if sys.stderr.isatty() else Lines()
    except ImportError:
        return Lines()  # the table needs rich


def _on_cluster(given: dict[str, Any]) -> RunAll | None:
    if given["dask"] is None:
        return None
    from ..run.dask.cluster import run_on_cluster
    from ..run.dask.connection import ClusterError

    def run_jobs(jobs: Any, on_run: Callable[..., None], listener: Any) -> Any:
        run = partial(run_on_cluster, jobs, given["dask"], given["retries"])
        try:
            return run(on_run, listener)
        except ClusterError as error:
            raise click.UsageError(str(error)) from None

    return run_jobs
