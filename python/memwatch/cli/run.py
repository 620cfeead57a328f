"""``memwatch run``: notebooks with nobody looking, and what each cell cost."""

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

__all__ = ["command"]

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
    short_help="Run notebooks, and tell what each cell costs in memory.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("notebooks", nargs=-1, metavar="NOTEBOOK... [OUT]")
@click.option("-o", "--output", metavar="OUT", help="Where the executed notebook goes.")
@click.option("--output-dir", metavar="DIR", help="The same for several; their names.")
@click.option("--in-place", is_flag=True, help="Replace the notebooks themselves.")
@click.option("--no-output", is_flag=True, help="Write no notebook; the default.")
@click.option(
    "-j", "--jobs", type=click.IntRange(1), default=1, metavar="N",
    help="How many at a time; 1 if not given.",
)  # fmt: skip
@click.option("--kernel", metavar="NAME", help="Instead of the one each names.")
@click.option(
    "--timeout", callback=_seconds, metavar="SECONDS",
    help="For each cell; no limit if not given.",
)  # fmt: skip
@click.option(
    "--startup-timeout", callback=_seconds, default="60",
    metavar="SECONDS", help="For the kernel to be ready; 60 if not given.",
)  # fmt: skip
@click.option("--allow-errors", is_flag=True, help="Go on after a cell that raises.")
@click.option("--cwd", metavar="DIR", help="Run there, not in the notebook's folder.")
@click.option(
    "-p", "--parameter", "typed", type=(str, str), multiple=True,
    metavar="NAME VALUE", help="Set a parameter, a number where VALUE is one.",
)  # fmt: skip
@click.option(
    "-r", "--parameter-raw", "raw", type=(str, str), multiple=True,
    metavar="NAME VALUE", help="The same; VALUE stays text.",
)  # fmt: skip
@click.option(
    "-f", "--parameters-file", "files", multiple=True, metavar="FILE",
    help="Parameters from a YAML or JSON file.",
)  # fmt: skip
@click.option(
    "-y", "--parameters-yaml", "yaml", multiple=True, metavar="TEXT",
    help="Parameters as YAML text.",
)  # fmt: skip
@click.option(
    "--no-metadata", is_flag=True, help="Write no figures into the executed notebook."
)
@click.option("--json", "json_", metavar="FILE", help="All figures, for programs.")
@click.option("--csv", metavar="FILE", help="One row a cell.")
@click.option("--html", metavar="FILE", help="One page to look at, without network.")
@click.option("--markdown", metavar="FILE", help="A summary for CI; - is stdout.")
@click.option(
    "--max-peak", metavar=_SIZE_METAVAR,
    help="What the kernel may hold at most: 2GiB, 60% of the limit. Else exit 3.",
)  # fmt: skip
@click.option(
    "--max-used", metavar=_SIZE_METAVAR,
    help="What a notebook may keep, from its first cell to its last. Else exit 3.",
)  # fmt: skip
@click.option(
    "--baseline", metavar="FILE",
    help="What --json wrote earlier: no cell may cost more than then. Else exit 3.",
)  # fmt: skip
@click.option(
    "--tolerance", metavar=_SIZE_METAVAR, default="10%",
    help="How much more is fine: 10% if not given, and never less than 1 MiB.",
)  # fmt: skip
@click.option("--dask", metavar="ADDRESS", help="Run on the cluster of this scheduler.")
@click.option(
    "--retries", type=click.IntRange(0), default=2, metavar="N",
    help="With --dask: how often to begin anew where a worker dies; 2 if not given.",
)  # fmt: skip
def command(notebooks: tuple[str, ...], **given: Any) -> None:
    """Run notebooks from first cell to last, and tell what each cell costs in memory.

    Each NOTEBOOK is a file, a folder or a pattern. Measured is the kernel's process,
    from outside: any language, nothing to install in it. Without OUT and the output
    options no notebook is written.

    Exit codes: 0 fine, 1 a cell raised or took too long, 2 something could not be read,
    run or written, 3 a budget was exceeded, 130 interrupted (Ctrl-C, SIGTERM, SIGHUP),
    137 a kernel was killed.
    """
    if not notebooks:
        raise click.UsageError("no notebook is given: memwatch run NOTEBOOK.ipynb")
    from ..run.extras import MissingExtraError, need

    try:
        for library in ("nbclient", "nbformat"):
            need(library, "run", "memwatch run")
        from ..run import session

        sys.exit(_run(session, notebooks, given))
    except MissingExtraError as error:
        raise click.UsageError(str(error)) from None


def _run(session: Any, notebooks: tuple[str, ...], given: dict[str, Any]) -> int:
    from ..run import inputs, parameters
    from ..run.budgets import violations
    from ..run.output import exports
    from ..run.runner import Options

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
        raise click.UsageError(f"--cwd: '{cwd}' is not a folder")
    try:
        if given["baseline"] is not None:
            batch.earlier = exports.load(given["baseline"])
        values = parameters.collect(
            given["typed"], given["raw"], given["files"], given["yaml"]
        )
        tasks, errors = _tasks(notebooks, given)
        outputs.check(tasks)
    except inputs.InputError as error:
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
    """Ignore signals while the reports are written, which would be lost else."""
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

    told = given["output"] or given["output_dir"]
    all_inputs = bool(told or given["in_place"] or given["no_output"])
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
    from ..run.dask.cluster import ClusterError, run_on_cluster

    def run_jobs(jobs: Any, on_run: Callable[..., None], listener: Any) -> Any:
        run = partial(run_on_cluster, jobs, given["dask"], given["retries"])
        try:
            return run(on_run, listener)
        except ClusterError as error:
            raise click.UsageError(str(error)) from None

    return run_jobs
