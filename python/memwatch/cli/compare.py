"""`memwatch compare`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

import click

from ..compare import output, trials, variants
from ..compare.comparison import MEMORY, METRICS, TOLERANCES, Comparison, Metric
from ..compare.leak import FEWEST_RUNS, RUNS
from ..compare.variants import Variant, VariantError
from ..files import csv_pieces, deliver
from . import output_files
from . import shell_completion as tab

F = TypeVar("F", bound=Callable[..., Any])

_KINDS: dict[str, Callable[[str], Variant]] = {
    "-m": variants.module,
    "-c": variants.code,
    "--cmd": variants.command,
}

_OVER_BUDGET = 3


class _Compare(click.Command):
    """Keeps the order of variants that are options: ``A.py -c CODE B.py``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        found: list[tuple[str, str]] = []
        rest: list[str] = []
        words = iter(args)
        for word in words:
            option, equals, value = word.partition("=")
            if word in _KINDS:
                following = next(words, None)
                if following is None:
                    raise click.UsageError(f"option '{word}' needs a value", ctx)
                found.append((word, following))
            elif equals and option == "--cmd":
                found.append((option, value))
            elif word == "--" or (word.startswith("-") and len(word) > 1):
                rest.append(word)
                if not equals and self._takes_value(word):
                    rest.extend(islice(words, 1))
            else:
                found.append(("", word))
        ctx.ensure_object(dict)["variants"] = found
        return super().parse_args(ctx, rest)

    def _takes_value(self, word: str) -> bool:
        return any(
            word in each.opts and isinstance(each, click.Option) and not each.is_flag
            and not each.count
            for each in self.params
        )  # fmt: skip


def _export(name: str, text: str) -> Callable[[F], F]:
    return click.option(
        f"--{name}", f"--export-{name}", type=click.Path(allow_dash=True),
        shell_complete=tab.files, metavar="FILE", help=text,
    )  # fmt: skip


