"""Budgets of notebooks and cells, and their check. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ..results import NotebookRun
from .violations import Scope, Subject, Violation, What, figure_of, ran, used_by


class BudgetError(ValueError):
    """Invalid size or budget; one line that says what was expected."""


# ---- sizes ----

_UNITS = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*(%|[A-Za-z]{1,3})")
_MOST_BYTES = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Size:
    """A size in bytes, or a percentage of another size."""

    text: str
    """As it was written."""
    size_bytes: int | None
    """None: it is a percentage."""
    percent: Decimal | None = None

    def of(self, whole_bytes: int | None) -> int | None:
        """In bytes; a percentage of `whole_bytes`, None if that is None."""
        if self.percent is None:
            return self.size_bytes
        if whole_bytes is None:
            return None
        return int(Decimal(whole_bytes) * self.percent / 100)


def parse_size(text: str) -> Size:
    """Parse ``512MiB``, ``2GiB``, ``1.5GB`` (10**9 bytes) or ``60%``; BudgetError.

    In upper or lower case, with or without a space before the unit. A unit is needed,
    and ``2G`` is invalid, because it is ambiguous.
    """
    given = text.strip()
    match = _SIZE.fullmatch(given)
    unit = match[2].upper() if match else ""
    if not match or (unit != "%" and unit not in _UNITS):
        raise BudgetError(
            f"invalid size '{text}': expected for example 512MiB, 1.5GB or 60%"
        )
    number = Decimal(match[1])
    if unit == "%":
        return Size(given, None, number)
    size = int(number * _UNITS[unit])
    if size > _MOST_BYTES:
        raise BudgetError(f"invalid size '{text}': too large")
    return Size(given, size)


# ---- budgets ----


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit, and its source."""

    what: What
    size: Size
    set_by: str
    """``--max-peak``, ``its tag``, ``its metadata``."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """All budgets of one notebook."""

    notebook: tuple[Budget, ...] = ()
    cells: Mapping[int, tuple[Budget, ...]] = field(default_factory=dict)
    """By cell index."""


_TAG = re.compile(r"memwatch-max-(peak|used)=(.*)")
_KINDS: tuple[What, ...] = ("peak", "used")


def read_budgets(
    notebook: Mapping[str, Any],
    max_peak: Size | None = None,
    max_used: Size | None = None,
) -> Budgets:
    """The budgets of `notebook`: its own, its cells', and those of the two options.

    They are ``metadata.memwatch.max_peak`` and ``.max_used`` of the notebook or a cell,
    and tags ``memwatch-max-peak=2GiB``, ``memwatch-max-used=10%`` of a cell.
    BudgetError names the cell with an invalid size.
    """
    own = []
    if max_peak is not None:
        own.append(Budget("peak", max_peak, "--max-peak"))
    if max_used is not None:
        own.append(Budget("used", max_used, "--max-used"))
    own += _in_metadata(notebook.get("metadata"), "the notebook's metadata")
    cells = {}
    for index, cell in enumerate(notebook.get("cells", ())):
        metadata = cell.get("metadata")
        where = f"cell {index + 1}"
        found = (*_in_metadata(metadata, where), *_in_tags(metadata, where))
        if found and cell.get("cell_type") == "code":
            cells[index] = found
    return Budgets(tuple(own), cells)


def _in_metadata(metadata: Any, where: str) -> Iterator[Budget]:
    ours = metadata.get("memwatch") if isinstance(metadata, Mapping) else None
    if not isinstance(ours, Mapping):
        return
    for what in _KINDS:
        text = ours.get(f"max_{what}")
        if text is None:
            continue
        if not isinstance(text, str):
            raise BudgetError(
                f"{where}: invalid max_{what} {text!r}: expected a text like '512MiB'"
            )
        yield Budget(what, _parsed(text, f"{where}: max_{what}"), "its metadata")


def _in_tags(metadata: Any, where: str) -> Iterator[Budget]:
    tags = metadata.get("tags") if isinstance(metadata, Mapping) else None
    for tag in tags if isinstance(tags, list) else ():
        match = _TAG.fullmatch(tag) if isinstance(tag, str) else None
        if match:
            what: What = "peak" if match[1] == "peak" else "used"
            yield Budget(what, _parsed(match[2], f"{where}: tag '{tag}'"), "its tag")


def _parsed(text: str, where: str) -> Size:
    try:
        return parse_size(text)
    except BudgetError as error:
        raise BudgetError(f"{where}: {error}") from None


# ---- check ----


def check(run: NotebookRun, budgets: Budgets) -> list[Violation]:
    """The violations of `budgets` by `run`: those of the notebook, then of its cells.

    A notebook's peak budget holds for each cell that ran; its use is from the start of
    the first cell to the end of the last. Figures and limits that are unknown are
    violations too.
    """
    found: list[Violation] = []
    for budget in budgets.notebook:
        limit = budget.size.of(run.limit_bytes)
        if budget.what == "used":
            if ran(run):
                one = Subject(run, None, used_by(run))
                found += _over(one, budget, "notebook", limit)
            continue
        for cell in ran(run):
            one = Subject(run, cell, cell.peak_bytes)
            found += _over(one, budget, "notebook", limit)
    for cell in ran(run):
        for budget in budgets.cells.get(cell.cell_index, ()):
            limit = budget.size.of(run.limit_bytes)
            value = figure_of(cell, budget.what)
            found += _over(Subject(run, cell, value), budget, "cell", limit)
    return found


def _over(
    subject: Subject, budget: Budget, scope: Scope, limit: int | None
) -> Iterator[Violation]:
    value = subject.value_bytes
    if limit is None or value is None or value > limit:
        rule = f"{budget.set_by} {budget.size.text}"
        start = subject.start_bytes
        is_inherited = (
            budget.what == "peak"
            and limit is not None
            and start is not None
            and start > limit
        )
        yield subject.violation(
            budget.what, scope, rule, limit, is_inherited=is_inherited
        )
