"""Walking 3 million objects: memwatch, pympler's asizeof and guppy3's heap.

In turn, each in a process of its own with the same heap. `first` is the first call, as
a user makes it; `later` the median of three more. The extra memory is what the first
call peaked above its start.

    python -m benchmarks.heap.walk_speed
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from benchmarks.helpers.limits import failures, limit
from benchmarks.helpers.peers import ROOT, Environment, wheel

ROUNDS = 3
PEERS = Environment("heap-walkers", ("guppy3>=3.1", "pympler>=1.1"))

_PROGRAM = """
import gc, json, statistics, time
import memwatch
data = [
    {{"id": i, "name": f"name {{i}}", "v": [i * 1.5, float(i)], "t": (i, str(i))}}
    for i in range(430_000)
]
gc.collect()
{imports}
def call():
    start = time.perf_counter()
    result = {tool}
    return time.perf_counter() - start
with memwatch.watch("first") as w:
    first = call()
later = statistics.median(call() for _ in range(3))
print(json.dumps([first, later, w.report.risen_bytes]))
"""

TOOLS = {
    "memwatch": ("from memwatch import _heap, variables", "variables(seconds=60)"),
    "guppy3 heap": ("from guppy import hpy\nheap = hpy().heap", "heap()"),
    "pympler asizeof": ("from pympler import asizeof", "asizeof.asizeof(data)"),
}
OBJECTS = 8 * 430_000
"""Those of `data`; the tools also walk the objects of modules."""


def run(tool: str) -> list[float]:
    """Seconds of the first call and of later ones, and bytes of the first."""
    imports, call = TOOLS[tool]
    done = subprocess.run(
        [PEERS.python, "-c", _PROGRAM.format(imports=imports, tool=call)],
        capture_output=True, text=True, check=True, cwd=ROOT / "build",
    )  # fmt: skip
    figures: list[float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> int:
    """See the module."""
    PEERS.make()
    error = PEERS.install("--force-reinstall", "--no-deps", wheel())
    if error:
        raise SystemExit(error)
    found: dict[str, list[list[float]]] = {tool: [] for tool in TOOLS}
    for _ in range(ROUNDS):
        for tool in TOOLS:
            found[tool].append(run(tool))
    first = {}
    for tool, rows in found.items():
        columns = zip(*rows, strict=True)
        first[tool], later, risen = (statistics.median(each) for each in columns)
        print(
            f"  {tool:<16} first {first[tool]:6.3f} s, later {later:6.3f} s,"
            f" {risen / OBJECTS:6.1f} bytes an object"
        )
        if tool == "memwatch":
            limit("extra memory", risen / OBJECTS, 16, "bytes an object")
    peers = min(first["guppy3 heap"], first["pympler asizeof"])
    limit(
        "memwatch's first call, the faster peer's", first["memwatch"] / peers, 0.1, "x"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
