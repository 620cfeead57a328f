"""What memwatch costs, beside its peers, in one run.

What is compared runs in turn; figures are medians, and ratios stand with the interval
that holds the median in 95 of 100 resamplings. Exits with 1 where memwatch does not
keep a limit. Times on a shared machine say little by themselves; instructions, which
`make callgrind` counts, say more.
"""

from __future__ import annotations

import ast
import contextlib
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import peers
import process
import self_cost
from bootstrap import Median, median
from kernels import Kernel, kernel
from peers import CELL_TOOLS, IMU, MEMRAY, MEMWATCH, SCRIPT_TOOLS, Tool
from tables import NOT_TOLD, made_by, markdown
from workloads import WORKLOADS

RESULTS = peers.ROOT / "build/cost"
MIB = 2**20
SPAN_S = 10
FLOOR_KERNELS = 5
NOTHING = "no tool"

Ratios = dict[str, Median]

failures: list[str] = []


def limit(what: str, figure: float, most: float, unit: str) -> None:
    """Say `figure` beside the most that it may be."""
    kept = figure <= most
    text = f"{what}: {figure:.4g} {unit}, at most {most:g}"
    print(f"  {text}{'' if kept else '  <- not kept'}", flush=True)
    if not kept:
        failures.append(text)


def present(tools: list[Tool]) -> list[Tool]:
    return [tool for tool in tools if not tool.error]


@contextlib.contextmanager
def loaded_kernels(tools: list[Tool]) -> Iterator[dict[str, Kernel]]:
    """A kernel for each, with the tool on, and each tool's kernel without any: "bare"
    and, for those with libraries of their own, "bare of NAME".
    """
    with contextlib.ExitStack() as stack:
        kernels = {}
        for tool in tools:
            running = stack.enter_context(kernel(tool.environment.python))
            running.run(tool.load or "None")
            kernels[tool.name] = running
            bare = bare_name(tool)
            if bare not in kernels:
                kernels[bare] = stack.enter_context(kernel(tool.environment.python))
        yield kernels


def bare_name(tool: Tool) -> str:
    """The kernel that `tool` is compared with: the same libraries, no tool."""
    return f"bare, {tool.environment.name}"


# ---- a trivial cell ----


def trivial_cell(tools: list[Tool]) -> dict[str, float]:
    """Seconds added to ``x = 1``."""
    times = {tool.name: 3 if tool.slow else 100 for tool in tools}
    spent: dict[str, list[float]] = {}
    with loaded_kernels(tools) as kernels:
        cells = {tool.name: tool.cell("x = 1") for tool in tools}
        for running in kernels.values():
            running.run(f"import os, trivial\nos.chdir({str(RESULTS)!r})")
        for _ in range(7):
            for name, running in kernels.items():
                cell = cells.get(name, "x = 1")
                values = run_trivial(running, cell, times.get(name, 100))
                spent.setdefault(name, []).append(statistics.median(values))
    medians = {name: statistics.median(values) for name, values in spent.items()}
    return {tool.name: medians[tool.name] - medians[bare_name(tool)] for tool in tools}


def run_trivial(running: Kernel, cell: str, times: int) -> list[float]:
    running.run(f"trivial.measure(get_ipython(), {cell!r}, {times})")
    while True:
        # They run between this cell and one of the next.
        printed = running.run("print('spent', trivial.spent)")
        values = re.search(r"^spent \[(.*)\]", printed, re.M)[1].split(", ")
        if len(values) == times:
            return [float(value) for value in values]


def in_floors() -> dict[str, float]:
    """Microseconds that memwatch, its line included, and three system calls by hand
    add to a trivial cell, and what these take in a loop: medians of several kernels,
    because where a kernel's memory happens to lie changes its figure by a tenth.
    """
    runs = [in_floors_of_one_kernel() for _ in range(FLOOR_KERNELS)]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def in_floors_of_one_kernel() -> dict[str, float]:
    """The same in one kernel, in turn."""
    with kernel(MEMWATCH.environment.python) as running:
        running.run("import memwatch, os, trivial")
        running.run(f"os.chdir({str(RESULTS)!r})\n%load_ext memwatch")
        running.run(
            "trivial.measure_in_floors(get_ipython(), memwatch.start_watching_memory,"
            " memwatch.stop_watching_memory)"
        )
        while "}" not in (printed := running.run("print(trivial.floors or '')")):
            time.sleep(0.1)
    return ast.literal_eval(printed[: printed.index("}") + 1])


# ---- loops ----


def seconds_in(printed: str) -> float:
    return float(re.search(r"^seconds ([\d.e-]+)", printed, re.M)[1])


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
    script = str(Path(__file__).parent / "workloads.py")
    plain = [str(peers.MAIN.python)]
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


