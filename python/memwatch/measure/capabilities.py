"""What this machine allows, as data. Changes and prints nothing.

Everything is found out by trying, never by the kernel's version: distributions carry
patches back, and sandboxes answer with another kernel's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

from .. import _core
from ..warn import cause_of

__all__ = [
    "Facts",
    "find_accuracy",
    "find_group",
    "find_limit",
    "gather",
]


if TYPE_CHECKING:

    class Software(TypedDict):
        """Versions; None: not installed, unless there is a reason."""

        memwatch: str
        python: str
        """Implementation and version, and whether it has no GIL."""
        ipython: str | None
        ipykernel: str | None
        linux: str
        """The kernel's release, as uname tells it: a sandbox may tell anything."""
        architecture: str

    class Processors(TypedDict):
        """How many this process may run on, of how many that are online."""

        allowed: int
        online: int

    class Rss(TypedDict):
        """How far RSS, as the kernel tells it, may be off."""

        exact: bool | None
        """Every page counts at once."""
        bound_bytes: int | None
        """0 where exact."""

    class Peak(TypedDict):
        """How the peak of a window is found."""

        method: Literal["kernel", "sampled"] | None
        """As ``CellReport.peak_method``."""
        bound_bytes: int | None
        """As ``CellReport.peak_error_bytes``; None where sampled."""

    class Group(TypedDict):
        """The cgroup of this process; None: no limit, or no count to be seen."""

        limit_bytes: int | None
        """The least memory.max to be seen; version 1: hierarchical_memory_limit."""
        group: str | None
        """The group that sets it."""
        oom_kills: int | None
        """How many processes the kernel has killed in it for want of memory."""

    class JupyterHub(TypedDict):
        """What JupyterHub says in the environment; None: nothing."""

        limit_bytes: int | None
        """MEM_LIMIT."""

    class Memory(TypedDict):
        """The machine's memory: ``/proc/meminfo``, by libproc2 where that is there."""

        total_bytes: int | None
        """MemTotal."""
        available_bytes: int | None
        """MemAvailable: what can be had without swapping."""

    class Limit(TypedDict):
        """The limit that is in effect: the least of those that are known."""

        limit_bytes: int | None
        set_by: Literal["cgroup", "jupyterhub", "memory"] | None
        """The section of ``Facts`` that has more."""

    class Children(TypedDict):
        """What can be done with a child of this process, if it was tried on one."""

        rss: bool | None
        """Its RSS can be read (``status``)."""
        pss: bool | None
        """Its share of shared pages can be read (``smaps_rollup``)."""
        hwm: bool | None
        """Its high-water mark can be reset (``clear_refs``)."""
        seize: bool | None
        """It can be traced (PTRACE_SEIZE)."""
        hwm_at_exit: bool | None
        """Its high-water mark can be read when it is about to exit."""
        yama_ptrace_scope: int | None
        """0 to 3, Yama's limit to tracing; None: Yama is not there."""

    class OptionalPart(TypedDict):
        """A part of memwatch that needs a library."""

        available: bool
        """It can be used."""
        libraries: list[str]
        """What it needs."""
        install: str
        """What to type to get it."""
        why: str | None
        """Why it cannot be used; None: it can."""

    class Facts(TypedDict):
        """Sizes are bytes. What is not known has its reason in `why`."""

        schema: int
        """The version of this list."""
        software: Software
        processors: Processors
        rss: Rss
        peak: Peak
        limit: Limit
        cgroup: Group
        jupyterhub: JupyterHub
        memory: Memory
        children: Children
        optional: dict[str, OptionalPart]
        """By name: children, cpu style, publishing, top, run and so on."""
        why: dict[str, str]
        """``section.field`` to the reason for which it is None or False."""

else:
    # Making them takes milliseconds of each load, and all that they do is dict().
    Software = Processors = Rss = Peak = Group = JupyterHub = dict
    Memory = Limit = Children = OptionalPart = Facts = dict


Why = dict[str, str]


def gather() -> Facts:
    """Try everything. Raises nothing for what cannot be found out: that is a fact.

    Takes some milliseconds. Loads libproc2 (1.1 MiB), and forks a child.
    """
    why: Why = {}
    rss, peak = find_accuracy(why)
    group = find_group(why)
    jupyterhub = _find_jupyterhub(why)
    memory = _find_memory(why)
    return Facts(
        schema=2,
        software=_find_software(why),
        processors=_find_processors(),
        rss=rss,
        peak=peak,
        limit=_least(group, jupyterhub, memory, why),
        cgroup=group,
        jupyterhub=jupyterhub,
        memory=memory,
        children=_find_children(why),
        optional=_find_optional(),
        why=why,
    )


def find_accuracy(why: Why) -> tuple[Rss, Peak]:
    """What figures of this process may claim; what it cannot tell goes to `why`."""
    try:
        accuracy = _core.accuracy()
    except OSError as error:
        why["rss.exact"] = why["peak.method"] = cause_of(error)
        return Rss(exact=None, bound_bytes=None), Peak(method=None, bound_bytes=None)
    bound = accuracy["bound_bytes"]
    rss = Rss(exact=accuracy["exact"], bound_bytes=0 if accuracy["exact"] else bound)
    if accuracy["hwm_resets"]:
        return rss, Peak(method="kernel", bound_bytes=bound)
    why["peak.bound_bytes"] = str(accuracy["hwm_error"])
    return rss, Peak(method="sampled", bound_bytes=None)


