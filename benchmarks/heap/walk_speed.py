"""Walking 3 million objects: memwatch, pympler's asizeof and guppy3's heap.

In turn in one process, the same heap. Time is the median; the extra memory is the most
that the process peaked above its start, per object.

    python -m benchmarks.heap.walk_speed
"""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.helpers.limits import failures, limit
from benchmarks.helpers.peers import ROOT, Environment, wheel

ROUNDS = 3
PEERS = Environment("heap-walkers", ("guppy3>=3.1", "pympler>=1.1"))

_PROGRAM = """
import gc, json, statistics, time
import memwatch
from guppy import hpy
from pympler import asizeof

data = [
    {{"id": i, "name": f"name {{i}}", "v": [i * 1.5, float(i)], "t": (i, str(i))}}
    for i in range(430_000)
]
gc.collect()
objects = memwatch.holders.holdings.measure(
    memwatch.holders.roots.session_of(None), seconds=60
).objects
tools = {{
    "memwatch": lambda: memwatch.variables(seconds=60),
    "guppy3 heap": hpy().heap,
    "pympler asizeof": lambda: asizeof.asizeof(data),
}}
found = {{name: [] for name in tools}}
for _ in range({rounds}):
    for name, tool in tools.items():
        gc.collect()
        with memwatch.watch(name) as w:
            start = time.perf_counter()
            result = tool()
            seconds = time.perf_counter() - start
        del result
        found[name].append((seconds, w.report.risen_bytes))
print(json.dumps([objects, {{
    name: [statistics.median(row[0] for row in rows), max(row[1] for row in rows)]
    for name, rows in found.items()
}}]))
"""


def main() -> int:
    """See the module."""
    PEERS.make()
    error = PEERS.install("--force-reinstall", "--no-deps", wheel())
    if error:
        raise SystemExit(error)
    program = "import memwatch.holders.variables\n" + _PROGRAM.format(rounds=ROUNDS)
    done = subprocess.run(
        [PEERS.python, "-c", program],
        capture_output=True, text=True, check=True, cwd=ROOT / "build",
    )  # fmt: skip
    objects, found = json.loads(done.stdout.splitlines()[-1])
    print(f"{objects:,} objects")
    for name, (seconds, risen) in found.items():
        print(
            f"  {name:<16} {seconds:6.3f} s, {1e9 * seconds / objects:5.0f} ns and"
            f" {risen / objects:6.1f} bytes an object"
        )
    own, *peers = (seconds for seconds, _ in found.values())
    limit("memwatch's time, the faster peer's", own / min(peers), 0.1, "x")
    limit("extra memory", found["memwatch"][1] / objects, 16, "bytes an object")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