def quotient(these: list[float], those: list[float]) -> Median:
    return median([a / b for a, b in zip(these, those, strict=True)])


# ---- at rest and at work ----


def at_rest_and_at_work(tools: list[Tool]) -> dict[str, dict[str, float]]:
    """Of each tool beyond a kernel without: shares of a processor over ten seconds at
    rest and over a cell of ten seconds that sleeps; threads and descriptors after
    twenty cells. And of memwatch's thread by itself.
    """
    found: dict[str, dict[str, float]] = {}
    with loaded_kernels(tools) as kernels:
        for name, running in kernels.items():
            running.run("import time")
            for _ in range(20):
                running.run("x = 1")
            found[name] = {
                "threads": process.threads(running.pid),
                "descriptors": process.descriptors(running.pid),
            }
        time.sleep(1)
        before = {name: reading(running) for name, running in kernels.items()}
        time.sleep(SPAN_S)
        for name, running in kernels.items():
            after = reading(running)
            for what, value in after.items():
                found[name][f"rest: {what}"] = value - before[name][what]
        for name, running in kernels.items():
            before[name] = reading(running)
            running.run(f"time.sleep({SPAN_S})")
            for what, value in reading(running).items():
                found[name][f"work: {what}"] = value - before[name][what]
    for tool in tools:
        bare = found[bare_name(tool)]
        found[tool.name] = {
            what: value if "sampler" in what else value - bare[what]
            for what, value in found[tool.name].items()
        }
    return found


def reading(running: Kernel) -> dict[str, float]:
    return {
        "cpu": process.cpu_ns(running.pid) / 1e9 / SPAN_S,
        "wake-ups": process.wake_ups(running.pid),
        "sampler cpu": process.cpu_ns(running.pid, "memwatch") / 1e9 / SPAN_S,
        "sampler wake-ups": process.wake_ups(running.pid, "memwatch"),
    }


# ---- loading ----


def loading(tools: list[Tool]) -> dict[str, dict[str, float]]:
    """Milliseconds and MiB that switching the tool on adds to a fresh kernel, and its
    time as a share of that of ipython_memory_usage in the same turn. Tools take turns.
    """
    times: dict[str, list[float]] = {tool.name: [] for tool in tools}
    sizes: dict[str, list[float]] = {tool.name: [] for tool in tools}
    for _ in range(7):
        for tool in tools:
            with kernel(tool.environment.python) as running:
                running.run("import time; None")
                before = process.rss_bytes(running.pid)
                printed = running.run(
                    f"begun = time.perf_counter()\n{tool.load}\n"
                    "print('seconds', time.perf_counter() - begun)"
                )
                grown = process.rss_bytes(running.pid) - before
                sizes[tool.name].append(grown / MIB)
                times[tool.name].append(seconds_in(printed) * 1e3)
    return {
        name: {
            "ms": statistics.median(spent),
            "MiB": statistics.median(sizes[name]),
            "share": quotient(spent, times[IMU.name]).value,
        }
        for name, spent in times.items()
    }


# ---- all of it ----


def duration(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} us"


def cells_table(tools: list[Tool]) -> str:
    """Latency, rest, work, loading: one column a tool."""
    print("a trivial cell ...", flush=True)
    latency = trivial_cell([*tools, *present([MEMRAY])])
    for name, seconds in latency.items():
        print(f"  {name}: {duration(seconds)}")
    limit(
        "latency added to a trivial cell, ipython_memory_usage's share",
        latency[MEMWATCH.name] / latency[IMU.name],
        1 / 1000,
        "x",
    )
    print("at rest and at work ...", flush=True)
    states = at_rest_and_at_work(tools)
    own_state = states[MEMWATCH.name]
    limit("sampler over a cell of 10 s", own_state["work: sampler cpu"] * 100, 1, "%")
    limit("wake-ups between cells, 10 s", own_state["rest: sampler wake-ups"], 0, "")
    print("loading ...", flush=True)
    loads = loading([*tools, *present([MEMRAY])])
    limit("loading", loads[MEMWATCH.name]["MiB"], 1, "MiB")
    share = loads[MEMWATCH.name]["share"]
    limit("loading, ipython_memory_usage's time", share, 0.15, "x")

    columns = [tool.name for tool in [*tools, *present([MEMRAY])]]

    def row(what: str, cell: str, values: dict[str, float | None]) -> list[str]:
        return [
            what,
            *(
                NOT_TOLD if values.get(name) is None else cell.format(values[name])
                for name in columns
            ),
        ]

    def state(what: str, factor: float = 1) -> dict[str, float | None]:
        # Adding 0.0 turns the -0.0 that a small negative rounds to into 0.0.
        return {
            tool.name: round(states[tool.name][what] * factor, 2) + 0.0
            for tool in tools
        }

    rows = [
        ["added to a trivial cell", *(duration(latency[name]) for name in columns)],
        row("at work, share of a core", "{:.2f} %", state("work: cpu", 100)),
        row("at rest, share of a core", "{:.2f} %", state("rest: cpu", 100)),
        row("at rest, wake-ups in 10 s", "{:+.0f}", state("rest: wake-ups")),
        row(
            "loading, ipython_memory_usage's time",
            "{:.2f}",
            {name: loads[name]["share"] for name in columns},
        ),
        row("loading, ms", "{:.1f}", {name: loads[name]["ms"] for name in columns}),
        row("loading, MiB", "{:.2f}", {name: loads[name]["MiB"] for name in columns}),
        row("threads after 20 cells", "{:+.0f}", state("threads")),
        row("descriptors after 20 cells", "{:+.0f}", state("descriptors")),
    ]
    return markdown(["", *columns], rows)