def find_group(why: Why) -> Group:
    """The cgroup's limit; what it cannot tell goes to `why`."""
    try:
        found = _core.cgroup()
    except OSError as error:
        why["cgroup.limit_bytes"] = why["cgroup.oom_kills"] = cause_of(error)
        return Group(limit_bytes=None, group=None, oom_kills=None)
    if found["oom_kills"] is None:
        why["cgroup.oom_kills"] = "no cgroup shows a counter"
    return Group(**found)


def _find_software(why: Why) -> Software:
    import os
    import platform
    import sysconfig

    from .. import __version__

    python = f"{platform.python_implementation()} {platform.python_version()}"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        python += " free-threaded"
    system = os.uname()
    return Software(
        memwatch=__version__,
        python=python,
        ipython=_find_version("ipython", why),
        ipykernel=_find_version("ipykernel", why),
        linux=system.release,
        architecture=system.machine,
    )


def _find_version(distribution: str, why: Why) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
    except OSError as error:
        why[f"software.{distribution}"] = str(error)
        return None


def _find_processors() -> Processors:
    import os

    return Processors(
        allowed=len(os.sched_getaffinity(0)), online=os.sysconf("SC_NPROCESSORS_ONLN")
    )


def _find_jupyterhub(why: Why) -> JupyterHub:
    import os

    text = os.environ.get("MEM_LIMIT", "")
    if text.isascii() and text.isdigit() and int(text) > 0:
        return JupyterHub(limit_bytes=int(text))
    if text:
        why["jupyterhub.limit_bytes"] = f"MEM_LIMIT is {text!r}, no size in bytes"
    return JupyterHub(limit_bytes=None)


def _find_memory(why: Why) -> Memory:
    try:
        from .. import _procps
    except ImportError:
        return _read_meminfo(why)
    try:
        return Memory(**_procps.machine_memory())
    except OSError as error:
        why["memory.total_bytes"] = why["memory.available_bytes"] = cause_of(error)
        return Memory(total_bytes=None, available_bytes=None)


def _read_meminfo(why: Why) -> Memory:
    path = "/proc/meminfo"
    try:
        with open(path, encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        found = {
            name: int(fields[name].split()[0]) * 1024
            for name in ("MemTotal", "MemAvailable")
            if name in fields
        }
        missing = f"{path} does not have it"
    except (OSError, ValueError) as error:
        found, missing = {}, f"{path}: {error}"
    memory = Memory(
        total_bytes=found.get("MemTotal"), available_bytes=found.get("MemAvailable")
    )
    for field, value in memory.items():
        if value is None:
            why[f"memory.{field}"] = missing
    return memory


def _find_optional() -> dict[str, OptionalPart]:
    from .. import optional

    reasons = {name: optional.why_missing(name) for name in optional.PARTS}
    return {
        name: OptionalPart(
            available=reasons[name] is None,
            libraries=list(part.libraries),
            install=optional.install_command(name),
            why=reasons[name],
        )
        for name, part in optional.PARTS.items()
    }


def find_limit(why: Why) -> tuple[Limit, Group]:
    """The limit that is in effect, found without libproc2; why not goes to `why`."""
    import os

    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    memory = Memory(total_bytes=total if total > 0 else None, available_bytes=None)
    group = find_group(why)
    return _least(group, _find_jupyterhub(why), memory, why), group


def _least(group: Group, jupyterhub: JupyterHub, memory: Memory, why: Why) -> Limit:
    known: list[tuple[int, Literal["cgroup", "jupyterhub", "memory"]]] = []
    if group["limit_bytes"] is not None:
        known.append((group["limit_bytes"], "cgroup"))
    if jupyterhub["limit_bytes"] is not None:
        known.append((jupyterhub["limit_bytes"], "jupyterhub"))
    if memory["total_bytes"] is not None:
        known.append((memory["total_bytes"], "memory"))
    if not known:
        why["limit.limit_bytes"] = "none is set, and the machine's memory is not known"
        return Limit(limit_bytes=None, set_by=None)
    size, set_by = min(known)
    return Limit(limit_bytes=size, set_by=set_by)


_TRIED = {
    "rss": "rss_error",
    "pss": "pss_error",
    "hwm": "hwm_error",
    "seize": "seize_error",
    "hwm_at_exit": "last_hwm_error",
}
"""The fields of ``Children``, and their names in what probe_child() returns."""


def _find_children(why: Why) -> Children:
    found: Any = dict.fromkeys(_TRIED)
    try:
        errors: Any = _core.probe_child()
    except OSError as error:
        why |= {f"children.{name}": cause_of(error) for name in _TRIED}
    else:
        found = {name: errors[key] is None for name, key in _TRIED.items()}
        why |= {
            f"children.{name}": errors[key]
            for name, key in _TRIED.items()
            if errors[key] is not None
        }
    found["yama_ptrace_scope"] = _yama_ptrace_scope(why)
    children: Children = found
    return children


def _yama_ptrace_scope(why: Why) -> int | None:
    path = "/proc/sys/kernel/yama/ptrace_scope"
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        why["children.yama_ptrace_scope"] = f"{path}: {error}"
        return None
