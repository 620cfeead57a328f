"""What this machine allows, as data.

Found by trying, never by the kernel's version: distributions backport patches, and
sandboxes report another kernel's version.
"""

from __future__ import annotations

from typing import Any

from .. import _core
from ..warn import cause_of

Facts = dict[str, Any]
"""The output of `memwatch doctor --json`, or a section of it: see docs/data.md."""
Why = dict[str, str]
"""``section.key`` to the reason for which that is None or False."""


def gather() -> Facts:
    """Try everything; takes some milliseconds. Raises nothing.

    Loads libproc2 (1.1 MiB) and forks a child.
    """
    why: Why = {}
    rss, peak = find_accuracy(why)
    group = find_group(why)
    jupyterhub = _find_jupyterhub(why)
    memory = _find_memory(why)
    return {
        "schema": 2,
        "software": _find_software(why),
        "processors": _find_processors(),
        "rss": rss,
        "peak": peak,
        "limit": _least(group, jupyterhub, memory, why),
        "cgroup": group,
        "jupyterhub": jupyterhub,
        "memory": memory,
        "children": _find_children(why),
        "optional": _find_optional(),
        "why": why,
    }


def find_accuracy(why: Why) -> tuple[Facts, Facts]:
    """How exact the figures of this process are."""
    try:
        accuracy = _core.accuracy()
    except OSError as error:
        why["rss.exact"] = why["peak.method"] = cause_of(error)
        return {"exact": None, "bound_bytes": None}, {
            "method": None,
            "bound_bytes": None,
        }
    bound = accuracy["bound_bytes"]
    rss = {"exact": accuracy["exact"], "bound_bytes": 0 if accuracy["exact"] else bound}
    if accuracy["hwm_resets"]:
        return rss, {"method": "kernel", "bound_bytes": bound}
    why["peak.bound_bytes"] = str(accuracy["hwm_error"])
    return rss, {"method": "sampled", "bound_bytes": None}


def find_group(why: Why) -> Facts:
    """The cgroup's limit and OOM kills."""
    try:
        found = _core.cgroup()
    except OSError as error:
        why["cgroup.limit_bytes"] = why["cgroup.oom_kills"] = cause_of(error)
        return {"limit_bytes": None, "group": None, "oom_kills": None}
    if found["oom_kills"] is None:
        why["cgroup.oom_kills"] = "no cgroup shows a counter"
    return dict(**found)


def _find_software(why: Why) -> Facts:
    import os
    import platform
    import sysconfig

    from .. import __version__

    python = f"{platform.python_implementation()} {platform.python_version()}"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        python += " free-threaded"
    system = os.uname()
    return {
        "memwatch": __version__,
        "python": python,
        "ipython": _find_version("ipython", why),
        "ipykernel": _find_version("ipykernel", why),
        "linux": system.release,
        "architecture": system.machine,
    }


def _find_version(distribution: str, why: Why) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
    except OSError as error:
        why[f"software.{distribution}"] = str(error)
        return None


def _find_processors() -> Facts:
    import os

    return {
        "allowed": len(os.sched_getaffinity(0)),
        "online": os.sysconf("SC_NPROCESSORS_ONLN"),
    }


def _find_jupyterhub(why: Why) -> Facts:
    import os

    text = os.environ.get("MEM_LIMIT", "")
    if text.isascii() and text.isdigit() and int(text) > 0:
        return {"limit_bytes": int(text)}
    if text:
        why["jupyterhub.limit_bytes"] = (
            f"MEM_LIMIT is {text!r}: expected a number of bytes"
        )
    return {"limit_bytes": None}


def _find_memory(why: Why) -> Facts:
    try:
        from .. import _procps
    except ImportError:
        return _read_meminfo(why)
    try:
        return {**_procps.machine_memory()}
    except OSError as error:
        why["memory.total_bytes"] = why["memory.available_bytes"] = cause_of(error)
        return {"total_bytes": None, "available_bytes": None}


def _read_meminfo(why: Why) -> Facts:
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
    memory = {
        "total_bytes": found.get("MemTotal"),
        "available_bytes": found.get("MemAvailable"),
    }
    for field, value in memory.items():
        if value is None:
            why[f"memory.{field}"] = missing
    return memory


def _find_optional() -> dict[str, Facts]:
    from .. import optional

    reasons = {name: optional.why_missing(name) for name in optional.PARTS}
    return {
        name: {
            "available": reasons[name] is None,
            "libraries": list(part.libraries),
            "install": optional.install_command(name),
            "why": reasons[name],
        }
        for name, part in optional.PARTS.items()
    }


def find_limit(why: Why) -> tuple[Facts, Facts]:
    """The limit in effect, and the cgroup's, without libproc2."""
    import os

    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    memory = {"total_bytes": total if total > 0 else None, "available_bytes": None}
    group = find_group(why)
    return _least(group, _find_jupyterhub(why), memory, why), group


def _least(group: Facts, jupyterhub: Facts, memory: Facts, why: Why) -> Facts:
    known = []
    if group["limit_bytes"] is not None:
        known.append((group["limit_bytes"], "cgroup"))
    if jupyterhub["limit_bytes"] is not None:
        known.append((jupyterhub["limit_bytes"], "jupyterhub"))
    if memory["total_bytes"] is not None:
        known.append((memory["total_bytes"], "memory"))
    if not known:
        why["limit.limit_bytes"] = "none is set, and the machine's memory is not known"
        return {"limit_bytes": None, "set_by": None}
    size, set_by = min(known)
    return {"limit_bytes": size, "set_by": set_by}


_TRIED = {
    "rss": "rss_error",
    "pss": "pss_error",
    "hwm": "hwm_error",
    "seize": "seize_error",
    "hwm_at_exit": "last_hwm_error",
}
"""The fields of ``Children``, and their names in what probe_child() returns."""


def _find_children(why: Why) -> Facts:
    found: Facts = dict.fromkeys(_TRIED)
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
    children: Facts = found
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