def loops_table(tools: list[Tool], scripted: list[Tool]) -> str:
    """How much longer each workload takes: one column a tool."""
    columns = [NOTHING, *(tool.name for tool in tools)]
    columns += [f"{NOTHING}, as a script", *(tool.name for tool in scripted)]
    rows = []
    for name, (title, _) in WORKLOADS.items():
        print(f"{title} ...", flush=True)
        ratios = in_kernels(tools, name) | as_scripts(scripted, name, 5)
        noise, ours = ratios[NOTHING], ratios[MEMWATCH.name]
        print(f"  without against itself: {noise:.4f}")
        print(f"  under watch: {ours:.4f}")
        # Within the noise: the intervals overlap.
        most = max(1.005, noise.high + ours.value - ours.low)
        limit(title, ours.value, most, "x")
        row = [title]
        for column in columns:
            ratio = ratios.get(column)
            row.append("failed" if ratio is None else f"{ratio:.3f}")
        rows.append(row)
    return markdown(["times as long", *columns], rows)


def own_part() -> str:
    """memwatch in its own process."""
    print("hooks ...", flush=True)
    hooks = self_cost.hooks()
    floors = in_floors()
    limit(
        "added to a trivial cell, its line included, by what the floor adds",
        floors["memwatch"] / floors["by hand"],
        5,
        "x",
    )
    kept, points = self_cost.report_bytes()
    a_cell = self_cost.rss_a_cell()
    # A slow day slows both: microseconds alone say little.
    limit("pair of hooks", hooks["recorded"][0] / hooks["floor"][0], 5, "floors")
    recorded = hooks["recorded"][0] - hooks["pair"][0]
    limit("recording adds to it", recorded, 2, "us")
    limit(f"report with {points} points", kept / 1024, 16, "KiB")
    limit("RSS kept of a trivial cell", a_cell / 1024, 16, "KiB")
    titles = {
        "floor": "floor: one write, one statm, one status",
        "window": "a window",
        "pair": "pair of hooks, nothing recorded",
        "recorded": "pair of hooks with a black box",
    }
    rows = [
        [title, *(f"{value:.1f} us" for value in hooks[name])]
        for name, title in titles.items()
    ]
    adds = (
        f"A trivial cell takes {floors['memwatch']:.0f} us longer, its line included:"
        f" {floors['memwatch'] / floors['by hand']:.1f} times as much as with the floor"
        f" by hand in its hooks ({floors['by hand']:.0f} us),"
        f" {floors['memwatch'] / floors['floor']:.1f} times the floor in a loop"
        f" ({floors['floor']:.1f} us)."
    )
    sizes = (
        f"Kept of a cell with a timeline of {points} points: {kept / 1024:.1f} KiB; RSS"
        f" that a trivial cell leaves, with IPython's part: {a_cell / 1024:.1f} KiB."
    )
    head = ["memwatch, printing apart", "in succession", "after a pause"]
    return "\n\n".join([markdown(head, rows), adds, sizes])


def main() -> int:
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    peers.install([*CELL_TOOLS, *SCRIPT_TOOLS])
    tools, scripted = present(CELL_TOOLS), present(SCRIPT_TOOLS)
    every = [*CELL_TOOLS, *SCRIPT_TOOLS]
    versions = ", ".join(
        f"{tool.name} {tool.version}"
        if not tool.error
        else f"{tool.name}: {tool.error}"
        for tool in every
    )
    tables = [own_part(), cells_table(tools), loops_table(tools, scripted)]
    remarks = "\n".join(
        f"- {tool.name}: {tool.remark}" for tool in every if tool.remark
    )
    head = f"{made_by('make bench')}; {versions}."
    text = "\n\n".join([head, *tables, remarks])
    (RESULTS / "cost.md").write_text(text + "\n")
    print(f"\n{text}\n")
    print(*(f"not kept: {failure}" for failure in failures), sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
