"""What this machine allows, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..display.units import mib

if TYPE_CHECKING:
    from .capabilities import Facts, Why


def describe_rss(rss: Facts, why: Why) -> str:
    """How RSS is counted."""
    if rss["exact"] is None:
        return f"unknown: {why['rss.exact']}"
    if rss["exact"]:
        return "exact"
    return f"approximate, within {mib(rss['bound_bytes'])} MiB"


def describe_peak(peak: Facts, why: Why) -> str:
    """How peaks are found."""
    if peak["method"] is None:
        return f"unknown: {why['peak.method']}"
    if peak["method"] == "sampled":
        return (
            "sampled and may be too low: the kernel's high-water mark cannot be reset"
            f" ({why['peak.bound_bytes']})"
        )
    bound = mib(peak["bound_bytes"])
    return f"the kernel's high-water mark, reset for every cell, within {bound} MiB"


def describe_group(group: Facts, why: Why) -> str:
    """What the cgroup allows."""
    if "cgroup.limit_bytes" in why:
        return f"unknown: {why['cgroup.limit_bytes']}"
    if group["limit_bytes"] is None:
        return "no limit"
    size = mib(group["limit_bytes"])
    return f"{size} MiB, set by the cgroup {group['group']}"


SET_BY = {
    "cgroup": "set by the cgroup",
    "jupyterhub": "set by JupyterHub",
    "memory": "the machine's memory",
}
"""The text for each value of `limit.set_by`."""


def describe_limit(limit: Facts, why: Why) -> str:
    """The limit in effect, and what sets it."""
    if "cgroup.limit_bytes" in why:  # it may be lower than the known ones
        return f"unknown: {why['cgroup.limit_bytes']}"
    if limit["set_by"] is None:
        return f"unknown: {why['limit.limit_bytes']}"
    return f"{mib(limit['limit_bytes'])} MiB, {SET_BY[limit['set_by']]}"
