"""Reports as a data frame of pandas or polars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any, get_type_hints

from ..report import DEFAULTS, CellReport

COLUMNS = tuple(name for name in DEFAULTS if name != "timeline")
"""The fields that are one value: the columns of a table."""

USEFUL = (
    "source", "status", "used_mib", "peaked_mib", "risen_mib", "rss_end_mib",
    "duration_s", "children_count_peak", "children_pss_peak_mib",
)  # fmt: skip
"""The first columns of a frame, in units for people."""


def frame(reports: Sequence[CellReport], *, raw: bool = False) -> Any:
    """One row per report; History.to_frame() documents it. ImportError.

    >>> frame([CellReport(label="load", used_bytes=2**20)]).loc["load", "used_mib"]
    ... # doctest: +SKIP
    1.0
    """
    if raw:
        names = list(COLUMNS)
    else:
        others = [each for each in COLUMNS if each != "label" and each not in USEFUL]
        known = [each for each in others if any(_has(each, one) for one in reports)]
        names = ["label", *USEFUL, *known]
    columns = {name: [_value(name, each) for each in reports] for name in names}
    for package, build in _FRAMES.items():
        try:
            module = import_module(package)
        except ImportError:
            continue
        return build(module, columns, None if raw else "label")
    from ..optional import install_command

    raise ImportError(
        "memwatch.history.to_frame() requires pandas or polars:"
        f" {install_command('data frames')}"
    )


def _has(name: str, report: CellReport) -> bool:
    return getattr(report, name) is not None


def _value(name: str, report: CellReport) -> Any:
    value = getattr(report, name)
    if name == "started_at":
        return None if value is None else datetime.fromisoformat(value)
    if isinstance(value, str):
        # A cell's text may have lone surrogates, which polars and Arrow do not take.
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value


def _kind_of() -> Callable[[str], str]:
    hints = get_type_hints(CellReport)

    def kind_of(name: str) -> str:
        if name == "started_at":
            return "time"
        if name.endswith(("_mib", "_s")):
            return "float"
        return "int" if hints[name] in (int, int | None) else "text"

    return kind_of


def _pandas_frame(pandas: Any, columns: dict[str, list[Any]], index: str | None) -> Any:
    kind_of = _kind_of()
    types = {"int": "Int64", "float": "Float64", "text": "string", "time": "object"}
    series = {
        name: pandas.Series(values, dtype=types[kind_of(name)])
        for name, values in columns.items()
    }
    if "started_at" in series:
        series["started_at"] = pandas.to_datetime(series["started_at"], utc=True)
    made = pandas.DataFrame(series)
    return made if index is None else made.set_index(index)


def _polars_frame(polars: Any, columns: dict[str, list[Any]], index: str | None) -> Any:
    kind_of = _kind_of()
    types = {
        "int": polars.Int64,
        "float": polars.Float64,
        "text": polars.String,
        "time": polars.Datetime("us", "UTC"),
    }
    schema = {name: types[kind_of(name)] for name in columns}
    return polars.DataFrame(columns, schema=schema)


_FRAMES = {"pandas": _pandas_frame, "polars": _polars_frame}
