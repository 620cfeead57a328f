"""``memwatch doctor``: what can be measured on this machine."""

from __future__ import annotations

import json

import click

from ..display.units import mib
from ..measure import capabilities, capability_text


@click.command("doctor", short_help="Report what can be measured on this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; sizes in bytes.")
def command(as_json: bool) -> None:
    """Report what can be measured on this machine, how exactly, and why not more.

    Every capability is tried, some on a child process. The last lines list the optional
    parts of memwatch and the command that installs each. Paste the output into a bug
    report.
    """
    facts = capabilities.gather()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for subject, text in _describe(facts):
        click.echo(f"{subject:<11} {text}")


def _describe(facts: capabilities.Facts) -> list[tuple[str, str]]:
    why = facts["why"]
    return [
        ("memwatch", _software(facts)),
        ("system", _system(facts)),
        ("RSS", capability_text.describe_rss(facts["rss"], why)),
        ("peak", capability_text.describe_peak(facts["peak"], why)),
        ("limit", capability_text.describe_limit(facts["limit"], why)),
        ("cgroup", _cgroup(facts)),
        ("JupyterHub", _jupyterhub(facts)),
        ("memory", _memory(facts)),
        ("child", _children(facts)),
        ("ptrace", _ptrace(facts)),
        *((name, _optional(part)) for name, part in facts["optional"].items()),
    ]


def _software(facts: capabilities.Facts) -> str:
    software, why = facts["software"], facts["why"]
    ipython = software["ipython"] or _absent(why.get("software.ipython"))
    ipykernel = software["ipykernel"] or _absent(why.get("software.ipykernel"))
    return (
        f"{software['memwatch']}, {software['python']},"
        f" IPython {ipython}, ipykernel {ipykernel}"
    )


def _absent(reason: str | None) -> str:
    return "not installed" if reason is None else f"unknown ({reason})"


def _system(facts: capabilities.Facts) -> str:
    software, processors = facts["software"], facts["processors"]
    return (
        f"Linux {software['linux']} {software['architecture']},"
        f" {processors['allowed']} of {processors['online']} processors"
    )


def _cgroup(facts: capabilities.Facts) -> str:
    group, why = facts["cgroup"], facts["why"]
    kills = group["oom_kills"]
    counted = f"unknown ({why['cgroup.oom_kills']})" if kills is None else str(kills)
    return f"limit: {capability_text.describe_group(group, why)}; OOM kills: {counted}"


def _jupyterhub(facts: capabilities.Facts) -> str:
    size = facts["jupyterhub"]["limit_bytes"]
    if size is not None:
        return f"MEM_LIMIT is {mib(size)} MiB"
    return str(facts["why"].get("jupyterhub.limit_bytes", "MEM_LIMIT is not set"))


def _memory(facts: capabilities.Facts) -> str:
    memory = facts["memory"]
    if memory["total_bytes"] is None:
        return f"unknown: {facts['why']['memory.total_bytes']}"
    total, available = mib(memory["total_bytes"]), mib(memory["available_bytes"])
    return f"{total} MiB, {available} MiB available"


def _children(facts: capabilities.Facts) -> str:
    child, why = facts["children"], facts["why"]
    return (
        f"read RSS: {_answer(child['rss'], why.get('children.rss'))};"
        f" read PSS: {_answer(child['pss'], why.get('children.pss'))};"
        " reset the high-water mark:"
        f" {_answer(child['hwm'], why.get('children.hwm'))}"
    )


def _ptrace(facts: capabilities.Facts) -> str:
    child, why = facts["children"], facts["why"]
    scope = child["yama_ptrace_scope"]
    yama = (
        why.get("children.yama_ptrace_scope", "Yama is not enabled")
        if scope is None
        else f"Yama's ptrace_scope is {scope}"
    )
    return (
        f"seize a child: {_answer(child['seize'], why.get('children.seize'))};"
        " read its high-water mark at exit:"
        f" {_answer(child['hwm_at_exit'], why.get('children.hwm_at_exit'))}; {yama}"
    )


def _optional(part: capabilities.Facts) -> str:
    if part["available"]:
        return "yes"
    return f"no: {part['why']}; install: {part['install']}"


def _answer(able: bool | None, reason: str | None) -> str:
    if able:
        return "yes"
    return f"{'unknown' if able is None else 'no'} ({reason})"
