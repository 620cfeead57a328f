"""100,000 cells in one shell: memory, threads and descriptors stay as they are.

RSS is to be flat once the history is full, at 10,000 reports. IPython itself keeps
every cell, and what it printed; so the same cells run once more in another process,
in a shell without memwatch where a hook prints a line as long, and what grows there is
not ours. Exits with 1 where more grows with us.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import subprocess
import sys

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from benchmarks.helpers import process

MIB = 2**20
FULL = 10_000
LINE = (
    "In [12345] used 0.0000 MiB RAM in 0.00s,"
    " peaked 0.00 MiB above current, total RAM usage 100.00 MiB"
)


def state() -> tuple[int, int, int]:
    """RSS, threads, descriptors."""
    gc.collect()
    pid = os.getpid()
    return process.rss_bytes(pid), process.threads(pid), process.descriptors(pid)


def soak(cells: int, *, watched: bool) -> list[tuple[int, ...]]:
    config = Config({"HistoryManager": {"enabled": False}})
    shell = InteractiveShell.instance(config=config)
    if watched:
        shell.run_line_magic("load_ext", "memwatch")
    else:
        shell.events.register("post_run_cell", lambda result: print("".join(LINE)))
    states = []
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        for cell in range(cells + 1):
            if cell % FULL == 0:
                states.append((cell, *state()))
            shell.run_cell("x = 1", store_history=True)
            shown.seek(0)
            shown.truncate()
    return states


def growth(states: list[tuple[int, ...]]) -> float:
    """Bytes a cell from the full history to the end."""
    full, end = states[1], states[-1]
    return (end[1] - full[1]) / (end[0] - full[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--bare", action="store_true", help="without memwatch")
    arguments = parser.parse_args()
    states = soak(arguments.cells, watched=not arguments.bare)
    if arguments.bare:
        print(growth(states))
        return 0

    for cell, memory, threads, descriptors in states:
        print(
            f"{cell:7} cells: {memory / MIB:7.2f} MiB,"
            f" {threads} threads, {descriptors} descriptors"
        )
    command = [sys.executable, "-m", "benchmarks.endurance.soak", "--bare"]
    command.append(f"--cells={arguments.cells}")
    done = subprocess.run(command, stdout=-1, text=True, check=True)
    bare = float(done.stdout)
    ours = growth(states) - bare
    print(f"growth since the history was full: {growth(states):.1f} bytes a cell")
    print(f"of which IPython's, without memwatch: {bare:.1f} bytes a cell")
    print(f"memwatch's: {ours:.1f} bytes a cell")
    steady = len({(threads, fds) for cell, _, threads, fds in states if cell}) == 1
    return 0 if steady and ours < 16 else 1


if __name__ == "__main__":
    sys.exit(main())
