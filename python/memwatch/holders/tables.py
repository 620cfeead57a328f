"""Variables and explanations as tables: text, at most 80 columns, and HTML."""

from __future__ import annotations

from collections.abc import Sequence

from ..display.units import mib, printable, size
from .rows import Row, Variable

_WIDTH = 80
_MOST = 30
"""Rows of a table; `memwatch.variables()` has all."""
_NAME = 20

NO_VARIABLES = "no variables"


def _name(variable: Variable) -> str:
    if not variable.also:
        return variable.name
    return f"{variable.name} (also {', '.join(variable.also)})"


def _what(variable: Variable) -> str:
    return variable.shape or variable.type


def variables_text(variables: Sequence[Variable], partial: str | None) -> str:
    """A line for each variable, the largest first."""
    if not variables:
        return NO_VARIABLES
    lines = [f"{'alone MiB':>10}{'shared MiB':>11}{'cell':>5}  name"]
    for each in variables[:_MOST]:
        cell = "" if each.cell is None else str(each.cell)
        start = (
            f"{mib(each.alone_bytes):>10}{mib(each.with_others_bytes):>11}{cell:>5}  "
        )
        what = _what(each)
        room = _WIDTH - len(start)
        name = printable(_name(each), max(room - len(what) - 2, _NAME))
        lines.append(start + printable(f"{name}  {what}", room))
    lines += _notes(variables, partial)
    return "\n".join(lines)


def _notes(variables: Sequence[Variable], partial: str | None) -> list[str]:
    notes = []
    rest = len(variables) - _MOST
    if rest > 0:
        notes.append(f"and {rest:,} more; for all: memwatch.variables()")
    return notes + _partial(partial)


def _partial(why: str | None) -> list[str]:
    return [] if why is None else [f"partial: {why}; sizes are lower bounds"]


def variables_html(variables: Sequence[Variable], partial: str | None) -> str:
    """The same as a table in HTML, in the colours of the front end."""
    from html import escape

    if not variables:
        return NO_VARIABLES
    left = ' style="text-align: left"'
    titles = ("name", "type", "value")
    head = "".join(f"<th{left}>{each}</th>" for each in titles)
    head += "<th>alone MiB</th><th>shared MiB</th><th>cell</th>"
    rows = []
    for each in variables[:_MOST]:
        texts = (_name(each), each.type, each.shape)
        cells = "".join(f"<td{left}>{escape(printable(text))}</td>" for text in texts)
        cell = "" if each.cell is None else f"[{each.cell}]"
        cells += (
            f"<td>{mib(each.alone_bytes)}</td><td>{mib(each.with_others_bytes)}</td>"
        )
        rows.append(f"<tr>{cells}<td>{cell}</td></tr>")
    notes = "".join(f"<div>{escape(each)}</div>" for each in _notes(variables, partial))
    return (
        f'<table class="memwatch-variables"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>{notes}"
    )


def explanation_text(
    title: str, rows: Sequence[Row], summary: str, partial: str | None
) -> str:
    """From top to bottom: what holds how much, and the command that frees it."""
    lines = [title, f"{'MiB':>10}  what holds it"]
    for row in rows:
        figure = f"{mib(row.size_bytes):>10}  "
        lines += _wrapped(figure, row.what)
        if row.command:
            lines.append(f"{'':>12}to free it: {row.command}")
    return "\n".join([*lines, summary, *_partial(partial)])


def _wrapped(figure: str, text: str) -> Sequence[str]:
    from textwrap import wrap

    return wrap(
        printable(text, 400),
        _WIDTH,
        initial_indent=figure,
        subsequent_indent=" " * len(figure),
        break_long_words=True,
    )


def explanation_html(
    title: str, rows: Sequence[Row], summary: str, partial: str | None
) -> str:
    """The same as a table in HTML."""
    from html import escape

    left = ' style="text-align: left"'

    def code(text: str) -> str:
        return f"<code>{escape(text)}</code>" if text else ""

    body = "".join(
        f"<tr><td>{mib(row.size_bytes)}</td>"
        f"<td{left}>{escape(printable(row.what))}</td>"
        f"<td{left}>{code(row.command)}</td></tr>"
        for row in rows
    )
    notes = [summary, *_partial(partial)]
    return (
        f"<div>{escape(title)}</div>"
        f'<table class="memwatch-why"><thead><tr><th>MiB</th>'
        f"<th{left}>what holds it</th><th{left}>to free it</th></tr></thead>"
        f"<tbody>{body}</tbody></table>"
        + "".join(f"<div>{escape(each)}</div>" for each in notes)
    )


def growth(rss_bytes: int | None, start_bytes: int | None) -> str:
    """The title of an explanation."""
    if rss_bytes is None:
        return "RSS unknown"
    if start_bytes is None:
        return f"RSS {size(rss_bytes)}"
    change = rss_bytes - start_bytes
    direction = "more" if change >= 0 else "less"
    return (
        f"RSS {size(rss_bytes)}, {size(abs(change))} {direction} than at the session's"
        " start"
    )
