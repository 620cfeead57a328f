"""Runs as Markdown, for a CI's summary: ``--markdown FILE``. Pure but for writing."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from ...display.units import mib, seconds
from ...files import deliver
from ...report import telling_line
from ..budgets.violations import (
    Violation,
    describe_figure,
    label_of,
    once,
    ran,
    used_by,
)
from ..results import CellRun, NotebookRun
from .page import summarize

# GitHub shows at most 1 MiB of a step's summary.
_MOST_VIOLATIONS = 50
_MOST_NOTEBOOKS = 100
_MOST_CELLS = 10
_LONGEST = 60


def write_summary(
    path: str | os.PathLike[str],
    runs: Sequence[NotebookRun],
    violations: Sequence[Violation] = (),
) -> None:
    """summary() to the file `path`, whole or not at all, or to stdout; OSError."""
    deliver(path, [summary(runs, violations)])


def summary(runs: Sequence[NotebookRun], violations: Sequence[Violation] = ()) -> str:
    """Markdown for GitHub and GitLab, about 30 KiB at most."""
    parts = [f"### memwatch run: {summarize(runs, violations)}"]
    if violations:
        parts.append("**Over budget**\n\n" + _violations(runs, violations))
    if runs:
        parts.append(_notebooks(runs, violations))
    highest = _highest(runs)
    if highest:
        parts.append("**Highest rises**\n\n" + highest)
    return "\n\n".join(parts) + "\n"


def _violations(runs: Sequence[NotebookRun], violations: Sequence[Violation]) -> str:
    # Unknown excesses first, then the largest.
    known = sorted(
        once(violations),
        key=lambda pair: (pair[0].over_bytes is not None, -(pair[0].over_bytes or 0)),
    )
    lines = [
        f"- {_text(each.notebook)}: {_text(each.label)} {_code(each.source)}"
        f"{_text(describe_figure(each, later))}"
        for each, later in known[:_MOST_VIOLATIONS]
    ]
    return "\n".join([*lines, *_more(len(known) - _MOST_VIOLATIONS)])


def _notebooks(runs: Sequence[NotebookRun], violations: Sequence[Violation]) -> str:
    ordered = failed_first(runs, violations)
    rows = [
        [
            _text(run.notebook),
            f"**{run.state}**" if run.state != "ok" else "ok",
            f"{run.executed} of {len(run.cells)}",
            mib(used_by(run)),
            mib(run.peak_bytes),
            seconds(run.duration_ns),
        ]
        for run in ordered[:_MOST_NOTEBOOKS]
    ]
    head = ["notebook", "state", "cells run", "used MiB", "peak MiB", "seconds"]
    lines = [_table(head, rows, 3), *_more(len(runs) - _MOST_NOTEBOOKS)]
    reasons = [
        f"- {_text(run.notebook)}: {_text(run.message)}"
        for run in ordered[:_MOST_NOTEBOOKS]
        if run.message
    ]
    return "\n".join([*lines, *(["", *reasons] if reasons else [])])


def failed_first(
    runs: Sequence[NotebookRun], violations: Sequence[Violation]
) -> list[NotebookRun]:
    """Failed ones first, then those over budget; else in their order."""
    over = {each.notebook for each in violations}
    return sorted(runs, key=lambda run: (run.state == "ok", run.notebook not in over))


def highest_rises(
    runs: Sequence[NotebookRun],
) -> list[tuple[NotebookRun, CellRun]]:
    """The cells whose rise is known, the highest first."""
    cells = [(run, cell) for run in runs for cell in ran(run) if _risen(cell) >= 0]
    return sorted(cells, key=lambda pair: -_risen(pair[1]))


def _highest(runs: Sequence[NotebookRun]) -> str:
    rows = [
        [
            _text(run.notebook),
            f"{_text(label_of(cell))} {_code(telling_line(cell.source))}",
            mib(cell.report.used_bytes),
            mib(cell.report.risen_bytes),
            mib(cell.peak_bytes),
            seconds(cell.report.duration_ns),
        ]
        for run, cell in highest_rises(runs)[:_MOST_CELLS]
        if cell.report is not None
    ]
    head = ["notebook", "cell", "used MiB", "rise MiB", "peak MiB", "seconds"]
    return _table(head, rows, 2) if rows else ""


def _risen(cell: CellRun) -> int:
    risen = None if cell.report is None else cell.report.risen_bytes
    return -1 if risen is None else risen


def _table(head: list[str], rows: list[list[str]], texts: int) -> str:
    """The first `texts` columns are texts, the others numbers."""
    rule = [":--" if i < texts else "--:" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _more(count: int) -> list[str]:
    return (
        ["", f"and {count} more: --html and --json have them all"] if count > 0 else []
    )


# ---- texts of notebooks ----


def _text(text: str) -> str:
    """Escaped: no markup, link, mention or line end."""
    plain = "".join(each if each.isprintable() else " " for each in text)
    plain = re.sub(r"([\\`*_{}\[\]()#|~<>$!])", r"\\\1", plain.replace("&", "&amp;"))
    # GitHub would turn a name or an address into a link.
    return re.sub(r"@(?=\w)|(?<=\w)://|(?<=www)\.", _broken, plain)


def _broken(match: re.Match[str]) -> str:
    return "".join(f"&#{ord(each)};" for each in match[0])


def _code(text: str | None) -> str:
    """As code, and a space; "" without text. As <code>: backticks fail in tables."""
    if not text:
        return ""
    cut = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    plain = "".join(each if each.isprintable() else " " for each in cut)
    harmless = re.sub(
        r"[\\`*_\[\]<>&|~$!:@]|(?<=www)\.", _broken, plain, flags=re.ASCII
    )
    return f"<code>{harmless}</code> "