@click.command(
    "compare", cls=_Compare, short_help="Compare what programs take in memory."
)
@click.option(
    "--runs", "-r", type=click.IntRange(2), metavar="N",
    help="Runs of each variant (default: 10 to 30, until the intervals are narrow).",
)  # fmt: skip
@click.option(
    "--warmup", type=click.IntRange(0), default=1, metavar="N",
    help="Runs of each variant before, which do not count (default: 1).",
)  # fmt: skip
@click.option(
    "--setup", default="", metavar="CODE",
    help="Python code to run before each Python variant, which does not count.",
)  # fmt: skip
@click.option(
    "--interpreter", multiple=True, metavar="PYTHON",
    help="Run the Python variants with this interpreter; may be given several times.",
)  # fmt: skip
@click.option(
    "--gross", is_flag=True,
    help="Do not subtract what the interpreter holds before the program begins.",
)  # fmt: skip
@click.option(
    "--same-result", is_flag=True,
    help="Fail if the last expressions of the variants have different values.",
)  # fmt: skip
@click.option(
    "--tolerance", default="", metavar="METRIC=SHARE,...",
    help="Ignore differences up to this share (default: memory=1%,peak=1%,time=5%).",
)  # fmt: skip
@click.option(
    "--fail-if-more", is_flag=True,
    help="Exit with 3 if a variant takes more than the first one: in memory or peak,"
    " or in the metrics that --tolerance names.",
)  # fmt: skip
@click.option(
    "--leak", is_flag=True,
    help=f"Run one Python variant --runs times (default: {RUNS}) in one process, and"
    " decide whether it takes more memory each time.",
)  # fmt: skip
@_export("json", "Write all runs and figures to FILE as JSON; - is stdout.")
@_export("csv", "Write a row for each run to FILE as CSV; - is stdout.")
@_export("markdown", "Write the table to FILE as Markdown; - is stdout.")
@click.option(
    "--plot", type=click.Path(), shell_complete=tab.files, metavar="FILE",
    help="Draw bars with intervals into FILE (.svg, .png, .pdf); needs matplotlib.",
)  # fmt: skip
@click.argument(
    "unused", nargs=-1, expose_value=False, shell_complete=tab.files,
    metavar="VARIANT VARIANT ...",
)  # fmt: skip
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Run programs in fresh processes, in turn, and compare their memory and time.

    VARIANT is a script or a notebook ('slots.py', with arguments 'slots.py 1000'), '-m
    MODULE', '-c CODE', or '--cmd COMMAND'. The memory of a Python program is measured
    above what its interpreter holds before the program begins; that of a command is the
    memory of its whole process. Ratios are to the first variant.

    Exit codes: 0 success; 1 a variant failed, or leaks; 2 bad usage, bad input, or a
    file could not be written; 3 --fail-if-more: a variant takes more; 126, 127 a
    command cannot be executed, is not found; 130 interrupted.
    """
    try:
        chosen = [
            _KINDS.get(kind, variants.script_or_notebook)(text)
            for kind, text in ctx.obj["variants"]
        ]
        tolerances = _tolerances(given["tolerance"])
        if given["setup"]:
            variants.code(given["setup"], "--setup")
        if given["leak"]:
            sys.exit(_find_leak(chosen, given))
        if not chosen:
            raise VariantError("no variant given; try: memwatch compare A.py B.py")
        chosen = variants.with_interpreters(chosen, given["interpreter"])
        if len(chosen) < 2:
            raise VariantError(
                "expected at least two variants; to measure one: memwatch exec, or"
                " --leak"
            )
    except variants.CommandError as error:
        click.echo(f"memwatch compare: {error}", err=True)
        sys.exit(error.exit_code)
    except VariantError as error:
        raise click.UsageError(str(error)) from None
    _check_files(given)
    comparison = Comparison(
        variants=chosen,
        setup=given["setup"],
        gross=given["gross"],
        same_result=given["same_result"],
        tolerances={**TOLERANCES, **tolerances},
    )
    with output.progress_on_terminal() as tell:
        comparison.run(given["runs"], given["warmup"], tell)
    sys.exit(_report(comparison, list(tolerances) or MEMORY, given))


def _report(comparison: Comparison, judged: Iterable[Metric], given: Any) -> int:
    to_stdout = "-" in (given["json"], given["csv"], given["markdown"])
    if any(comparison.trials):
        width = output.width_of_terminal()
        click.echo(output.table(comparison, width), err=to_stdout)
        for each in comparison.sentences():
            click.echo(f"\n{each}", err=to_stdout)
        for each in comparison.warnings():
            click.echo(f"warning: {each}", err=True)
    code = comparison.exit_code
    if comparison.failure is not None:
        click.echo(f"memwatch compare: {comparison.failure}", err=True)
        if any(comparison.trials):
            click.echo(output.partial(comparison), err=True)
    elif given["fail_if_more"] and comparison.has_more(judged):
        code = _OVER_BUDGET
    with output_files.reporting("memwatch compare") as writing:
        _write(comparison, given)
    return code or writing.exit_code


def _write(comparison: Comparison, given: Any) -> None:
    """The files that were asked for, also of a partial comparison. OSError."""
    if given["json"]:
        deliver(given["json"], [json.dumps(comparison.to_dict()) + "\n"])
    if given["csv"]:
        deliver(given["csv"], csv_pieces(output.rows(comparison)))
    if given["markdown"]:
        deliver(given["markdown"], [output.markdown(comparison)])
    if given["plot"] and any(comparison.trials):
        from ..display import figures

        figures.save(figures.plot_bars(*output.bars(comparison)), given["plot"])


def _find_leak(chosen: list[Variant], given: Any) -> int:
    if len(chosen) != 1 or chosen[0].kind == "command" or given["interpreter"]:
        raise VariantError(
            "--leak: expected one Python variant, which this interpreter runs"
        )
    runs = given["runs"] or RUNS
    if runs < FEWEST_RUNS:
        raise VariantError(f"--leak: expected at least {FEWEST_RUNS} runs, got {runs}")
    _check_files(given)
    (variant,) = variants.with_interpreters(chosen, ())
    try:
        with output.progress_on_terminal() as tell:
            verdict = trials.find_leak(variant, runs, setup=given["setup"], tell=tell)
    except trials.TrialError as error:
        click.echo(f"memwatch compare: {error}", err=True)
        return error.exit_code
    click.echo(f"{variant.label}: {verdict}", err=given["json"] == "-")
    with output_files.reporting("memwatch compare") as writing:
        if given["json"]:
            found = {"label": variant.label, **verdict.to_dict()}
            deliver(given["json"], [json.dumps(found) + "\n"])
    return 1 if verdict.state == "leaks" else writing.exit_code


def _tolerances(given: str) -> dict[Any, float]:
    found: dict[str, float] = {}
    for each in filter(None, given.split(",")):
        name, _, share = each.partition("=")
        name, share = name.strip(), share.strip()
        try:
            value = float(share.removesuffix("%")) / (100 if "%" in share else 1)
        except ValueError:
            value = -1
        if name not in METRICS or not 0 <= value < 1:
            raise VariantError(
                f"--tolerance: invalid '{each}': expected for example memory=1% or"
                f" time=0.05; the metrics are {', '.join(METRICS)}"
            )
        found[name] = value
    return found


def _check_files(given: Any) -> None:
    """Before the first run."""
    for name in ("json", "csv", "markdown"):
        output_files.check(f"--{name}", given[name])
    output_files.check_picture("--plot", given["plot"])
