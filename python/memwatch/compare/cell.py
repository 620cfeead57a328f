"""``%%memwatch_compare``: the variants in one cell. Independent of IPython."""

from __future__ import annotations

import os
from getopt import GetoptError, getopt
from html import escape
from re import sub
from shlex import split
from typing import Any

from . import output, variants
from .comparison import Comparison, Metric
from .variants import VariantError


def read(line: str, cell: str) -> tuple[Comparison, int | None, int]:
    """The comparison in a cell, its runs (None: until certain) and its warm-up runs.

    VariantError says what is wrong with the line or the cell.
    """
    runs, warmup, gross, same_result = None, 1, False, False
    try:
        options, rest = getopt(
            split(line), "r:", ["runs=", "warmup=", "gross", "same-result"]
        )
        for option, value in options:
            if option in ("-r", "--runs"):
                runs = _number(option, value, 2)
            elif option == "--warmup":
                warmup = _number(option, value, 0)
            gross |= option == "--gross"
            same_result |= option == "--same-result"
    except (GetoptError, ValueError) as error:
        raise VariantError(f"%%memwatch_compare: {error}") from None
    if rest:
        raise VariantError(f"%%memwatch_compare: unexpected argument: '{rest[0]}'")
    try:
        setup, found = variants.sections(cell)
        found = variants.with_interpreters(found, ())
    except VariantError as error:
        raise VariantError(f"%%memwatch_compare: {error}") from None
    comparison = Comparison(
        variants=found, setup=setup, gross=gross, same_result=same_result
    )
    return comparison, runs, warmup


def _number(option: str, value: str, least: int) -> int:
    if not value.isascii() or not value.isdigit() or int(value) < least:
        raise ValueError(f"{option}: expected a number from {least} on, got '{value}'")
    return int(value)


class Result:
    """A comparison that displays itself; `comparison` has all figures."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison

    def _doubts(self) -> list[str]:
        found = [f"warning: {each}" for each in self.comparison.warnings()]
        failure = self.comparison.failure
        if failure is not None:
            found.append(failure)
            if any(self.comparison.trials):
                found.append(output.partial(self.comparison))
        return found

    def __repr__(self) -> str:
        parts = [*self.comparison.sentences(), *self._doubts()]
        if any(self.comparison.trials):
            width = output.width_of_terminal()
            parts.insert(0, output.table(self.comparison, width) + "\n")
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        parts = [f"<p>{_marked(each)}</p>" for each in self.comparison.sentences()]
        if any(self.comparison.trials):
            parts.append(_bars(self.comparison))
        parts += [
            f'<pre style="margin:.3em 0">{escape(each)}</pre>'
            for each in self._doubts()
        ]
        return "".join(parts)


def _marked(sentence: str) -> str:
    return sub(r"`([^`]*)`", r"<code>\1</code>", escape(sentence))


def show(
    shell: Any, in_notebook: bool, comparison: Comparison, runs: int | None, warmup: int
) -> Result:
    """Run it and show the progress: in a notebook in place, in a terminal in a line."""
    if not in_notebook:
        with output.progress_on_terminal() as tell:
            comparison.run(runs, warmup, tell)
        return Result(comparison)
    name = f"memwatch-{os.urandom(8).hex()}"

    def publish(text: str, update: bool = True) -> None:
        shell.display_pub.publish(
            {"text/plain": text}, transient={"display_id": name}, update=update
        )

    publish("starting", update=False)
    try:
        comparison.run(runs, warmup, publish)
    finally:
        publish(f"{comparison.runs} runs of each variant")
    return Result(comparison)


_BAR = (
    '<div style="position:relative;width:16em;height:.9em">'
    '<div style="position:absolute;left:0;height:100%;width:{share:.2f}%;'
    'background:{colour}"></div>'
    '<div style="position:absolute;left:{low:.2f}%;width:{span:.2f}%;top:40%;'
    'height:20%;min-width:2px;background:currentColor"></div></div>'
)
_COLOURS: dict[Metric, str] = {  # those of figures.py
    "memory": "#e69f00", "peak": "#1a7fc0", "time": "#999999",
}  # fmt: skip


def _bars(comparison: Comparison) -> str:
    """A table with a bar for each median, and a line on it for its interval."""
    rows = []
    for metric, colour in _COLOURS.items():
        places = range(len(comparison.variants))
        found = [output.bar(comparison, place, metric) for place in places]
        most = max([high for _, _, high in found] + [1.0])
        for place, (value, low, high) in enumerate(found):
            bar = _BAR.format(
                share=max(0.0, value) / most * 100,
                low=max(0.0, low) / most * 100,
                span=(high - max(0.0, low)) / most * 100,
                colour=colour,
            )
            cells = (
                output.TITLES[metric],
                escape(comparison.variants[place].label),
                bar,
                output.with_unit(value, metric),
                output.ratio(comparison, place, metric),
            )
            rows.append("".join(f"<td>{each}</td>" for each in cells))
    titles = ("", "variant", "median, 95 % interval", "", "ratio (95 %)")
    head = "".join(f"<th>{each}</th>" for each in titles)
    body = "".join(f"<tr>{each}</tr>" for each in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
