"""A post-mortem as one line, or as the rows of `memwatch postmortem`."""

from __future__ import annotations

from pathlib import Path

from ..display.units import age, mib, printable, seconds, size
from ..measure.capability_text import SET_BY
from .folders import box_folders
from .postmortem import PostMortem, examine
from .reader import Box


def in_one_line(found: PostMortem) -> str:
    ended = "ended without a clean exit"
    if found.verdict == "OOM-killed" or found.signal is not None:
        ended = f"was {found.verdict}"
    where = "between cells"
    if found.cells:
        cell = found.cells[0]
        where = f"in {cell.place}"
        where += f" ({cell.source})" if cell.source else ""
    where = printable(where)  # the notebook may be hostile
    rss = f"RSS {size(found.rss_bytes)} at the last sample"
    if found.growth_bytes_per_s is not None:
        rss += f", growing by {mib(found.growth_bytes_per_s)} MiB/s"
    return (
        f"memwatch: process {found.pid} {ended} {where}: {rss},"
        f" limit {size(found.limit_bytes)};"
        f" see `memwatch postmortem {found.pid}`"
    )


def describe_newest(
    found: list[tuple[Path, Box]],
    record_dir: str,
    *,
    pid: int | None = None,
    signal: int | None = None,
) -> str:
    """The report of the first of find_dead(), as lines; and the PIDs of the others."""
    if not found:
        folders = ", ".join(map(str, box_folders(record_dir)))
        if pid is None:
            return f"no black box of a killed process in {folders}"
        return f"no black box of process {pid} in {folders}"
    rows = describe(examine(*found[0], signal))
    if pid is None and len(found) > 1:
        others = ", ".join(str(box["pid"]) for _, box in found[1:6])
        more = f" and {len(found) - 6} more" if len(found) > 6 else ""
        rows.append(("others", f"memwatch postmortem PID: {others}{more}"))
    return "\n".join(f"{subject:<10} {printable(text)}" for subject, text in rows)


def describe(found: PostMortem) -> list[tuple[str, str]]:
    """The rows of the report: subject and what is known."""
    rows = [("process", _who(found)), ("ended", found.verdict + _why(found))]
    for cell in found.cells:
        ran = f"{seconds(cell.duration_ns)} s"
        began = f"began {cell.started_at or 'unknown'}, {ran} before the last sample"
        rows.append(("cell", f"{cell.place}, {began}"))
        if cell.source:
            rows.append(("source", cell.source))
        peak, start = size(cell.rss_peak_bytes), size(cell.rss_start_bytes)
        rows.append(("memory", f"{start} at the start, peak {peak}"))
    if not found.cells:
        previous = found.previous_cell
        last = f"; the last was {previous}" if previous else ""
        rows.append(("cell", f"none was running{last}"))
    rows += [
        ("RSS", f"{size(found.rss_bytes)} at the last sample"),
        ("sampled", _sampled(found)),
        ("growth", _growing(found)),
        ("peak", f"{size(found.lifetime_peak_bytes)} since the process began"),
        ("limit", _limit(found)),
        ("OOM kills", _kills(found)),
    ]
    return rows


def _who(found: PostMortem) -> str:
    parts = [
        f"{found.pid}",
        f"kernel {found.kernel_id}" if found.kernel_id else "",
        f"for {found.notebook}" if found.notebook else "",
        f"user {found.user}" if found.user else "",
        f"host {found.host}" if found.host else "",
    ]
    return ", ".join(each for each in parts if each)


def _why(found: PostMortem) -> str:
    if found.ended_at is not None and not found.alive:
        return f", {found.ended_at}"
    if found.alive:
        return ""
    if found.signal_told_by == "you":
        return ", by the signal you gave"
    if found.signal_told_by is not None:
        return f", according to {found.signal_told_by}"
    return ""


def _sampled(found: PostMortem) -> str:
    if found.sampled_at is None or found.sample_age_ns is None:
        return "never"
    text = f"{found.sampled_at}, {age(found.sample_age_ns)} ago"
    if found.sample_interval_ns is not None:
        text += f"; one every {found.sample_interval_ns / 1e6:.0f} ms"
    return text


def _growing(found: PostMortem) -> str:
    if found.growth_bytes_per_s is None:
        return "unknown: too few samples"
    return f"{mib(found.growth_bytes_per_s)} MiB/s in the cell's last second"


def describe_limit(
    limit_bytes: int | None, set_by: str | None, group: str | None
) -> str:
    """The limit of a process and what sets it.

    >>> describe_limit(2**30, "cgroup", "/user.slice")
    '1024.00 MiB, set by the cgroup /user.slice'
    """
    if limit_bytes is None:
        return "unknown"
    by = SET_BY.get(set_by or "", "set by an unknown limit")
    if set_by == "cgroup" and group:
        by += f" {group}"
    return f"{size(limit_bytes)}, {by}"


def _limit(found: PostMortem) -> str:
    text = describe_limit(found.limit_bytes, found.limit_set_by, found.limit_group)
    if found.rss_bytes is not None and found.limit_bytes:
        text += f"; {100 * found.rss_bytes // found.limit_bytes} % of it at the end"
    return text


def _kills(found: PostMortem) -> str:
    before, now = found.oom_kills_before, found.oom_kills_now
    if before is None or now is None or now < before:
        return "unknown: no cgroup counter"
    if now == before:
        return "none in its cgroup since it was watched"
    return f"{now - before} in its cgroup since it was watched" + (
        "" if found.verdict == "OOM-killed" else " (this process or another)"
    )
