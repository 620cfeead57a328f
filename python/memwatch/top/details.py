"""The details of one process of `memwatch top`: a post-mortem, or its cells. Pure."""

from __future__ import annotations

from pathlib import Path

from ..blackbox.postmortem import examine
from ..blackbox.postmortem_text import describe, describe_limit
from ..blackbox.reader import Box
from ..display.charts import curve
from ..display.tables import history_table
from ..display.units import age, clock, printable, size
from .processes import Process
from .table import fit, history_top_bytes, level

_CURVE_HEIGHT = 6


def details(process: Process, box: Box | None, now_ns: int, width: int) -> str:
    """All that is known of the process, in lines; `box` is its whole black box.

    Of one that died the post-mortem, if there is a black box. The memory of one that is
    alive as a curve, and the cells that have ended, the newest first.

    >>> details(Process("stream", "4f1c", 123), None, 0, 80).splitlines()[0]
    'process    123, kernel 4f1c'
    """
    if process.died and box is not None:
        path = process.box_path or Path()
        rows = describe(examine(path, box))
        rows.append(("black box", str(path)))
    else:
        rows = _rows(process, now_ns)
    lines = []
    for subject, text in rows:
        lines += wrap(f"{subject:<10} {printable(text)}", width, indent=11)
    lines += ["", *_curve(process, width)]
    cells = list(process.cells)
    if box is not None:
        cells = [each.report for each in box["cells"] if each.status != "running"]
    if cells:
        lines += ["", f"last cells that ended ({len(cells)}), the newest first"]
        table = history_table(cells[::-1], len(cells), width)
        lines += [fit(each, width).rstrip() for each in table.split("\n")]
    else:
        lines += ["", "no cell is known to have ended so far"]
    return "\n".join(lines)


def wrap(text: str, width: int, indent: int = 0) -> list[str]:
    """`text` in lines of at most `width`; the second and the next ones are indented.

    >>> wrap("peak  300.00 MiB since the process began", 24, indent=6)
    ['peak  300.00 MiB since', '      the process began']
    """
    import textwrap

    hanging = " " * indent
    return textwrap.wrap(text, max(width, indent + 8), subsequent_indent=hanging)


def _rows(process: Process, now_ns: int) -> list[tuple[str, str]]:
    who = [
        f"{process.pid}",
        f"kernel {process.kernel_id}",
        f"user {process.user}" if process.user else "",
        f"host {process.host}" if process.host else "",
    ]
    rows = [
        ("process", ", ".join(each for each in who if each)),
        ("notebook", process.notebook or "unknown"),
        ("state", _state(process, now_ns)),
        *_cell(process, now_ns),
        ("RSS", _rss(process)),
        ("peak", f"{size(process.lifetime_peak_bytes)} since the process began"),
        (
            "limit",
            describe_limit(
                process.limit_bytes, process.limit_set_by, process.limit_group
            ),
        ),
    ]
    age_ns = process.age_ns(now_ns)
    if process.sampled_at is not None and age_ns is not None:
        rows.append(("sampled", f"{process.sampled_at}, {age(age_ns)} ago"))
    if process.received:
        rows.append(
            ("messages", f"{process.received:,} received, {process.lost:,} lost")
        )
    return rows


def _state(process: Process, now_ns: int) -> str:
    state = process.state(now_ns)
    if state == "silent":
        quiet = age(process.age_ns(now_ns) or 0)
        if process.source == "stream":
            return (
                f"silent for {quiet}: it died or was stopped, or the connection is lost"
            )
        return f"silent for {quiet}: it is stopped, or idle on another machine"
    if state == "died":
        return "died without a clean end; its black box is not here"
    if state == "gone":
        return "ended, or stopped being watched"
    return state


def _cell(process: Process, now_ns: int) -> list[tuple[str, str]]:
    cell = process.cell
    if cell is None or cell.status != "running":
        return []
    if process.state(now_ns) == "running":
        ran = f"running for {clock(process.running_ns(now_ns)) or 'unknown time'}"
    else:
        ran = "was running at the last sample"
    rows = [("cell", f"{cell.place}, {ran}")]
    if cell.source:
        rows.append(("source", cell.source))
    start, peak = size(cell.rss_start_bytes), size(cell.rss_peak_bytes)
    return [*rows, ("memory", f"{start} at the start, peak {peak} so far")]


def _rss(process: Process) -> str:
    text = size(process.rss_bytes)
    if process.share is not None:
        marks = "!" * level(process)
        text += f", {int(process.share)} % of the limit {marks}".rstrip()
    return text


def _curve(process: Process, width: int) -> list[str]:
    if not process.history:
        return ["no samples so far"]
    values = [*process.history][-max(1, width - 16) :]
    top = history_top_bytes(process, values)
    end = "the limit" if top == process.limit_bytes else "its maximum"
    chart = curve(values, top, _CURVE_HEIGHT)
    return [f"recent RSS in MiB, from 0 to {end}", *chart.split("\n")]
