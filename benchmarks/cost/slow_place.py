"""What a black box on a file system that is slow, or hangs, costs cells and threads.

Shells in processes of their own run trivial cells: without a black box, with one on
this disk, with Jupyter's runtime folder on FUSE, with c.MemWatch.record_dir there; each
write takes 50 ms there, or the server hangs. Needs /dev/fuse and the right to mount.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
CELLS = 400
ROUNDS = 5


def child(traits: str) -> None:
    """Milliseconds of each cell, and how late another Python thread was at most."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    settings = {"MemWatch": json.loads(traits), "HistoryManager": {"enabled": False}}
    shell = InteractiveShell.instance(config=Config(settings))
    start = time.perf_counter()
    shell.run_line_magic("load_ext", "memwatch")
    loaded_ms = 1e3 * (time.perf_counter() - start)
    late, stopping = [0.0], threading.Event()

    def be_on_time() -> None:
        while not stopping.is_set():
            before = time.perf_counter()
            time.sleep(0.001)
            late[0] = max(late[0], 1e3 * (time.perf_counter() - before) - 1)

    print("loaded", file=sys.stderr, flush=True)
    sys.stdin.readline()
    thread = threading.Thread(target=be_on_time)
    thread.start()
    spent = []
    for _ in range(CELLS):
        start = time.perf_counter()
        shell.run_cell("x = 1", store_history=True)
        spent.append(1e3 * (time.perf_counter() - start))
        time.sleep(0.002)
    stopping.set()
    thread.join()
    start = time.perf_counter()
    shell.run_line_magic("unload_ext", "memwatch")
    unloaded_ms = 1e3 * (time.perf_counter() - start)
    figures = {"cells": spent, "late": late[0]}
    figures |= {"load": loaded_ms, "unload": unloaded_ms}
    print(json.dumps(figures), file=sys.stderr, flush=True)


def run(traits: dict, runtime: Path, hang: bool, mounted) -> dict:
    folder = tempfile.mkdtemp(prefix="memwatch-xdg-")
    environment = os.environ | {
        "JUPYTER_RUNTIME_DIR": str(runtime), "XDG_RUNTIME_DIR": folder,
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, __file__, json.dumps(traits)], env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stderr is not None
    for line in process.stderr:
        if line == "loaded\n":
            break
    if hang:
        mounted.hang()
    process.stdin.write("\n")
    process.stdin.flush()
    figures = json.loads([line for line in process.stderr if line.startswith("{")][-1])
    mounted.resume()
    process.wait(60)
    return figures


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests/helpers"))
    from slowfs import slow_file_system

    with tempfile.TemporaryDirectory() as name:
        local, slow = Path(name, "local"), Path(name, "slow")
        local.mkdir()
        slow.mkdir()
        with slow_file_system(slow) as mounted:
            there = {"record_dir": str(slow)}
            ways = {
                "no black box": ({"record": False}, local, False),
                "on this disk": ({}, local, False),
                "runtime folder slow": ({}, slow, False),
                "runtime folder hangs": ({}, slow, True),
                "record_dir slow": (there, local, False),
                "record_dir hangs": (there, local, True),
            }
            found: dict[str, list[dict]] = {way: [] for way in ways}
            for _ in range(ROUNDS):
                for way, how in ways.items():
                    found[way].append(run(*how, mounted))
    base = found["no black box"]
    print("milliseconds; in brackets what is more than without a black box")
    print(f"{'':<22} {'cell, median':>18} {'cell, slowest':>18} {'thread late by':>18}")
    for way, rounds in found.items():
        row = f"{way:<22}"
        for figure in (
            lambda each: statistics.median(each["cells"]),
            lambda each: max(each["cells"]),
            lambda each: each["late"],
        ):
            value = statistics.median(map(figure, rounds))
            more = value - statistics.median(map(figure, base))
            row += f" {value:9.3f} ({more:+.3f})".rjust(19)
        unload = statistics.median(each["unload"] for each in rounds)
        print(row + f"   load {statistics.median(each['load'] for each in rounds):.1f},"
              f" unload {unload:.1f}")  # fmt: skip


if __name__ == "__main__":
    child(sys.argv[1]) if len(sys.argv) > 1 else main()
