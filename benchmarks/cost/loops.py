"""Workloads under a tool: how much longer they take."""

from __future__ import annotations

import re
import subprocess

from benchmarks.cost.loaded_kernels import RESULTS
from benchmarks.helpers.bootstrap import Median, quotient
from benchmarks.helpers.kernels import IN_KERNEL, kernel, seconds_in
from benchmarks.helpers.peers import MAIN, MEMWATCH, Tool

NOTHING = "no tool"

Ratios = dict[str, Median]


def in_kernels(tools: list[Tool], name: str) -> Ratios:
    """The workload with the tool on against off, in one kernel, in turn; and off
    against off.
    """
    ratios: Ratios = {}
    for tool in tools:
        with kernel(tool.environment.python) as running:
            running.run("import workloads")
            running.run(tool.load)
            cell = f"print('seconds', workloads.timed({name!r}))"
            on, off = tool.cell(cell), cell
            times: dict[str, list[float]] = {"on": [], "off": [], "again": []}
            for turn in range((9 if tool.slow else 90) + 1):
                order = ["on", "off", "again"]
                # Who goes first changes, lest a drifting machine favour one of them.
                order = order[turn % 3 :] + order[: turn % 3]
                for which in order:
                    running.run((tool.start if which == "on" else tool.stop) or "None")
                    printed = running.run(on if which == "on" else off)
                    if turn:  # the first makes what the others find
                        times[which].append(seconds_in(printed))
        ratios[tool.name] = quotient(times["on"], times["off"])
        if tool is MEMWATCH:
            ratios[NOTHING] = quotient(times["again"], times["off"])
    return ratios


def as_scripts(tools: list[Tool], name: str, rounds: int) -> Ratios:
    """The workload as a script under the tool against plain Python, in turn."""
    script = str(IN_KERNEL / "workloads.py")
    plain = [str(MAIN.python)]
    commands = {tool.name: [*plain, "-m", *tool.command] for tool in tools}
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for which, command in {"plain": plain, "again": plain, **commands}.items():
            done = subprocess.run(
                [*command, script, name],
                cwd=RESULTS,
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            found = re.search(r"^seconds ([\d.e-]+)", done.stdout, re.M)
            if found:
                times.setdefault(which, []).append(float(found[1]))
            else:
                last = (done.stderr.strip() or "no output").splitlines()[-1]
                print(f"  {which}: exit {done.returncode}, {last}", flush=True)
    ratios = {
        tool.name: quotient(times[tool.name], times["plain"])
        for tool in tools
        if len(times.get(tool.name, [])) == rounds
    }
    ratios[f"{NOTHING}, as a script"] = quotient(times["again"], times["plain"])
    return ratios
