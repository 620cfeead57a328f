"""What memwatch costs, beside its peers, in one run.

What is compared runs in turn; figures are medians, and ratios stand with the interval
that holds the median in 95 of 100 resamplings. Exits with 1 where memwatch does not
keep a limit. Times on a shared machine say little by themselves; instructions, which
`make callgrind` counts, say more.
"""

from __future__ import annotations

import shutil
import sys

from benchmarks.cost import self_cost
from benchmarks.cost.loaded_kernels import RESULTS, present
from benchmarks.cost.loading import loading
from benchmarks.cost.loops import NOTHING, as_scripts, in_kernels
from benchmarks.cost.rest_and_work import at_rest_and_at_work
from benchmarks.cost.trivial_cell import in_floors, trivial_cell
from benchmarks.helpers import peers
from benchmarks.helpers.limits import failures, limit
from benchmarks.helpers.peers import (
    CELL_TOOLS,
    IMU,
    MEMRAY,
    MEMWATCH,
    SCRIPT_TOOLS,
    Tool,
)
from benchmarks.helpers.tables import NOT_TOLD, made_by, markdown
from benchmarks.in_kernel.workloads import WORKLOADS


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
